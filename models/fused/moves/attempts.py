"""Single moves of rounded latents, each kept where the loss of the whole image falls by it.

Rate and distortion are those of the fit, for given networks; what a move changes of them is
computed exactly, but for the far tails of its response.
"""

from __future__ import annotations

import numpy as np

from givre.models.compiled.kernel import kernel
from givre.models.compiled.types import (
    FLAGS,
    Doubles1,
    Floats1,
    Floats2,
    Floats3,
    Floats4,
    Integers2,
)
from givre.models.fused.moves.distortion import (
    add_response,
    change_of_error,
    save_or_restore,
)
from givre.models.fused.moves.rate import (
    COLUMNS,
    HEIGHT,
    LANES,
    LEVEL,
    PLANE,
    ROWS,
    START,
    WIDTH,
    change_of_bits,
    count_bits,
    keep_bits,
    shift_latent,
)
from givre.models.geometry import LATENT_MAX, LATENT_MIN

_LOWEST, _HIGHEST = LATENT_MIN, LATENT_MAX


@kernel(fastmath=FLAGS)
def try_moves(
    layout: Integers2,
    symbols: Floats1,
    bits: Floats1,
    features: Floats1,
    offsets: Integers2,
    maps: Floats3,
    arm_hidden: Floats3,
    arm_bias: Floats2,
    arm_output: Floats2,
    dense: Floats3,
    stages: Floats4,
    stabilised: Floats3,
    error: Floats3,
    target: Floats3,
    span: Floats1,
    hidden: Floats2,
    output: Floats2,
    output_bias: Floats1,
    stabiliser: Floats2,
    residual: Floats4,
    residual_bias: Floats2,
    row_ends: Integers2,
    row_responses: Floats3,
    column_ends: Integers2,
    column_responses: Floats3,
    moves: Integers2,
    expected: Floats1,
    rate_weight: float,
    slack: float,
    changes: Doubles1,
) -> int:
    """Try moves one after the other and keep those by which the loss falls; how many these are.

    Args:
        layout: (G, 8), see `move_rate`.
        symbols: all latents.
        bits: of all latents.
        features: all features.
        offsets: of the contexts.
        maps: (n, G, F), what each grid adds to the features of the n finest.
        arm_hidden: (layers, K, K), with the identity of the residual connection.
        arm_bias: (layers, K).
        arm_output: (5, K): output, stabiliser, and the output's bias.
        dense: (L, H, W).
        stages: (1 + layers, C, H, W), input and results of the residual layers.
        stabilised: (C, H, W).
        error: (1, H, W), squared error of each pixel.
        target: (C, H, W).
        span: (C,).
        hidden: see `pixel_network.PixelWeights`, as the next three.
        output: likewise.
        output_bias: likewise.
        stabiliser: likewise.
        residual: (layers, C, C, 9).
        residual_bias: (layers, C).
        row_ends: (n, 2), first row that a latent's response reaches, and the one after its last.
        row_responses: (n, 2, .), its vertical factors.
        column_ends: likewise for columns.
        column_responses: likewise.
        moves: (N, 4): grid, row, column and step.
        expected: (N,), a guess of how the squared error will change.
        rate_weight: squared error that a bit is worth.
        slack: a move is not tried to its end where guess and true bits come to more than this.
        changes: (2,), the changes of squared error and of bits are added.
    """
    n_channels = len(target)
    length, breadth = row_responses.shape[2], column_responses.shape[2]
    margin = 2 * len(residual)
    area = (length + margin) * (breadth + margin)
    kept = np.empty(area * (2 + n_channels * (1 + len(stages))), np.float32)
    tile = np.empty(3 * n_channels * (breadth + margin + LANES + 2), np.float32)
    x = np.empty(hidden.shape[1] * LANES, np.float32)
    blocks = np.zeros((3, arm_bias.shape[1] * LANES), np.float32)
    n_places = len(offsets) + 1 + LANES
    for g in range(len(maps)):
        side = 1 << (layout[len(layout) - 1, LEVEL] - layout[g, LEVEL])
        n_places += min(side, layout[g, HEIGHT]) * min(side, layout[g, WIDTH])
    places = np.empty((n_places, 3), np.int64)
    counted = np.empty(n_places, np.float32)
    patch, wider = np.empty(4, np.int64), np.empty(4, np.int64)
    taken = 0
    for k in range(len(moves)):
        move = moves[k]
        grid, row, column, step = move[0], move[1], move[2], np.float32(move[3])
        at = layout[grid, START] + row * layout[grid, WIDTH] + column
        if not _LOWEST <= symbols[at] + step <= _HIGHEST:
            continue
        n, more_bits = change_of_bits(
            layout,
            symbols,
            features,
            bits,
            offsets,
            maps,
            arm_hidden,
            arm_bias,
            arm_output,
            move,
            places,
            blocks,
            counted,
        )
        plane = layout[grid, PLANE]
        more_error, touched = 0.0, False
        good = rate_weight * more_bits + expected[k] < slack
        if good and plane >= 0:
            above, left = layout[grid, ROWS] + row, layout[grid, COLUMNS] + column
            patch[0], patch[1] = row_ends[above, 0], row_ends[above, 1]
            patch[2], patch[3] = column_ends[left, 0], column_ends[left, 1]
            touched = True
            channel = dense[plane : plane + 1]
            save_or_restore(channel, stages, stabilised, error, patch, wider, kept, False)
            add_response(dense[plane], row_responses[above], column_responses[left], patch, step)
            more_error = change_of_error(
                dense,
                stages,
                stabilised,
                error,
                target,
                span,
                hidden,
                output,
                output_bias,
                stabiliser,
                residual,
                residual_bias,
                patch,
                wider,
                x,
                tile,
            )
        good = good and more_error + rate_weight * more_bits < 0
        if good:
            keep_bits(layout, bits, places, n, counted)
            changes[0] += more_error
            changes[1] += more_bits
            taken += 1
            continue
        shift_latent(layout, symbols, features, maps, grid, row, column, -step)
        if touched:
            channel = dense[plane : plane + 1]
            save_or_restore(channel, stages, stabilised, error, patch, wider, kept, True)
    return taken


