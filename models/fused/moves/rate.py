"""What moving a single latent does to the rate: its own bits, and those of all that see it.

A latent stands in the contexts of its neighbours and, by way of the features, of blocks on the
finer grids. Features are linear in the latents, so a step s of a latent in grid g adds s w_(f,g) to
the features f of each sample that it is stretched to. The kernels change both in place and count
the bits of all that see them again, 16 at a time, with the ARM and the rate of
`givre.models.fused.entropy`:

    change of rate = sum over the latents that see the move of (bits after - bits before)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from givre.models.compiled.kernel import kernel_part
from givre.models.compiled.types import FLAGS, Floats, Floats1, Floats2, Integers, Integers2
from givre.models.fused.entropy.laplace import latent_bits
from givre.models.fused.moves.arrays import (
    COLUMN,
    FEATURES,
    GRID,
    HEIGHT,
    LEVEL,
    ROW,
    START,
    STEP,
    WIDTH,
    ContextWeights,
    MovedArrays,
)

LANES = 16
"""Latents, or pixels, that go through a network together."""

_ZERO = np.float32(0)


class Counted(NamedTuple):
    """Latents whose bits are counted again.

    Attributes:
        places: (n, 3), columns GRID to COLUMN.
        bits: (n,), as they would be.
        blocks: (3, K * LANES), memory for the ARM.
    """

    places: Integers2
    bits: Floats1
    blocks: Floats2


@kernel_part(fastmath=FLAGS)
def _gather(
    latents: MovedArrays,
    model: ContextWeights,
    place: Integers,
    lane: int,
    x: Floats,
) -> None:
    """Put the context of the latent at a place into a lane of a block."""
    grid, row, column = latents.layout[place[GRID]], place[ROW], place[COLUMN]
    height, width, start = grid[HEIGHT], grid[WIDTH], grid[START]
    n_spatial, n_features = len(model.offsets), model.maps.shape[2]
    for k in range(n_spatial):
        r, c = row + model.offsets[k, 0], column + model.offsets[k, 1]
        inside = 0 <= r < height and 0 <= c < width
        x[k * LANES + lane] = latents.symbols[start + r * width + c] if inside else _ZERO
    first = grid[FEATURES]
    if first >= 0:
        first += (row // 2 * ((width + 1) // 2) + column // 2) * n_features
    for k in range(n_features):
        feature = latents.features[first + k] if first >= 0 else _ZERO
        x[(n_spatial + k) * LANES + lane] = feature


@kernel_part(fastmath=FLAGS)
def index_of(layout: Integers, place: Integers) -> int:
    """Where a latent is in the flat arrays."""
    grid = layout[place[GRID]]
    return int(grid[START] + place[ROW] * grid[WIDTH] + place[COLUMN])


@kernel_part(fastmath=FLAGS)
def fill_lanes(row: Floats, value: np.float32) -> None:
    """Set all of a row of lanes."""
    for p in range(LANES):
        row[p] = value


@kernel_part(fastmath=FLAGS)
def add_lanes(weight: Floats, x: Floats, out: Floats) -> None:
    """Add to a row of lanes the rows of x, a multiple of 4 of them, times their weights."""
    for k in range(0, len(weight), 4):
        w0, w1, w2, w3 = weight[k], weight[k + 1], weight[k + 2], weight[k + 3]
        rows = x[k * LANES :]
        for p in range(LANES):
            out[p] += (
                w0 * rows[p]
                + w1 * rows[LANES + p]
                + w2 * rows[2 * LANES + p]
                + w3 * rows[3 * LANES + p]
            )


@kernel_part(fastmath=FLAGS)
def _predict(model: ContextWeights, blocks: Floats) -> None:
    """ARM of a block of contexts; `blocks` (3, .) holds them first, and the result third."""
    hidden, bias, output = model.hidden, model.bias, model.output
    n_layers, width = bias.shape
    x, h, y = blocks[0], blocks[1], blocks[2]
    for k in range(width * LANES):
        h[k] = x[k]
    for layer in range(n_layers):
        for j in range(width):
            out = y[j * LANES :]
            fill_lanes(out, bias[layer, j])
            add_lanes(hidden[layer, j], h, out)
        for k in range(width * LANES):
            h[k] = _ZERO if y[k] < _ZERO else y[k]
    for j in range(2):
        out = y[j * LANES :]
        fill_lanes(out, output[4, j])
        add_lanes(output[j], h, out)
        add_lanes(output[2 + j], x, out)


@kernel_part(fastmath=FLAGS)
def _bits(symbols: Floats, predicted: Floats, bits: Floats) -> None:
    """Bits of a block, as `givre.models.arm.laplace_bits` has them."""
    for p in range(LANES):
        bits[p] = latent_bits(symbols[p], predicted[p], predicted[LANES + p])


@kernel_part(fastmath=FLAGS)
def _seen_by(latents: MovedArrays, model: ContextWeights, move: Integers, places: Integers) -> int:
    """List the latents whose bits depend on a move, itself first; their number."""
    layout, offsets = latents.layout, model.offsets
    grid, row, column = move[GRID], move[ROW], move[COLUMN]
    places[0, GRID], places[0, ROW], places[0, COLUMN] = grid, row, column
    n = 1
    for k in range(len(offsets)):
        r, c = row - offsets[k, 0], column - offsets[k, 1]
        if 0 <= r < layout[grid, HEIGHT] and 0 <= c < layout[grid, WIDTH]:
            places[n, GRID], places[n, ROW], places[n, COLUMN] = grid, r, c
            n += 1
    for finer in range(min(len(model.maps), grid)):
        size = 1 << (layout[grid, LEVEL] - layout[finer, LEVEL])
        for r in range(row * size, min((row + 1) * size, layout[finer, HEIGHT])):
            for c in range(column * size, min((column + 1) * size, layout[finer, WIDTH])):
                places[n, GRID], places[n, ROW], places[n, COLUMN] = finer, r, c
                n += 1
    return n


@kernel_part(fastmath=FLAGS)
def shift_latent(
    latents: MovedArrays, model: ContextWeights, place: Integers, step: np.float32
) -> None:
    """Add `step` to a latent, and to the features of the finer grids what follows from it."""
    layout, maps = latents.layout, model.maps
    grid, row, column = place[GRID], place[ROW], place[COLUMN]
    latents.symbols[index_of(layout, place)] += step
    n_mapped, _, n_features = maps.shape
    for finer in range(min(n_mapped, grid)):
        size = 1 << (layout[grid, LEVEL] - layout[finer, LEVEL] - 1)
        height, width = (layout[finer, HEIGHT] + 1) // 2, (layout[finer, WIDTH] + 1) // 2
        for r in range(row * size, min((row + 1) * size, height)):
            for c in range(column * size, min((column + 1) * size, width)):
                first = layout[finer, FEATURES] + (r * width + c) * n_features
                for k in range(n_features):
                    latents.features[first + k] += step * maps[finer, grid, k]


@kernel_part(fastmath=FLAGS)
def count_bits(
    latents: MovedArrays, model: ContextWeights, n_places: int, counted: Counted
) -> None:
    """Count the bits of the first `n_places` latents of a list."""
    blocks = counted.blocks
    values = np.empty(LANES, np.float32)
    for first in range(0, n_places, LANES):
        n = min(LANES, n_places - first)
        for lane in range(n):
            place = counted.places[first + lane]
            _gather(latents, model, place, lane, blocks[0])
            values[lane] = latents.symbols[index_of(latents.layout, place)]
        for lane in range(n, LANES):
            values[lane] = _ZERO
        _predict(model, blocks)
        _bits(values, blocks[2], counted.bits[first:])


@kernel_part(fastmath=FLAGS)
def change_of_bits(
    latents: MovedArrays, model: ContextWeights, move: Integers, counted: Counted
) -> tuple[int, float]:
    """Make a move; how many latents see it, and by how much their bits change in all."""
    shift_latent(latents, model, move, np.float32(move[STEP]))
    n = _seen_by(latents, model, move, counted.places)
    count_bits(latents, model, n, counted)
    change = 0.0
    for k in range(n):
        change += counted.bits[k] - latents.bits[index_of(latents.layout, counted.places[k])]
    return n, change


@kernel_part(fastmath=FLAGS)
def keep_bits(latents: MovedArrays, n_places: int, counted: Counted) -> None:
    """Store what `change_of_bits` has counted."""
    for k in range(n_places):
        latents.bits[index_of(latents.layout, counted.places[k])] = counted.bits[k]
