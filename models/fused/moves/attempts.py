"""Single moves of rounded latents, each kept where the loss of the whole image falls by it.

The loss is that of the fit, for given networks: squared error + rate_weight * bits. What a move
changes of both is computed exactly, but for the far tails of its response; a move is kept where

    change of squared error + rate_weight * change of bits < 0
"""

from __future__ import annotations

import numpy as np

from givre.models.compiled.kernel import kernel
from givre.models.compiled.types import FLAGS
from givre.models.fused.moves.arrays import (
    BOTTOM,
    COLUMN,
    COLUMNS,
    GRID,
    HEIGHT,
    LEFT,
    LEVEL,
    PLANE,
    RIGHT,
    ROW,
    ROWS,
    STEP,
    TOP,
    WIDTH,
    ContextWeights,
    MovedArrays,
    Moves,
    Picture,
    Responses,
    SynthesisWeights,
)
from givre.models.fused.moves.distortion import (
    PatchMemory,
    add_response,
    change_of_error,
    save_or_restore,
)
from givre.models.fused.moves.rate import (
    LANES,
    Counted,
    change_of_bits,
    count_bits,
    index_of,
    keep_bits,
    shift_latent,
)
from givre.models.geometry import LATENT_MAX, LATENT_MIN

_LOWEST, _HIGHEST = LATENT_MIN, LATENT_MAX


@kernel(fastmath=FLAGS)
def try_moves(
    moves: Moves,
    latents: MovedArrays,
    model: ContextWeights,
    picture: Picture,
    weights: SynthesisWeights,
    responses: Responses,
    rate_weight: float,
    slack: float,
) -> tuple[int, float, float]:
    """Try moves one after the other and keep those by which the loss falls.

    Args:
        moves: in their order.
        latents: changed.
        model: the entropy model.
        picture: changed.
        weights: of the synthesis.
        responses: of the grids that moves are of.
        rate_weight: squared error that a bit is worth.
        slack: a move is not tried to its end where guess and true bits come to more than this.

    Returns:
        How many moves are kept, and by how much they change squared error and bits.
    """
    layout, stages = latents.layout, picture.stages
    n_channels = len(picture.target)
    length, breadth = responses.rows.shape[2], responses.columns.shape[2]
    margin = 2 * len(weights.residual)
    area = (length + margin) * (breadth + margin)
    kept = np.empty(area * (2 + n_channels * (1 + len(stages))), np.float32)
    n_places = len(model.offsets) + 1 + LANES
    for g in range(len(model.maps)):
        side = 1 << (layout[len(layout) - 1, LEVEL] - layout[g, LEVEL])
        n_places += min(side, layout[g, HEIGHT]) * min(side, layout[g, WIDTH])
    counted = Counted(
        np.empty((n_places, 3), np.int64),
        np.empty(n_places, np.float32),
        np.zeros((3, model.bias.shape[1] * LANES), np.float32),
    )
    patch = np.empty(4, np.int64)
    memory = PatchMemory(
        np.empty(4, np.int64),
        np.empty(weights.hidden.shape[1] * LANES, np.float32),
        np.empty(3 * n_channels * (breadth + margin + LANES + 2), np.float32),
    )
    taken, change_of_all_errors, change_of_all_bits = 0, 0.0, 0.0
    for k in range(len(moves.table)):
        move = moves.table[k]
        step = np.float32(move[STEP])
        if not _LOWEST <= latents.symbols[index_of(layout, move)] + step <= _HIGHEST:
            continue
        n, more_bits = change_of_bits(latents, model, move, counted)
        grid = layout[move[GRID]]
        plane = grid[PLANE]
        more_error, touched = 0.0, False
        good = rate_weight * more_bits + moves.expected[k] < slack
        if good and plane >= 0:
            row, column = grid[ROWS] + move[ROW], grid[COLUMNS] + move[COLUMN]
            patch[TOP], patch[BOTTOM] = responses.row_ends[row, 0], responses.row_ends[row, 1]
            ends = responses.column_ends[column]
            patch[LEFT], patch[RIGHT] = ends[0], ends[1]
            touched = True
            save_or_restore(picture, plane, patch, memory.wider, kept, False)
            rows, columns = responses.rows[row], responses.columns[column]
            add_response(picture.dense[plane], rows, columns, patch, step)
            more_error = change_of_error(picture, weights, patch, memory)
        good = good and more_error + rate_weight * more_bits < 0
        if good:
            keep_bits(latents, n, counted)
            change_of_all_errors += more_error
            change_of_all_bits += more_bits
            taken += 1
            continue
        shift_latent(latents, model, move, -step)
        if touched:
            save_or_restore(picture, plane, patch, memory.wider, kept, True)
    return taken, change_of_all_errors, change_of_all_bits


@kernel(fastmath=FLAGS)
def count_all_bits(latents: MovedArrays, model: ContextWeights) -> None:
    """Count the bits of all latents.

    Args:
        latents: the bits are written.
        model: the entropy model.
    """
    layout = latents.layout
    counted = Counted(
        np.empty((LANES, 3), np.int64),
        np.empty(LANES, np.float32),
        np.zeros((3, model.bias.shape[1] * LANES), np.float32),
    )
    for g in range(len(layout)):
        width = layout[g, WIDTH]
        for first in range(0, layout[g, HEIGHT] * width, LANES):
            n = min(LANES, layout[g, HEIGHT] * width - first)
            for k in range(n):
                place = counted.places[k]
                place[GRID], place[ROW] = g, (first + k) // width
                place[COLUMN] = (first + k) % width
            count_bits(latents, model, n, counted)
            keep_bits(latents, n, counted)


@kernel(fastmath=FLAGS)
def make_picture(picture: Picture, weights: SynthesisWeights) -> float:
    """Make the whole picture from its dense representation; its squared error.

    Args:
        picture: `error` must be zero before; `stages`, `stabilised` and `error` are written.
        weights: of the synthesis.
    """
    _, height, width = picture.target.shape
    patch = np.empty(4, np.int64)
    patch[TOP], patch[BOTTOM], patch[LEFT], patch[RIGHT] = 0, height, 0, width
    memory = PatchMemory(
        np.empty(4, np.int64),
        np.empty(weights.hidden.shape[1] * LANES, np.float32),
        np.empty(3 * len(picture.target) * (width + LANES + 2), np.float32),
    )
    return change_of_error(picture, weights, patch, memory)
