"""Exact synthesis from latents to samples, in tiles that stay in the processor's cache.

A tile is a piece of a band of rows, with as many rows and columns around it as the residual
layers reach. Whatever the size of the image, a tile takes less than 4 MB.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from givre.models.architecture import Architecture
from givre.models.compiled.kernel import kernel, kernel_part
from givre.models.compiled.types import Doubles, Doubles1, Doubles2, Doubles3, Samples3
from givre.models.exact.compiled.blocks import (
    BLOCK,
    EXACT,
    LIMIT,
    affine,
    layer_on_grid,
    on_grid,
    padded_matrix,
    padded_vector,
)
from givre.models.exact.compiled.upsampling import (
    doubled_row,
    preconcat_row,
    preconcat_taps,
    transposed_taps,
)

SynthesisParameters = tuple[
    Doubles2, Doubles1, Doubles1, Doubles1, Doubles1, Doubles1, Doubles1, Doubles1, Doubles1
]

TILE_ROWS = 64
TILE_COLUMNS = 240

PITCH = TILE_COLUMNS + 16
"""Columns of a tile's planes; up to 4 residual layers reach 4 to each side, and 1 is odd."""

PLANE = (TILE_ROWS + 8) * PITCH


def pack_synthesis(arch: Architecture, parameters: Mapping[str, Doubles]) -> SynthesisParameters:
    """What `synthesise_rows` takes: last upsampling stage, then the layers, all padded."""
    stage = arch.n_levels - 2
    residual = [
        np.concatenate(
            [
                parameters[f"synthesis.residual.{i}.weight"].reshape(-1),
                parameters[f"synthesis.residual.{i}.bias"],
            ]
        )
        for i in range(arch.n_residual)
    ]
    return (
        transposed_taps(parameters[f"upsampling.transposed.{stage}.weight"]),
        preconcat_taps(parameters[f"upsampling.preconcat.{stage}.weight"]),
        padded_matrix(parameters["synthesis.hidden.weight"][:, :, 0, 0]),
        padded_vector(parameters["synthesis.hidden.bias"]),
        padded_matrix(parameters["synthesis.output.weight"][:, :, 0, 0]),
        padded_vector(parameters["synthesis.output.bias"]),
        padded_matrix(parameters["synthesis.stabiliser.weight"][:, :, 0, 0]),
        np.zeros(4),
        np.concatenate([np.zeros(0), *residual]),
    )


@kernel_part(fastmath=EXACT)
def residual_layer(
    weight: Doubles, n_channels: int, x: Doubles, y: Doubles, n_rows: int, n: int, low: float
) -> None:
    """Y = R(x + conv3x3(x) + bias), at least `low`, on the planes of a tile.

    Columns are at 1 .. n of each row of PITCH numbers; columns 0 and n + 1 of x are overwritten
    with its border. At the cut edges of a tile that is wrong, one row and column a layer deep.
    """
    bias = weight[n_channels * n_channels * 9 :]
    for plane in range(n_channels):
        for row in range(n_rows):
            line = x[plane * PLANE + row * PITCH :]
            line[0] = line[1]
            line[n + 1] = line[n]
    for row in range(n_rows):
        above, below = max(row - 1, 0) * PITCH, min(row + 1, n_rows - 1) * PITCH
        for channel in range(n_channels):
            out = y[channel * PLANE + row * PITCH + 1 :]
            same = x[channel * PLANE + row * PITCH + 1 :]
            offset = bias[channel:][0]
            for p in range(n):
                out[p] = same[p] + offset
            for given in range(n_channels):
                w = weight[(channel * n_channels + given) * 9 :]
                w0, w1, w2, w3, w4, w5, w6, w7, w8 = (
                    w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8],
                )  # fmt: skip
                top = x[given * PLANE + above :]
                mid = x[given * PLANE + row * PITCH :]
                bottom = x[given * PLANE + below :]
                for p in range(n):
                    out[p] += (
                        w0 * top[p] + w1 * top[p + 1] + w2 * top[p + 2]
                        + w3 * mid[p] + w4 * mid[p + 1] + w5 * mid[p + 2]
                        + w6 * bottom[p] + w7 * bottom[p + 1] + w8 * bottom[p + 2]
                    )  # fmt: skip
            for p in range(n):
                out[p] = on_grid(out[p], low)


@kernel_part(fastmath=EXACT)
def per_pixel_row(
    layers: SynthesisParameters,
    n_channels: int,
    dense: Doubles,
    hidden: Doubles,
    out: Doubles,
    trunk: Doubles,
    side: Doubles,
    n: int,
) -> None:
    """Hidden, output and stabiliser layers of one row of a tile.

    Args:
        layers: of `pack_synthesis`.
        n_channels: of the image.
        dense: blocks of the row's representation, one after the other.
        hidden: scratch for a block of the hidden layer.
        out: scratch for a block of the outputs.
        trunk: planes of the tile, from this row's first number on; gets the output layer.
        side: the same for the stabiliser.
        n: columns.
    """
    _, _, w_hidden, b_hidden, w_output, b_output, w_side, no_bias, _ = layers
    n_hidden = len(b_hidden)
    n_in = len(w_hidden) // n_hidden
    for first in range(0, n, BLOCK):
        count = min(BLOCK, n - first)
        given = dense[first * n_in : (first + BLOCK) * n_in]
        layer_on_grid(w_hidden, b_hidden, n_hidden, n_in, given, hidden, count, 0.0)
        layer_on_grid(w_output, b_output, 4, n_hidden, hidden, out, count, -LIMIT)
        for channel in range(n_channels):
            line = trunk[channel * PLANE + first :]
            for p in range(count):
                line[p] = out[channel * BLOCK :][p]
        affine(w_side, no_bias, 4, n_in, given, out, count)
        for channel in range(n_channels):
            line = side[channel * PLANE + first :]
            for p in range(count):
                line[p] = out[channel * BLOCK :][p]


