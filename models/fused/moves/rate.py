"""What moving a single latent does to the rate: its own bits, and those of all that see it.

A latent stands in the contexts of its neighbours and, by way of the features, of blocks on the
finer grids. The kernels change it in place and count the bits of these again, 16 at a time.
"""

from __future__ import annotations

import numpy as np

from givre.models.compiled.kernel import kernel_part
from givre.models.compiled.types import FLAGS, Floats, Integers
from givre.models.fused.entropy.laplace import latent_bits

LANES = 16
"""Latents, or pixels, that go through a network together."""

LEVEL, HEIGHT, WIDTH, START, FEATURES, PLANE, ROWS, COLUMNS = range(8)
"""Columns of a layout, one row a grid: pyramid level, size, index of the first latent in the flat
arrays, that of the first feature or -1, the channel of the dense representation or -1, and the
indices of the responses of its first row and its first column."""

_ZERO = np.float32(0)


@kernel_part(fastmath=FLAGS)
def _gather(
    grid: Integers,
    symbols: Floats,
    features: Floats,
    offsets: Integers,
    n_features: int,
    row: int,
    column: int,
    lane: int,
    x: Floats,
) -> None:
    """Put the context of a latent into a lane of a block."""
    height, width, start = grid[HEIGHT], grid[WIDTH], grid[START]
    n_spatial = len(offsets)
    for k in range(n_spatial):
        r, c = row + offsets[k, 0], column + offsets[k, 1]
        inside = 0 <= r < height and 0 <= c < width
        x[k * LANES + lane] = symbols[start + r * width + c] if inside else _ZERO
    first = grid[FEATURES]
    if first >= 0:
        first += (row // 2 * ((width + 1) // 2) + column // 2) * n_features
    for k in range(n_features):
        x[(n_spatial + k) * LANES + lane] = features[first + k] if first >= 0 else _ZERO


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
def _predict(hidden: Floats, bias: Floats, output: Floats, blocks: Floats) -> None:
    """ARM of a block of contexts; `blocks` (3, .) holds them first, and the result third."""
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
def _seen_by(
    layout: Integers,
    offsets: Integers,
    n_mapped: int,
    grid: int,
    row: int,
    column: int,
    places: Integers,
) -> int:
    """List the latents whose bits depend on a latent, as (grid, row, column); their number."""
    places[0, 0], places[0, 1], places[0, 2] = grid, row, column
    n = 1
    for k in range(len(offsets)):
        r, c = row - offsets[k, 0], column - offsets[k, 1]
        if 0 <= r < layout[grid, HEIGHT] and 0 <= c < layout[grid, WIDTH]:
            places[n, 0], places[n, 1], places[n, 2] = grid, r, c
            n += 1
    for finer in range(min(n_mapped, grid)):
        size = 1 << (layout[grid, LEVEL] - layout[finer, LEVEL])
        for r in range(row * size, min((row + 1) * size, layout[finer, HEIGHT])):
            for c in range(column * size, min((column + 1) * size, layout[finer, WIDTH])):
                places[n, 0], places[n, 1], places[n, 2] = finer, r, c
                n += 1
    return n


@kernel_part(fastmath=FLAGS)
def shift_latent(
    layout: Integers,
    symbols: Floats,
    features: Floats,
    maps: Floats,
    grid: int,
    row: int,
    column: int,
    step: np.float32,
) -> None:
    """Add `step` to a latent, and to the features of the finer grids what follows from it."""
    symbols[layout[grid, START] + row * layout[grid, WIDTH] + column] += step
    n_mapped, _, n_features = maps.shape
    for finer in range(min(n_mapped, grid)):
        size = 1 << (layout[grid, LEVEL] - layout[finer, LEVEL] - 1)
        height, width = (layout[finer, HEIGHT] + 1) // 2, (layout[finer, WIDTH] + 1) // 2
        for r in range(row * size, min((row + 1) * size, height)):
            for c in range(column * size, min((column + 1) * size, width)):
                first = layout[finer, FEATURES] + (r * width + c) * n_features
                for k in range(n_features):
                    features[first + k] += step * maps[finer, grid, k]


@kernel_part(fastmath=FLAGS)
def count_bits(
    layout: Integers,
    symbols: Floats,
    features: Floats,
    offsets: Integers,
    n_features: int,
    hidden: Floats,
    bias: Floats,
    output: Floats,
    places: Integers,
    n_places: int,
    blocks: Floats,
    counted: Floats,
) -> None:
    """Bits of the latents at `places`, written to `counted`."""
    values = np.empty(LANES, np.float32)
    for first in range(0, n_places, LANES):
        n = min(LANES, n_places - first)
        for lane in range(n):
            g, r, c = places[first + lane, 0], places[first + lane, 1], places[first + lane, 2]
            _gather(layout[g], symbols, features, offsets, n_features, r, c, lane, blocks[0])
            values[lane] = symbols[layout[g, START] + r * layout[g, WIDTH] + c]
        for lane in range(n, LANES):
            values[lane] = _ZERO
        _predict(hidden, bias, output, blocks)
        _bits(values, blocks[2], counted[first:])


@kernel_part(fastmath=FLAGS)
def change_of_bits(
    layout: Integers,
    symbols: Floats,
    features: Floats,
    bits: Floats,
    offsets: Integers,
    maps: Floats,
    hidden: Floats,
    bias: Floats,
    output: Floats,
    move: Integers,
    places: Integers,
    blocks: Floats,
    counted: Floats,
) -> tuple[int, float]:
    """Make a move (grid, row, column, step); how many bits change, and by how much in all."""
    grid, row, column = move[0], move[1], move[2]
    n_mapped, _, n_features = maps.shape
    shift_latent(layout, symbols, features, maps, grid, row, column, np.float32(move[3]))
    n = _seen_by(layout, offsets, n_mapped, grid, row, column, places)
    count_bits(
        layout,
        symbols,
        features,
        offsets,
        n_features,
        hidden,
        bias,
        output,
        places,
        n,
        blocks,
        counted,
    )
    change = 0.0
    for k in range(n):
        g = places[k, 0]
        at = layout[g, START] + places[k, 1] * layout[g, WIDTH] + places[k, 2]
        change += counted[k] - bits[at]
    return n, change


@kernel_part(fastmath=FLAGS)
def keep_bits(
    layout: Integers, bits: Floats, places: Integers, n_places: int, counted: Floats
) -> None:
    """Store what `change_of_bits` has counted."""
    for k in range(n_places):
        g = places[k, 0]
        bits[layout[g, START] + places[k, 1] * layout[g, WIDTH] + places[k, 2]] = counted[k]