@kernel(fastmath=FLAGS)
def count_all_bits(
    layout: Integers2,
    symbols: Floats1,
    bits: Floats1,
    features: Floats1,
    offsets: Integers2,
    maps: Floats3,
    arm_hidden: Floats3,
    arm_bias: Floats2,
    arm_output: Floats2,
) -> None:
    """Bits of all latents; arguments as of `try_moves`, `bits` is written."""
    places = np.empty((LANES, 3), np.int64)
    counted = np.empty(LANES, np.float32)
    blocks = np.zeros((3, arm_bias.shape[1] * LANES), np.float32)
    for g in range(len(layout)):
        width = layout[g, WIDTH]
        for first in range(0, layout[g, HEIGHT] * width, LANES):
            n = min(LANES, layout[g, HEIGHT] * width - first)
            for k in range(n):
                places[k, 0] = g
                places[k, 1], places[k, 2] = (first + k) // width, (first + k) % width
            count_bits(
                layout,
                symbols,
                features,
                offsets,
                maps.shape[2],
                arm_hidden,
                arm_bias,
                arm_output,
                places,
                n,
                blocks,
                counted,
            )
            keep_bits(layout, bits, places, n, counted)


@kernel(fastmath=FLAGS)
def make_picture(
    dense: Floats3,
    stages: Floats4,
    stabilised: Floats3,
    error: Floats3,
    target: Floats3,
    span: Floats1,
    hidden: Floats2,
    output: Floats2,
    output_bias: Floats1,
    stabiliser: Floats2,
    residual: Floats4,
    residual_bias: Floats2,
) -> float:
    """Squared error of the whole picture; arguments as of `try_moves`.

    `stages`, `stabilised` and `error`, which must be zero before, are written.
    """
    _, height, width = target.shape
    patch, wider = np.empty(4, np.int64), np.empty(4, np.int64)
    patch[0], patch[1], patch[2], patch[3] = 0, height, 0, width
    x = np.empty(hidden.shape[1] * LANES, np.float32)
    tile = np.empty(3 * len(target) * (width + LANES + 2), np.float32)
    return change_of_error(
        dense,
        stages,
        stabilised,
        error,
        target,
        span,
        hidden,
        output,
        output_bias,
        stabiliser,
        residual,
        residual_bias,
        patch,
        wider,
        x,
        tile,
    )