@kernel_part(fastmath=EXACT)
def dense_row(
    layers: SynthesisParameters,
    finest: Doubles,
    stack: Doubles,
    row: int,
    left: int,
    n: int,
    scratch: Doubles,
    line: Doubles,
    dense: Doubles,
) -> None:
    """The representation of a piece of a row, in blocks of [channel][pixel]."""
    transposed, preconcat = layers[0], layers[1]
    n_in = len(layers[2]) // len(layers[3])
    for channel in range(len(stack) + 1):
        if channel == 0:
            preconcat_row(finest, preconcat, row, left, n, scratch, line)
        else:
            doubled_row(stack[channel - 1], transposed, row, left, n, scratch, line)
        for first in range(0, n, BLOCK):
            block = dense[first * n_in + channel * BLOCK :]
            given = line[first:]
            for p in range(min(BLOCK, n - first)):
                block[p] = given[p]


@kernel(fastmath=EXACT)
def synthesise_rows(
    finest: Doubles2,
    stack: Doubles3,
    layers: SynthesisParameters,
    first: int,
    last: int,
    low: Doubles1,
    span: Doubles1,
    normalised: Doubles3,
    samples: Samples3,
) -> None:
    """Rows first .. last - 1 of the image, from latents to what is asked for.

    Args:
        finest: main grid of level 0, (H, W).
        stack: the rest of the representation, (L - 1, ceil(H/2), ceil(W/2)).
        layers: of `pack_synthesis`.
        first: first row.
        last: row after the last.
        low: (C,) lowest sample.
        span: (C,) highest sample less the lowest.
        normalised: gets the normalised samples, (C, last - first, W), or is empty.
        samples: gets the samples, (last - first, W, C), or is empty.
    """
    height, width = finest.shape
    n_channels = len(low)
    n_in = len(layers[2]) // len(layers[3])
    residual = layers[8]
    n_weights = n_channels * (9 * n_channels + 1)
    halo = len(residual) // n_weights
    reach = 2 * (layers[0].shape[1] + len(layers[1]))
    scratch, line = np.empty(2 * PITCH + reach + 8), np.empty(PITCH + 2)
    dense = np.zeros((PITCH + BLOCK) * n_in)
    hidden, out = np.zeros(len(layers[3]) * BLOCK), np.empty(4 * BLOCK)
    x, y = np.zeros(n_channels * PLANE + PITCH), np.zeros(n_channels * PLANE + PITCH)
    side = np.empty(n_channels * PLANE + PITCH)
    for tile_first in range(first, last, TILE_ROWS):
        tile_last = min(tile_first + TILE_ROWS, last)
        top, bottom = max(0, tile_first - halo), min(height, tile_last + halo)
        for tile_left in range(0, width, TILE_COLUMNS):
            tile_right = min(tile_left + TILE_COLUMNS, width)
            left = max(0, tile_left - halo) & -2  # the upsampler starts at even columns
            n = min(width, tile_right + halo) - left
            for row in range(top, bottom):
                dense_row(layers, finest, stack, row, left, n, scratch, line, dense)
                start = (row - top) * PITCH
                per_pixel_row(
                    layers, n_channels, dense, hidden, out, x[start + 1 :], side[start:], n
                )
            for layer in range(halo):
                weight = residual[layer * n_weights : (layer + 1) * n_weights]
                bound = 0.0 if layer + 1 < halo else -LIMIT
                residual_layer(weight, n_channels, x, y, bottom - top, n, bound)
                x, y = y, x
            for row in range(tile_first, tile_last):
                start = (row - top) * PITCH + tile_left - left
                for channel in range(n_channels):
                    trunk = x[channel * PLANE + start + 1 :]
                    extra = side[channel * PLANE + start :]
                    count = tile_right - tile_left
                    for p in range(count):
                        line[p] = on_grid(trunk[p] + extra[p], -LIMIT)
                    if normalised.size:
                        normalised[channel, row - first, tile_left:tile_right] = line[:count]
                    if samples.size:
                        base, factor = low[channel], span[channel]
                        # Two loops: the stores below go C bytes apart, which spoils the first.
                        for p in range(count):
                            line[p] = base + np.floor(factor * min(max(line[p], 0.0), 1.0) + 0.5)
                        pixels = samples[row - first, tile_left:tile_right, channel]
                        for p in range(count):
                            pixels[p] = np.uint8(np.int32(line[p]))
