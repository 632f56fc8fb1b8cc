"""Kernels that run all coarse stages of the upsampler in one call.

A stage of some hundred samples is computed sooner than it is called from Python. The stages' planes
lie one after the other in flat buffers, and a table says where.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np

from givre.models.compiled.kernel import kernel, kernel_part
from givre.models.compiled.types import Floats, Floats1, Integers, Integers2
from givre.models.fused.upsampling.plane_filters import (
    BLOCK_ROWS,
    double_planes,
    double_planes_adjoint,
    sharpen_planes,
    sharpen_planes_adjoint,
)
from givre.models.fused.upsampling.taps import FilterGradients, Filters

Shape = tuple[int, ...]

_NOTHING = np.empty(0, np.float32)

PLANES, HEIGHT, WIDTH, LOW_PLANES, LOW_HEIGHT, LOW_WIDTH, FRESH, LOW, OUT, TRANSPOSED, PRECONCAT = (
    range(11)
)
"""Columns of a table of stages.

PLANES, HEIGHT, WIDTH: shape of the new latents.
LOW_PLANES, LOW_HEIGHT, LOW_WIDTH: shape of what is carried on.
FRESH: where the new latents begin in the flat buffer of those.
LOW, OUT: where what is carried on and the result begin in the flat buffer of what is carried on.
TRANSPOSED, PRECONCAT: numbers of the two filters.
"""

N_COLUMNS = 11


@lru_cache(maxsize=16)
def stage_table(shapes: tuple[Shape, ...], n_transposed: int, n_preconcat: int) -> Integers:
    """Where the planes of some stages lie.

    The first flat buffer holds what the stages carry on: the coarsest latents, then every stage's
    result. The second one holds the new latents of every stage.

    Args:
        shapes: (C_i, H_i, W_i) of the latents from the coarsest on.
        n_transposed: number of upsampling filters, which are used in turn.
        n_preconcat: number of pre-concatenation filters, which are used in turn.

    Returns:
        int64 (n, 11), a row for each stage, columns PLANES to PRECONCAT.
    """
    table = np.empty((len(shapes) - 1, N_COLUMNS), np.int64)
    n_low, height, width = shapes[0]
    low_start, fresh_start = 0, 0
    for stage, (row, shape) in enumerate(zip(table, shapes[1:], strict=True)):
        row[PLANES], row[HEIGHT], row[WIDTH] = shape
        row[LOW_PLANES], row[LOW_HEIGHT], row[LOW_WIDTH] = n_low, height, width
        row[FRESH], row[LOW] = fresh_start, low_start
        row[TRANSPOSED], row[PRECONCAT] = stage % n_transposed, stage % n_preconcat
        low_start += n_low * height * width
        row[OUT] = low_start
        fresh_start += prod(shape)
        n_low, height, width = n_low + shape[0], *shape[1:]
    return table


class StagePlanes(NamedTuple):
    """Planes of some stages, or the gradient with respect to them.

    Attributes:
        fresh: new latents of all stages, flat.
        carried: what the stages carry on, flat: the coarsest latents, then each stage's result.
    """

    fresh: Floats1
    carried: Floats1


@kernel_part()
def _planes(flat: Floats, start: int, n: int, height: int, width: int) -> Floats:
    return flat[start : start + n * height * width].reshape(n, height, width)


@kernel()
def coarse_forward(table: Integers2, planes: StagePlanes, filters: Filters) -> None:
    """Compute every stage's result.

    Args:
        table: of `stage_table`.
        planes: the new latents and the coarsest ones are read, the rest is written.
        filters: of all stages.
    """
    for stage in range(table.shape[0]):
        row = table[stage]
        n, high, wide = row[PLANES], row[HEIGHT], row[WIDTH]
        n_low, height, width = row[LOW_PLANES], row[LOW_HEIGHT], row[LOW_WIDTH]
        fresh = _planes(planes.fresh, row[FRESH], n, high, wide)
        low = _planes(planes.carried, row[LOW], n_low, height, width)
        start = row[OUT]
        sharp = _planes(planes.carried, start, n, high, wide)
        doubled = _planes(planes.carried, start + n * high * wide, n_low, high, wide)
        blocks = (height + BLOCK_ROWS - 1) // BLOCK_ROWS
        double_planes(low, doubled, filters.transposed[row[TRANSPOSED]], 0, n_low * blocks)
        blocks = (high + BLOCK_ROWS - 1) // BLOCK_ROWS
        sharpen_planes(fresh, sharp, filters.preconcat[row[PRECONCAT]], 0, n * blocks)


@kernel()
def coarse_adjoint(
    table: Integers2,
    planes: StagePlanes,
    filters: Filters,
    gradients: StagePlanes,
    sums: FilterGradients,
) -> None:
    """Carry the gradient of the last stage's result back to all latents and filters.

    Args:
        table: of `stage_table`.
        planes: of `coarse_forward`.
        filters: of all stages.
        gradients: with respect to the planes. They end with the gradient of the last result; all
            else is written.
        sums: with respect to the filters; the gradient is added.
    """
    for stage in range(table.shape[0] - 1, -1, -1):
        row = table[stage]
        n, high, wide = row[PLANES], row[HEIGHT], row[WIDTH]
        n_low, height, width = row[LOW_PLANES], row[LOW_HEIGHT], row[LOW_WIDTH]
        start, low_start = row[OUT], row[LOW]
        grad_sharp = _planes(gradients.carried, start, n, high, wide)
        grad_doubled = _planes(gradients.carried, start + n * high * wide, n_low, high, wide)

        taps, total = filters.transposed[row[TRANSPOSED]], sums.transposed[row[TRANSPOSED]]
        items = n_low * ((height + BLOCK_ROWS - 1) // BLOCK_ROWS)
        parts = np.empty((items, taps.shape[0]))
        low = _planes(planes.carried, low_start, n_low, height, width)
        grad_low = _planes(gradients.carried, low_start, n_low, height, width)
        double_planes_adjoint(low, grad_doubled, grad_low, taps, parts, 0, items)
        for item in range(items):
            total += parts[item]

        taps, total = filters.preconcat[row[PRECONCAT]], sums.preconcat[row[PRECONCAT]]
        items = n * ((high + BLOCK_ROWS - 1) // BLOCK_ROWS)
        parts = np.empty((items, taps.shape[0]))
        fresh = _planes(planes.fresh, row[FRESH], n, high, wide)
        grad_fresh = _planes(gradients.fresh, row[FRESH], n, high, wide)
        sharpen_planes_adjoint(fresh, grad_sharp, grad_fresh, taps, parts, 0, items)
        for item in range(items):
            total += parts[item]


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
            carried=np.empty(start + prod(self._result_shape), np.float32),
        )
        self._held.carried[: coarsest.size] = coarsest.reshape(-1)
        coarse_forward(self._table, self._held, filters)
        self.result = self._held.carried[start:].reshape(self._result_shape)

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
        grad_carried[len(grad_carried) - grad_result.size :] = grad_result.reshape(-1)
        coarse_adjoint(self._table, self._held, self._filters, gradients, grad_filters)
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
