"""The exact entropy model: the ARM on blocks of pixels, and the inter-feature contexts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from givre.models.architecture import Architecture
from givre.models.compiled.kernel import kernel, kernel_part
from givre.models.compiled.types import Doubles, Doubles1, Doubles2, Doubles3, Integers2
from givre.models.exact.arithmetic import (
    MEAN_BITS,
    MEAN_MAX,
    MEAN_MIN,
    N_SCALES,
    SCALE_OFFSET,
    SCALE_STEPS,
)
from givre.models.exact.compiled.blocks import (
    BLOCK,
    EXACT,
    LIMIT,
    add_linear,
    affine,
    layer_on_grid,
    on_grid,
    padded,
    padded_matrix,
    padded_vector,
)

MEAN_STEPS = 1 << MEAN_BITS


def pack_arm(arch: Architecture, parameters: Mapping[str, Doubles]) -> Doubles:
    """All parameters of the ARM in one flat array, in the order in which the kernels read them.

    For each hidden layer its padded matrix (residual included) and bias, then the output's matrix,
    the stabiliser's, and the output's bias.
    """
    parts = []
    for i in range(arch.n_arm_hidden):
        parts.append(padded_matrix(parameters[f"arm.hidden.{i}.weight"], residual=True))
        parts.append(padded_vector(parameters[f"arm.hidden.{i}.bias"]))
    parts.append(padded_matrix(parameters["arm.output.weight"]))
    parts.append(padded_matrix(parameters["arm.stabiliser.weight"]))
    parts.append(padded_vector(parameters["arm.output.bias"]))
    return np.concatenate(parts)


def arm_scratch(arch: Architecture) -> Doubles:
    """Blocks for the context, two layers in turn and the outputs; zeros, as padding must be."""
    return np.zeros((3 * padded(arch.context_width) + 4) * BLOCK)


@kernel_part(fastmath=EXACT)
def arm_block(packed: Doubles, n_hidden: int, width: int, scratch: Doubles, n: int) -> Doubles:
    """Run the ARM on the context at the start of `scratch`.

    Args:
        packed: of `pack_arm`.
        n_hidden: hidden layers.
        width: padded width of the context.
        scratch: of `arm_scratch`; the context is in its first `width` rows.
        n: pixels, at most BLOCK.

    Returns:
        The block of the outputs: row 0 for the mean, row 1 for the log-scale.
    """
    size = width * width
    given = scratch[: width * BLOCK]
    start = 0
    for i in range(n_hidden):
        place = (1 + (i & 1)) * width * BLOCK
        out = scratch[place : place + width * BLOCK]
        bias = packed[start + size : start + size + width]
        layer_on_grid(packed[start : start + size], bias, width, width, given, out, n, 0.0)
        start += size + width
        given = out
    out = scratch[3 * width * BLOCK :]
    size = 4 * width
    bias = packed[start + 2 * size : start + 2 * size + 4]
    affine(packed[start : start + size], bias, 4, width, given, out, n)
    add_linear(packed[start + size : start + 2 * size], 4, width, scratch, out, n)
    return out


@kernel_part(fastmath=EXACT)
def store_prediction(
    out: Doubles, table: Doubles, mean: Doubles, scale: Doubles, first: int, n: int
) -> None:
    """Turn outputs of `arm_block` into means, and into `table` at the scale indices."""
    means, scales = mean[first : first + n], scale[first : first + n]
    for p in range(n):
        steps = np.floor(on_grid(out[p], -LIMIT) * MEAN_STEPS + 0.5)
        means[p] = min(max(steps * (1.0 / MEAN_STEPS), MEAN_MIN), MEAN_MAX)
        value = on_grid(out[BLOCK + p], -LIMIT)
        index = np.floor((value + SCALE_OFFSET) * SCALE_STEPS + 0.5)
        scales[p] = table[np.uintp(min(max(index, 0.0), N_SCALES - 1.0))]


@kernel(fastmath=EXACT)
def arm_contexts(
    packed: Doubles1,
    n_hidden: int,
    scratch: Doubles1,
    context: Doubles2,
    table: Doubles1,
    mean: Doubles1,
    scale: Doubles1,
) -> None:
    """Means (n,) and `table` at the scale indices (n,), from contexts (n, D)."""
    n_pixels, width = context.shape
    for first in range(0, n_pixels, BLOCK):
        n = min(BLOCK, n_pixels - first)
        for p in range(n):
            for i in range(width):
                scratch[i * BLOCK + p] = context[first + p, i]
        out = arm_block(packed, n_hidden, -(-width // 4) * 4, scratch, n)
        store_prediction(out, table, mean, scale, first, n)


@kernel(fastmath=EXACT)
def mix_features(
    weight: Doubles1, bias: Doubles1, latents: Doubles1, geometry: Integers2, out: Doubles3
) -> None:
    """Inter-feature contexts of one grid.

    Args:
        weight: padded matrix (F, n).
        bias: padded (F,).
        latents: values of the n grids that are mixed, one after the other.
        geometry: (n, 3), for each grid its start in `latents`, its width, and the logarithm of
            the factor by which it is coarser than the result.
        out: (F, H, W), is overwritten.
    """
    n_features, height, width = out.shape
    n_grids = len(geometry)
    n_in, n_out = -(-n_grids // 4) * 4, len(bias)
    given, mixed = np.zeros(n_in * BLOCK), np.empty(n_out * BLOCK)
    for y in range(height):
        for first in range(0, width, BLOCK):
            n = min(BLOCK, width - first)
            for i in range(n_grids):
                shift = np.uint64(geometry[i, 2])
                start = geometry[i, 0] + (y >> shift) * geometry[i, 1]
                line = latents[start : start + geometry[i, 1]]
                row = given[i * BLOCK : (i + 1) * BLOCK]
                for p in range(n):
                    row[p] = line[np.uint64(first + p) >> shift]
            affine(weight, bias, n_out, n_in, given, mixed, n)
            for f in range(n_features):
                row, line = mixed[f * BLOCK : (f + 1) * BLOCK], out[f, y, first:]
                for p in range(n):
                    line[p] = on_grid(row[p], -LIMIT)
