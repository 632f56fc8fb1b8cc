"""Kernels for stages of the upsampler: the filters of `plane_filters`, on any number of threads.

A stage upsamples the planes that are carried on and sharpens the new latents. The items of both
are counted through, first those of the upsampling.

One kernel does a large stage on many threads, and all small stages in one call: a stage of some
hundred samples is computed sooner than it is called from Python. So planes are flat, and a table
says where those of each stage lie.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np

from givre.models.compiled.kernel import kernel, kernel_part
from givre.models.compiled.tickets import Parts, Tickets, next_ticket
from givre.models.compiled.types import FLAGS, Doubles2, Floats, Floats1, Integers, Integers2
from givre.models.fused.upsampling.plane_filters import (
    double_planes,
    double_planes_adjoint,
    n_items,
    sharpen_planes,
    sharpen_planes_adjoint,
)
from givre.models.fused.upsampling.taps import FilterGradients, Filters

Shape = tuple[int, ...]

PLANES, HEIGHT, WIDTH, LOW_PLANES, LOW_HEIGHT, LOW_WIDTH = range(6)
FRESH, LOW, OUT, TRANSPOSED, PRECONCAT, DOUBLE_ITEMS, DOUBLE_SUMS, SHARPEN_SUMS = range(6, 14)
N_COLUMNS = 14
"""Number of columns of a table of stages. They are:

PLANES, HEIGHT, WIDTH: shape of the new latents.
LOW_PLANES, LOW_HEIGHT, LOW_WIDTH: shape of what is carried on.
FRESH, LOW, OUT: where the new latents, what is carried on, and the result begin in the flat planes.
TRANSPOSED, PRECONCAT: numbers of the two filters.
DOUBLE_ITEMS: items of the upsampling.
DOUBLE_SUMS, SHARPEN_SUMS: rows at which the gradients of the stage's items begin.
"""

FIRST, LAST, STAGE = range(3)
"""Columns of the parts of stages: items from the first to before the last, and the stage's row."""


class StagePlanes(NamedTuple):
    """What stages work on, or the gradient with respect to it.

    Attributes:
        fresh: new latents, flat.
        low: what is carried on, flat.
    """

    fresh: Floats1
    low: Floats1


class ItemSums(NamedTuple):
    """Gradients of both filters, an item each row.

    Attributes:
        transposed: (items of the upsampling, 2N).
        preconcat: (items of the pre-concatenation, 2R + 2).
    """

    transposed: Doubles2
    preconcat: Doubles2


@lru_cache(maxsize=64)
def stage_row(
    fresh: Shape, low: Shape, numbers: tuple[int, int], starts: tuple[int, ...] = (0, 0, 0, 0, 0)
) -> Integers:
    """A row of a table of stages; it must not be changed.

    Args:
        fresh: (C, H, W), shape of the new latents.
        low: (P, h, w), shape of what is carried on.
        numbers: of the upsampling filter and of the pre-concatenation filter.
        starts: columns FRESH, LOW, OUT, DOUBLE_SUMS and SHARPEN_SUMS.

    Returns:
        int64 (14,).
    """
    at_fresh, at_low, at_out, double_sums, sharpen_sums = starts
    row = np.empty(N_COLUMNS, np.int64)
    row[PLANES], row[HEIGHT], row[WIDTH] = fresh
    row[LOW_PLANES], row[LOW_HEIGHT], row[LOW_WIDTH] = low
    row[FRESH], row[LOW], row[OUT] = at_fresh, at_low, at_out
    row[TRANSPOSED], row[PRECONCAT] = numbers
    row[DOUBLE_ITEMS] = n_items(*low[:2])
    row[DOUBLE_SUMS], row[SHARPEN_SUMS] = double_sums, sharpen_sums
    return row


@lru_cache(maxsize=16)
def stage_table(shapes: tuple[Shape, ...], n_transposed: int, n_preconcat: int) -> Integers:
    """Where the planes of stages lie that are done in one call; it must not be changed.

    What is carried on, and the results, lie in one flat array: first the coarsest latents, then
    every stage's result. The new latents of every stage lie in another one.

    Args:
        shapes: (C_i, H_i, W_i) of the latents from the coarsest on.
        n_transposed: number of upsampling filters, which are used in turn.
        n_preconcat: number of pre-concatenation filters, which are used in turn.

    Returns:
        int64 (n, 14), a row for each stage.
    """
    table = np.empty((len(shapes) - 1, N_COLUMNS), np.int64)
    low = shapes[0]
    at_fresh, at_low, double_sums, sharpen_sums = 0, 0, 0, 0
    for stage, fresh in enumerate(shapes[1:]):
        numbers = (stage % n_transposed, stage % n_preconcat)
        starts = (at_fresh, at_low, at_low + prod(low), double_sums, sharpen_sums)
        table[stage] = stage_row(fresh, low, numbers, starts)
        at_fresh, at_low = at_fresh + prod(fresh), at_low + prod(low)
        double_sums += n_items(*low[:2])
        sharpen_sums += n_items(*fresh[:2])
        low = (low[0] + fresh[0], *fresh[1:])
    return table


