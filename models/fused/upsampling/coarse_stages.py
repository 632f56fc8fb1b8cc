"""Kernels that run all coarse stages of the upsampler in one call.

A stage of some hundred samples is computed sooner than it is called from Python. The stages' planes
lie one after the other in flat buffers, and a table says where.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod

import numpy as np

from givre.models.compiled.kernel import kernel, kernel_part
from givre.models.compiled.types import Doubles2, Floats, Floats1, Floats2, Integers, Integers2
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


@lru_cache(maxsize=16)
def stage_table(shapes: tuple[Shape, ...], n_transposed: int, n_preconcat: int) -> Integers:
    """Where the planes of some stages lie.

    The first flat buffer holds what the stages carry on: the coarsest latents, then every stage's
    result. The second one holds the new latents of every stage.

    Args:
        shapes: (C_i, H_i, W_i) of the latents from the coarsest on.
        n_transposed: upsampling filters, used in turn.
        n_preconcat: pre-concatenation filters, likewise.

    Returns:
        int64 (n, 11), a row for each stage: planes, height and width of the new latents; planes,
        height and width of what is carried on; starts of the new latents, of what is carried on,
        and of the result; numbers of the two filters.
    """
    rows: list[tuple[int, ...]] = []
    n_low, height, width = shapes[0]
    low_start, fresh_start = 0, 0
    for stage, (n_fresh, high, wide) in enumerate(shapes[1:]):
        out_start = low_start + n_low * height * width
        sizes = (n_fresh, high, wide, n_low, height, width)
        filters = (stage % n_transposed, stage % n_preconcat)
        rows.append((*sizes, fresh_start, low_start, out_start, *filters))
        fresh_start += n_fresh * high * wide
        low_start, n_low, height, width = out_start, n_low + n_fresh, high, wide
    return np.array(rows, np.int64).reshape(-1, 11)


@kernel_part()
def _planes(flat: Floats, start: int, n: int, height: int, width: int) -> Floats:
    return flat[start : start + n * height * width].reshape(n, height, width)


@kernel()
def coarse_forward(
    table: Integers2, fresh: Floats1, carried: Floats1, transposed: Floats2, preconcat: Floats2
) -> None:
    """Compute every stage's result.

    Args:
        table: of `stage_table`.
        fresh: new latents of all stages, flat.
        carried: begins with the coarsest latents; the rest is written.
        transposed: whole kernels of the upsampling filters, a row each.
        preconcat: whole kernels of the pre-concatenation filters, a row each.
    """
    for stage in range(table.shape[0]):
        n, high, wide = table[stage, 0], table[stage, 1], table[stage, 2]
        n_low, height, width = table[stage, 3], table[stage, 4], table[stage, 5]
        new = _planes(fresh, table[stage, 6], n, high, wide)
        low = _planes(carried, table[stage, 7], n_low, height, width)
        start = table[stage, 8]
        sharp = _planes(carried, start, n, high, wide)
        doubled = _planes(carried, start + n * high * wide, n_low, high, wide)
        blocks = (height + BLOCK_ROWS - 1) // BLOCK_ROWS
        double_planes(low, doubled, transposed[table[stage, 9]], 0, n_low * blocks)
        blocks = (high + BLOCK_ROWS - 1) // BLOCK_ROWS
        sharpen_planes(new, sharp, preconcat[table[stage, 10]], 0, n * blocks)


@kernel()
def coarse_adjoint(
    table: Integers2,
    fresh: Floats1,
    carried: Floats1,
    grad_fresh: Floats1,
    grad_carried: Floats1,
    transposed: Floats2,
    preconcat: Floats2,
    grad_transposed: Doubles2,
    grad_preconcat: Doubles2,
) -> None:
    """Carry the gradient of the last stage's result back to all latents and filters.

    Args:
        table: see `coarse_forward`, as the next two.
        fresh: likewise.
        carried: likewise.
        grad_fresh: with respect to `fresh`, written.
        grad_carried: with respect to `carried`, ends with the gradient of the last result; the
            rest is written.
        transposed: see `coarse_forward`, as the next.
        preconcat: likewise.
        grad_transposed: in the shape of `transposed`; the gradient is added.
        grad_preconcat: in the shape of `preconcat`; the gradient is added.
    """
    for stage in range(table.shape[0] - 1, -1, -1):
        n, high, wide = table[stage, 0], table[stage, 1], table[stage, 2]
        n_low, height, width = table[stage, 3], table[stage, 4], table[stage, 5]
        start, low_start = table[stage, 8], table[stage, 7]
        grad_sharp = _planes(grad_carried, start, n, high, wide)
        grad_doubled = _planes(grad_carried, start + n * high * wide, n_low, high, wide)

        number = table[stage, 9]
        items = n_low * ((height + BLOCK_ROWS - 1) // BLOCK_ROWS)
        parts = np.empty((items, transposed.shape[1]))
        low = _planes(carried, low_start, n_low, height, width)
        grad_low = _planes(grad_carried, low_start, n_low, height, width)
        double_planes_adjoint(low, grad_doubled, grad_low, transposed[number], parts, 0, items)
        for item in range(items):
            grad_transposed[number] += parts[item]

        number = table[stage, 10]
        items = n * ((high + BLOCK_ROWS - 1) // BLOCK_ROWS)
        parts = np.empty((items, preconcat.shape[1]))
        new = _planes(fresh, table[stage, 6], n, high, wide)
        grad_new = _planes(grad_fresh, table[stage, 6], n, high, wide)
        sharpen_planes_adjoint(new, grad_sharp, grad_new, preconcat[number], parts, 0, items)
        for item in range(items):
            grad_preconcat[number] += parts[item]


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
        self._fresh = np.concatenate([_NOTHING, *(plane.reshape(-1) for plane in fresh)])
        start = self._table[-1, 8] if self.n_stages else 0
        self._carried = np.empty(start + prod(self._result_shape), np.float32)
        self._carried[: coarsest.size] = coarsest.reshape(-1)
        coarse_forward(
            self._table, self._fresh, self._carried, filters.transposed, filters.preconcat
        )
        self.result = self._carried[start:].reshape(self._result_shape)

    def backward(
        self, grad_result: Floats, grad_planes: Sequence[Floats], grad_filters: FilterGradients
    ) -> None:
        """Carry the gradient of the result back.

        Args:
            grad_result: (P, H, W).
            grad_planes: in the shapes of these stages' latents, from the coarsest on; written.
            grad_filters: of all stages; the gradient is added.
        """
        grad_fresh, grad_carried = np.empty_like(self._fresh), np.empty_like(self._carried)
        grad_carried[len(grad_carried) - grad_result.size :] = grad_result.reshape(-1)
        coarse_adjoint(
            self._table,
            self._fresh,
            self._carried,
            grad_fresh,
            grad_carried,
            self._filters.transposed,
            self._filters.preconcat,
            grad_filters.transposed,
            grad_filters.preconcat,
        )
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
