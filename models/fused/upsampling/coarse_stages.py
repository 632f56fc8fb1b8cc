"""The first stages of the upsampler, as many as are small, done in one call of a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from math import prod

import numpy as np

from givre.models.compiled.types import Floats, Integers
from givre.models.fused.upsampling.plane_filters import n_items
from givre.models.fused.upsampling.stages import (
    OUT,
    ItemSums,
    Shape,
    StagePlanes,
    add_item_sums,
    n_sums,
    stage_table,
    stages_adjoint,
    stages_forward,
)
from givre.models.fused.upsampling.taps import FilterGradients, Filters

_NOTHING = np.empty(0, np.float32)


@lru_cache(maxsize=16)
def whole_stages(shapes: tuple[Shape, ...]) -> Integers:
    """Parts (n, 3) of which each is a whole stage, in the order of the stages; not to be changed.

    Args:
        shapes: (C_i, H_i, W_i) of the latents from the coarsest on.
    """
    n_planes, parts = shapes[0][0], []
    for stage, (low, fresh) in enumerate(pairwise(shapes)):
        parts.append((0, n_items(n_planes, low[1]) + n_items(*fresh[:2]), stage))
        n_planes += fresh[0]
    return np.array(parts, np.int64).reshape(-1, 3)


class CoarseStages:
    """The first stages of an upsampler, as many as have small results.

    Args:
        planes: latents (C_i, H_i, W_i) from the coarsest on.
        filters: of all stages.
        largest: samples in a result that is still small.

    Attributes:
        n_stages: how many there are.
        result: (P, H, W), what they carry on to the next stage; the coarsest latents if there are
            none.
    """

    def __init__(self, planes: Sequence[Floats], filters: Filters, largest: int) -> None:
        self.n_stages = _n_small(tuple(plane.shape for plane in planes), largest)
        coarsest, *fresh = planes[: self.n_stages + 1]
        self._shapes = (coarsest.shape, *(plane.shape for plane in fresh))
        n_planes = sum(shape[0] for shape in self._shapes)
        self._result_shape = (n_planes, *self._shapes[-1][1:])
        self._filters = filters
        self._table = stage_table(self._shapes, len(filters.transposed), len(filters.preconcat))
        start = self._table[-1, OUT] if self.n_stages else 0
        self._held = StagePlanes(
            fresh=np.concatenate([_NOTHING, *(plane.reshape(-1) for plane in fresh)]),
            low=np.empty(start + prod(self._result_shape), np.float32),
        )
        carried = self._held.low
        carried[: coarsest.size] = coarsest.reshape(-1)
        self._parts = whole_stages(self._shapes)
        tickets = np.zeros(1, np.int64)
        stages_forward(tickets, self._parts, self._table, self._held, filters, carried)
        self.result = carried[start:].reshape(self._result_shape)

    def backward(
        self, grad_result: Floats, grad_planes: Sequence[Floats], grad_filters: FilterGradients
    ) -> None:
        """Carry the gradient of the result back.

        Args:
            grad_result: (P, H, W).
            grad_planes: in the shapes of these stages' latents, from the coarsest on; written.
            grad_filters: of all stages; the gradient is added.
        """
        gradients = StagePlanes(*map(np.empty_like, self._held))
        grad_fresh, grad_carried = gradients
        parts, table = self._parts[::-1].copy(), self._table
        n_double, n_sharpen = n_sums(table)
        sums = ItemSums(
            np.empty((n_double, self._filters.transposed.shape[1])),
            np.empty((n_sharpen, self._filters.preconcat.shape[1])),
        )
        grad_carried[len(grad_carried) - grad_result.size :] = grad_result.reshape(-1)
        tickets = np.zeros(1, np.int64)
        stages_adjoint(
            tickets, parts, table, self._held, self._filters, grad_carried, gradients, sums
        )
        add_item_sums(parts, table, sums, grad_filters)
        coarsest, *fresh = grad_planes
        coarsest[:] = grad_carried[: coarsest.size].reshape(coarsest.shape)
        start = 0
        for grad in fresh:
            grad[:] = grad_fresh[start : start + grad.size].reshape(grad.shape)
            start += grad.size


@lru_cache(maxsize=16)
def _n_small(shapes: tuple[Shape, ...], largest: int) -> int:
    """Number of stages, from the first on, whose results have at most `largest` samples."""
    n, n_planes = 0, shapes[0][0]
    for n_fresh, height, width in shapes[1:]:
        n_planes += n_fresh
        if n_planes * height * width > largest:
            break
        n += 1
    return n