def n_sums(table: Integers) -> tuple[int, int]:
    """Rows of the gradients of both filters for all items of the stages of a table."""
    if not len(table):
        return 0, 0
    last = table[-1]
    double_sums = last[DOUBLE_SUMS] + last[DOUBLE_ITEMS]
    return double_sums, last[SHARPEN_SUMS] + n_items(last[PLANES], last[HEIGHT])


@kernel_part()
def _planes(flat: Floats, start: int, n: int, height: int, width: int) -> Floats:
    return flat[start : start + n * height * width].reshape(n, height, width)


@kernel(fastmath=FLAGS)
def stages_forward(
    tickets: Tickets,
    parts: Parts,
    table: Integers2,
    inputs: StagePlanes,
    filters: Filters,
    out: Floats1,
) -> None:
    """Compute items of the results of stages.

    A result holds the sharpened latents y + conv(y), then the planes that are carried on, doubled:
    a transposed convolution of stride 2 (Cool-chic 4, Blard et al., 2024, section on upsampling).

    Args:
        tickets: shared by all threads.
        parts: (n, 3) of items, columns FIRST, LAST and STAGE, in an order that has a stage's
            parts after those that it needs. More than one thread may only do parts of one stage.
        table: of the stages.
        inputs: of the stages.
        filters: of the upsampler.
        out: flat results, written; may be the array of `inputs.low`.
    """
    part = next_ticket(tickets)
    while part < parts.shape[0]:
        first, last, row = parts[part, FIRST], parts[part, LAST], table[parts[part, STAGE]]
        n, high, wide, n_double = row[PLANES], row[HEIGHT], row[WIDTH], row[DOUBLE_ITEMS]
        n_low, height, width = row[LOW_PLANES], row[LOW_HEIGHT], row[LOW_WIDTH]
        start = row[OUT]
        if first < n_double:
            low = _planes(inputs.low, row[LOW], n_low, height, width)
            doubled = _planes(out, start + n * high * wide, n_low, high, wide)
            taps = filters.transposed[row[TRANSPOSED]]
            double_planes(low, doubled, taps, first, min(last, n_double))
        if last > n_double:
            fresh = _planes(inputs.fresh, row[FRESH], n, high, wide)
            sharp = _planes(out, start, n, high, wide)
            taps = filters.preconcat[row[PRECONCAT]]
            sharpen_planes(fresh, sharp, taps, max(first - n_double, 0), last - n_double)
        part = next_ticket(tickets)


@kernel(fastmath=FLAGS)
def stages_adjoint(
    tickets: Tickets,
    parts: Parts,
    table: Integers2,
    inputs: StagePlanes,
    filters: Filters,
    grad_out: Floats1,
    grad_inputs: StagePlanes,
    sums: ItemSums,
) -> None:
    """Carry the gradient of stages' results back to items of their inputs, and to both filters.

    Args:
        tickets: shared by all threads.
        parts: (n, 3) of items, columns FIRST, LAST and STAGE, later stages first. More than one
            thread may only do parts of one stage.
        table: of the stages.
        inputs: of the stages.
        filters: of the upsampler.
        grad_out: flat, with respect to the results.
        grad_inputs: with respect to the inputs, written; its `low` may be `grad_out`.
        sums: with respect to the filters, written.
    """
    part = next_ticket(tickets)
    while part < parts.shape[0]:
        first, last, row = parts[part, FIRST], parts[part, LAST], table[parts[part, STAGE]]
        n, high, wide, n_double = row[PLANES], row[HEIGHT], row[WIDTH], row[DOUBLE_ITEMS]
        n_low, height, width = row[LOW_PLANES], row[LOW_HEIGHT], row[LOW_WIDTH]
        start = row[OUT]
        if first < n_double:
            double_planes_adjoint(
                _planes(inputs.low, row[LOW], n_low, height, width),
                _planes(grad_out, start + n * high * wide, n_low, high, wide),
                _planes(grad_inputs.low, row[LOW], n_low, height, width),
                filters.transposed[row[TRANSPOSED]],
                sums.transposed[row[DOUBLE_SUMS] :],
                first,
                min(last, n_double),
            )
        if last > n_double:
            sharpen_planes_adjoint(
                _planes(inputs.fresh, row[FRESH], n, high, wide),
                _planes(grad_out, start, n, high, wide),
                _planes(grad_inputs.fresh, row[FRESH], n, high, wide),
                filters.preconcat[row[PRECONCAT]],
                sums.preconcat[row[SHARPEN_SUMS] :],
                max(first - n_double, 0),
                last - n_double,
            )
        part = next_ticket(tickets)


@kernel()
def add_item_sums(
    parts: Parts, table: Integers2, sums: ItemSums, gradients: FilterGradients
) -> None:
    """Add the items' gradients to those of the filters, in the order of parts and items.

    Args:
        parts: (n, 3), each with all items of a stage.
        table: of the stages.
        sums: of `stages_adjoint`.
        gradients: of all filters, increased.
    """
    for part in range(parts.shape[0]):
        row, n_double = table[parts[part, STAGE]], table[parts[part, STAGE], DOUBLE_ITEMS]
        total = gradients.transposed[row[TRANSPOSED]]
        for item in range(n_double):
            total += sums.transposed[row[DOUBLE_SUMS] + item]
        total = gradients.preconcat[row[PRECONCAT]]
        for item in range(parts[part, LAST] - n_double):
            total += sums.preconcat[row[SHARPEN_SUMS] + item]
