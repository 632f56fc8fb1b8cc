"""The upsampler's passes over a pyramid, forward and backward, on any number of threads.

Filters are separable and polyphase, and every stage writes straight into its output: no plane is
padded, concatenated or held half filtered. The stages' inputs stay in memory for the backward
pass; together they are a third of the dense representation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from givre.models.compiled.buffers import Buffers
from givre.models.compiled.pool import chunks, share
from givre.models.compiled.types import Doubles, Floats, Integers
from givre.models.fused.upsampling.coarse_stages import CoarseStages
from givre.models.fused.upsampling.plane_filters import BLOCK_ROWS
from givre.models.fused.upsampling.stages import (
    ItemSums,
    Shape,
    StagePlanes,
    n_sums,
    stage_row,
    stages_adjoint,
    stages_forward,
)
from givre.models.fused.upsampling.taps import (
    FilterGradients,
    Filters,
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
            self._stage(stage, low.shape).forward(fresh, low, out, self._threads)
            carried.append(out)
        *self._carried, dense = carried
        return dense

    def _stage(self, stage: int, low: Shape) -> _Stage:
        filters = self._filters
        numbers = (stage % len(filters.transposed), stage % len(filters.preconcat))
        row = stage_row(self._planes[stage + 1].shape, low, numbers)
        return _Stage(row[None], filters, low[2])

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
            fresh, low = self._planes[stage + 1], self._carried[stage - first]
            grad_low = self._buffers.take(f"gradient of stage {stage}", low.shape)
            inputs = StagePlanes(fresh.reshape(-1), low.reshape(-1))
            grad_inputs = StagePlanes(grads[stage + 1].reshape(-1), grad_low.reshape(-1))
            sums = self._stage(stage, low.shape).backward(
                inputs, grad_out.reshape(-1), grad_inputs, self._threads
            )
            grad_filters.add(stage, *sums)
            grad_out = grad_low
        self._coarse.backward(grad_out, grads[: first + 1], grad_filters)

    def filter_gradients(self) -> list[Floats]:
        """Gradients of the halves of all filters, after `backward`."""
        return self._grad_filters.halves(self._lengths)


@dataclass(frozen=True)
class _Stage:
    """A stage that is large enough for several threads.

    Attributes:
        table: (1, 14), its row.
        filters: of the upsampler.
        low_width: columns of what is carried on.
    """

    table: Integers
    filters: Filters
    low_width: int

    def forward(self, fresh: Floats, low: Floats, out: Floats, threads: int) -> None:
        """Fill its result `out` from new latents and what is carried on."""
        inputs = StagePlanes(fresh.reshape(-1), low.reshape(-1))
        flat = out.reshape(-1)
        share(
            lambda tickets, parts: stages_forward(
                tickets, parts, self.table, inputs, self.filters, flat
            ),
            self._parts(_FORWARD_SAMPLES),
            threads,
        )

    def backward(
        self, inputs: StagePlanes, grad_out: Floats, grad_inputs: StagePlanes, threads: int
    ) -> tuple[Doubles, Doubles]:
        """Fill the gradients of its inputs, all flat; return those of both filters' whole taps."""
        n_double, n_sharpen = n_sums(self.table)
        # One row an item, added up in their order: the sum does not depend on who was first.
        sums = ItemSums(
            np.empty((n_double, self.filters.transposed.shape[1])),
            np.empty((n_sharpen, self.filters.preconcat.shape[1])),
        )
        share(
            lambda tickets, parts: stages_adjoint(
                tickets, parts, self.table, inputs, self.filters, grad_out, grad_inputs, sums
            ),
            self._parts(_ADJOINT_SAMPLES),
            threads,
        )
        return sums.transposed.sum(axis=0), sums.preconcat.sum(axis=0)

    def _parts(self, samples: int) -> Integers:
        return _parts(sum(n_sums(self.table)), -(-samples // (BLOCK_ROWS * self.low_width)))


@lru_cache(maxsize=64)
def _parts(items: int, grain: int) -> Integers:
    """Parts (n, 3) of the items of one stage, each of `grain` items or more."""
    return np.array([(*chunk, 0) for chunk in chunks(items, grain)], np.int64)
