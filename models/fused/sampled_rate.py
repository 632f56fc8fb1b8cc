"""The rate of a sample of the latents, for any parameters of the ARM and the IFCE.

The sample stays the same over thousands of calls, so contexts are gathered and laid out in blocks
only once; a call packs the weights and runs the entropy model's kernels on the blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from givre.models.architecture import Architecture
from givre.models.fused import pool
from givre.models.fused.arm_kernels import Integers, predict
from givre.models.fused.block_products import BLOCK, FLAGS, GROUP, Floats, product
from givre.models.fused.kernel import compiled
from givre.models.fused.laplace import block_bits
from givre.models.fused.pixel_products import Doubles
from givre.models.fused.rate_layout import ArmWeights, arm_weights

_LEAST_BLOCKS = 16
"""In a chunk: some tens of microseconds of work, several times what it costs to start it."""

_CHUNKS = 16
_NO_LEVEL = -1


class LatentSample(NamedTuple):
    """Some latents of one grid.

    Attributes:
        level: the grid's, if the IFCE makes features of `inputs` for it; or None, and the
            features are zero.
        spatial: (n, n_spatial), spatial contexts, float32.
        symbols: (n,), the latents themselves, float32.
        inputs: (n, n_in), the coarser grids' latents at the same places, float32; or None.
        weight: how many latents of the grid each of them stands for.
    """

    level: int | None
    spatial: Floats
    symbols: Floats
    inputs: Floats | None
    weight: float


class FusedSampledRate:
    """Bits of all latents, estimated from a sample.

    Args:
        arch: shapes.
        samples: of every grid.
        threads: how many to use; the result does not depend on it.
    """

    def __init__(self, arch: Architecture, samples: Sequence[LatentSample], threads: int) -> None:
        self._arch, self._threads = arch, threads
        samples = [LatentSample(*sample) for sample in samples]
        # Blocks with inputs come first, so that one number finds both context and inputs.
        samples = sorted(samples, key=lambda sample: sample.level is None)
        with_inputs = [sample.inputs for sample in samples if sample.inputs is not None]
        self._n_inputs = _padded(arch.n_levels - 1 + arch.n_hyper)  # of the finest grid
        self._contexts = _blocks([sample.spatial for sample in samples], arch.n_spatial)
        self._inputs = _blocks(with_inputs, self._n_inputs)
        self._symbols = _blocks([sample.symbols[:, None] for sample in samples], 1)
        counts = [_block_counts(len(sample.symbols)) for sample in samples]
        repeats = [len(count) for count in counts]
        levels = [_NO_LEVEL if sample.level is None else sample.level for sample in samples]
        self._counts = np.concatenate([np.empty(0, np.int64), *counts])
        self._levels = np.repeat(np.array(levels, np.int64), repeats)
        self._weights = np.repeat(np.array([sample.weight for sample in samples]), repeats)
        self._grain = max(_LEAST_BLOCKS, -(-len(self._counts) // _CHUNKS))

    def bits(self, parameters: Mapping[str, Tensor | NDArray[np.float32]]) -> float:
        """Bits of all latents with these parameters.

        Args:
            parameters: those of ARM and IFCE, by the names of `architecture.tensor_specs`; on the
                CPU and without a gradient. Others are not looked at.
        """
        arm = self._arm(parameters)
        ifce, ifce_bias = self._ifce(parameters)
        sums = np.empty(len(self._counts))
        pool.run(
            lambda first, last: _block_sums(
                self._contexts, self._inputs, self._symbols, self._levels, self._counts,
                ifce, ifce_bias, arm.hidden, arm.hidden_bias, arm.output, arm.output_bias,
                arm.stabiliser, sums, first, last,
            ),
            len(sums), self._threads, self._grain,
        )  # fmt: skip
        return float((sums * self._weights).sum())

    def _arm(self, parameters: Mapping[str, Tensor | NDArray[np.float32]]) -> ArmWeights:
        layers = range(self._arch.n_arm_hidden)
        return arm_weights(
            [np.asarray(parameters[f"arm.hidden.{i}.weight"]) for i in layers],
            [np.asarray(parameters[f"arm.hidden.{i}.bias"]) for i in layers],
            np.asarray(parameters["arm.output.weight"]),
            np.asarray(parameters["arm.output.bias"]).copy(),  # it may not be writable
            np.asarray(parameters["arm.stabiliser.weight"]),
        )

    def _ifce(
        self, parameters: Mapping[str, Tensor | NDArray[np.float32]]
    ) -> tuple[Floats, Floats]:
        """Weights and biases of all extractors, filled up with zeros to multiples of GROUP."""
        n, n_features = self._arch.n_ifce, _padded(self._arch.n_features)
        weights = np.zeros((n, n_features, self._n_inputs), np.float32)
        biases = np.zeros((n, n_features), np.float32)
        for level in range(n):
            weight = np.asarray(parameters[f"ifce.{level}.weight"])
            weights[level, : weight.shape[0], : weight.shape[1]] = weight
            biases[level, : weight.shape[0]] = np.asarray(parameters[f"ifce.{level}.bias"])
        return weights, biases


@compiled(
    "void(float32[:, ::1], float32[:, ::1], float32[:, ::1], int64[::1], int64[::1],"
    " float32[:, :, ::1], float32[:, ::1], float32[:, :, ::1], float32[:, ::1], float32[:, ::1],"
    " float32[::1], float32[:, ::1], float64[::1], int64, int64)",
    fastmath=FLAGS,
)
def _block_sums(
    contexts: Floats, inputs: Floats, symbols: Floats, levels: Integers, counts: Integers,
    ifce: Floats, ifce_bias: Floats, hidden: Floats, hidden_bias: Floats, output: Floats,
    output_bias: Floats, stabiliser: Floats, sums: Doubles, first: int, last: int,
) -> None:  # fmt: skip
    """Rate of the blocks `first` to `last` - 1.

    Args:
        contexts: (n_blocks, n_spatial * BLOCK), blocks of spatial contexts.
        inputs: (n, n_in * BLOCK), blocks of the IFCE's inputs, for the first n blocks.
        symbols: (n_blocks, BLOCK), latents.
        levels: (n_blocks,), the extractor that a block's features come from; negative for none.
        counts: (n_blocks,), latents in the block.
        ifce: (n_ifce, F, n_in), weights, F and n_in filled up to multiples of GROUP.
        ifce_bias: (n_ifce, F).
        hidden: see `arm_kernels.predict`, as the next four.
        hidden_bias: likewise.
        output: likewise.
        output_bias: likewise.
        stabiliser: likewise.
        sums: (n_blocks,), written: bits of each block.
        first: first block.
        last: end of the blocks.
    """
    n_spatial = contexts.shape[1]  # times BLOCK, as the next
    n_context = hidden_bias.shape[1] * BLOCK
    n_used = min(n_context - n_spatial, ifce_bias.shape[1] * BLOCK)
    layers = np.zeros((hidden.shape[0] + 1, n_context), np.float32)
    features = np.zeros(ifce_bias.shape[1] * BLOCK, np.float32)
    predicted = np.empty(2 * BLOCK, np.float32)
    bits = np.empty(BLOCK, np.float32)
    context = layers[0]
    for block in range(first, last):
        level = levels[block]
        if level >= 0:
            product(ifce[level], ifce_bias[level], inputs[block], features)
        else:
            features[:] = np.float32(0)
        context[:n_spatial] = contexts[block]
        context[n_spatial : n_spatial + n_used] = features[:n_used]
        predict(hidden, hidden_bias, output, output_bias, stabiliser, layers, predicted)
        block_bits(symbols[block], predicted, bits)
        total = np.float64(0)
        for p in range(counts[block]):
            total += np.float64(bits[p])
        sums[block] = total


def _padded(n: int) -> int:
    return -(-n // GROUP) * GROUP


def _block_counts(n: int) -> Integers:
    """How many of n latents each block holds."""
    starts = np.arange(0, n, BLOCK)
    return np.minimum(n - starts, BLOCK)


def _blocks(rows_of_samples: Sequence[Floats], n_columns: int) -> Floats:
    """Lay rows (n, k) out in blocks, (n_blocks, n_columns * BLOCK), every sample from a new one.

    Columns from k on, and latents beyond n, are zero.
    """
    parts = [np.empty((0, n_columns, BLOCK), np.float32)]
    for rows in rows_of_samples:
        n, k = rows.shape
        n_blocks = -(-n // BLOCK)
        filled = np.zeros((n_blocks * BLOCK, n_columns), np.float32)
        filled[:n, :k] = rows
        parts.append(filled.reshape(n_blocks, BLOCK, n_columns).transpose(0, 2, 1))
    blocks = np.concatenate(parts)
    return np.ascontiguousarray(blocks.reshape(len(blocks), n_columns * BLOCK))
