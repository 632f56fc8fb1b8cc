"""The upsampler's passes over a pyramid, forward and backward, on any number of threads.

Filters are separable and polyphase, and every stage writes straight into its output: no plane is
padded, concatenated or held half filtered. The stages' inputs stay in memory for the backward
pass; together they are a third of the dense representation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from givre.models.compiled.buffers import Buffers
from givre.models.compiled.pool import chunks, parts_of, share
from givre.models.compiled.tickets import Parts
from givre.models.compiled.types import Doubles, Floats
from givre.models.fused.upsampling.coarse_stages import CoarseStages
from givre.models.fused.upsampling.plane_filters import BLOCK_ROWS, n_items
from givre.models.fused.upsampling.stages import ItemSums, StageInputs, stage_adjoint, stage_forward
from givre.models.fused.upsampling.taps import (
    FilterGradients,
    StageTaps,
    no_gradients,
    whole_filters,
)

SMALL_STAGE = 1 << 15
"""Output samples up to which a stage is done sooner than a second thread has started."""


_FORWARD_SAMPLES = 1 << 14
"""Low-resolution samples of a chunk, at least, or it takes less time than its call."""

_ADJOINT_SAMPLES = 1 << 13
"""The same for the adjoint, which does more with each."""


class UpsamplingPasses:
    """An upsampler and the latents it works on.

    Args:
        latents: latent i is (..., ceil(H/2^i), ceil(W/2^i)); all but the last two dimensions are
            planes. Two latents at least.
        transposed: halves of the upsampling filters.
        preconcat: halves of the pre-concatenation filters.
        threads: how many to use; the results do not depend on it.
        buffers: for everything large.
    """

    def __init__(
        self,
        latents: Sequence[Floats],
        transposed: Sequence[Floats],
        preconcat: Sequence[Floats],
        threads: int,
        buffers: Buffers,
    ) -> None:
        # From the coarsest on, as the stages take them.
        self._planes = [latent.reshape(-1, *latent.shape[-2:]) for latent in reversed(latents)]
        self._lengths = [len(half) for half in (*transposed, *preconcat)]
        self._filters = whole_filters(transposed, preconcat)
        self._threads, self._buffers = threads, buffers
        self._coarse = CoarseStages(self._planes, self._filters, SMALL_STAGE)
        self._carried: list[Floats] = []
        self._grad_filters: FilterGradients

    def forward(self) -> Floats:
        """Dense representation (P, H, W); it lies in one of the buffers."""
        carried = [self._coarse.result]
        for stage in range(self._coarse.n_stages, len(self._planes) - 1):
            fresh, low = self._planes[stage + 1], carried[-1]
            shape = (len(fresh) + len(low), *fresh.shape[1:])
            out = self._buffers.take(f"result of stage {stage}", shape)
            inputs, taps = StageInputs(fresh, low), self._filters.of_stage(stage)
            _forward_stage(inputs, taps, out, self._threads)
            carried.append(out)
        *self._carried, dense = carried
        return dense

    def backward(self, grad_dense: Floats, grad_latents: Sequence[Floats]) -> None:
        """Carry a gradient back to the latents; keeps what `filter_gradients` needs.

        Args:
            grad_dense: (P, H, W).
            grad_latents: in the shapes of the latents, contiguous; they are written.
        """
        grads = [grad.reshape(-1, *grad.shape[-2:]) for grad in reversed(grad_latents)]
        grad_filters = self._grad_filters = no_gradients(self._filters)
        first = self._coarse.n_stages
        grad_out = grad_dense
        for stage in reversed(range(first, len(self._planes) - 1)):
            inputs = StageInputs(self._planes[stage + 1], self._carried[stage - first])
            grad_low = self._buffers.take(f"gradient of stage {stage}", inputs.low.shape)
            grad_inputs = StageInputs(grads[stage + 1], grad_low)
            taps = self._filters.of_stage(stage)
            parts = _adjoint_stage(inputs, taps, grad_out, grad_inputs, self._threads)
            grad_filters.add(stage, *parts)
            grad_out = grad_low
        self._coarse.backward(grad_out, grads[: first + 1], grad_filters)

    def filter_gradients(self) -> list[Floats]:
        """Gradients of the halves of all filters, after `backward`."""
        return self._grad_filters.halves(self._lengths)


def _forward_stage(inputs: StageInputs, taps: StageTaps, out: Floats, threads: int) -> None:
    """Fill the result of a stage, (C + P, H, W)."""
    n_double = n_items(*inputs.low.shape[:2])
    n_sharpen = n_items(*inputs.fresh.shape[:2])
    share(
        lambda tickets, parts: stage_forward(tickets, parts, inputs, taps, n_double, out),
        _parts(n_double + n_sharpen, inputs.low, _FORWARD_SAMPLES),
        threads,
    )


def _adjoint_stage(
    inputs: StageInputs,
    taps: StageTaps,
    grad_out: Floats,
    grad_inputs: StageInputs,
    threads: int,
) -> tuple[Doubles, Doubles]:
    """Fill the gradients of a stage's two inputs; return those of both filters' whole taps."""
    n_double, n_sharpen = n_items(*inputs.low.shape[:2]), n_items(*inputs.fresh.shape[:2])
    # One row an item, added up in their order: the sum does not depend on who was first.
    sums = ItemSums(
        np.empty((n_double, len(taps.transposed))), np.empty((n_sharpen, len(taps.preconcat)))
    )
    share(
        lambda tickets, parts: stage_adjoint(
            tickets, parts, inputs, taps, grad_out, grad_inputs, sums
        ),
        _parts(n_double + n_sharpen, inputs.low, _ADJOINT_SAMPLES),
        threads,
    )
    return sums.transposed.sum(axis=0), sums.preconcat.sum(axis=0)


def _parts(items: int, low: Floats, samples: int) -> Parts:
    """Parts of the items of a stage whose low resolution is (P, h, w)."""
    grain = -(-samples // (BLOCK_ROWS * int(low.shape[2])))
    return parts_of(chunks(items, grain))
