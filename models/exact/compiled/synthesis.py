"""Exact synthesis from latents to samples, in tiles that stay in the processor's cache.

With x the dense representation of a pixel and R(v) the nearest multiple of 2^-16, as `on_grid` has
it (the layers are those of `givre.models.fused.synthesis`, `docs/FORMAT.md` has their ranges):

    a = max(R(H x + b_H), 0),   t_0 = R(W a + b),   s = S x
    t_i = R(t_(i-1) + W_i * t_(i-1) + b_i), and at least 0 but for the last i
    normalised = R(t_N + s),   sample = low + floor(span clamp(normalised, 0, 1) + 1/2)

A tile is a piece of a band of rows, with as many rows and columns around it as the residual
layers reach. Whatever the size of the image, a tile takes less than 4 MB.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from givre.models.architecture import Architecture
from givre.models.compiled.kernel import kernel, kernel_part
from givre.models.compiled.loops import copy
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


class SynthesisParameters(NamedTuple):
    """Last stage of the upsampling, then the layers, all padded.

    Attributes:
        transposed: of `transposed_taps`.
        preconcat: of `preconcat_taps`.
        hidden: padded matrix (J, L), flat.
        hidden_bias: padded (J,).
        output: padded matrix (4, J), flat.
        output_bias: padded (4,).
        stabiliser: padded matrix (4, L), flat.
        no_bias: (4,) zeros.
        residual: for each layer its weights (C, C, 9) and its bias (C,), flat.
    """

    transposed: Doubles2
    preconcat: Doubles1
    hidden: Doubles1
    hidden_bias: Doubles1
    output: Doubles1
    output_bias: Doubles1
    stabiliser: Doubles1
    no_bias: Doubles1
    residual: Doubles1


class Output(NamedTuple):
    """What is asked for of n rows; what is not wanted is empty.

    Attributes:
        low: (C,), lowest sample of each channel.
        span: (C,), highest sample less the lowest.
        normalised: (C, n, W), gets the normalised samples, not clamped.
        samples: (n, W, C), gets the samples.
    """

    low: Doubles1
    span: Doubles1
    normalised: Doubles3
    samples: Samples3


class RowMemory(NamedTuple):
    """Memory for a row of a tile.

    Attributes:
        scratch: for the upsampling's filters.
        line: of numbers.
        dense: blocks of the row's representation, one after the other; padding stays zero.
        hidden: a block of the hidden layer.
        out: a block of the outputs.
    """

    scratch: Doubles1
    line: Doubles1
    dense: Doubles1
    hidden: Doubles1
    out: Doubles1


TILE_ROWS = 64
TILE_COLUMNS = 240

PITCH = TILE_COLUMNS + 16
"""Columns of a tile's planes; up to 4 residual layers reach 4 to each side, and 1 is odd."""

PLANE = (TILE_ROWS + 8) * PITCH


def pack_synthesis(arch: Architecture, parameters: Mapping[str, Doubles]) -> SynthesisParameters:
    """Pack the parameters of the synthesis, from all parameters by name."""
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
    return SynthesisParameters(
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
    memory: RowMemory,
    trunk: Doubles,
    side: Doubles,
    n: int,
) -> None:
    """Hidden, output and stabiliser layers of one row of a tile.

    Args:
        layers: parameters.
        n_channels: of the image.
        memory: with the row's representation.
        trunk: planes of the tile, from this row's first number on; gets the output layer.
        side: planes of the tile, from this row's first number on; gets the stabiliser.
        n: columns.
    """
    dense, hidden, out = memory.dense, memory.hidden, memory.out
    w_hidden, b_hidden = layers.hidden, layers.hidden_bias
    w_output, b_output = layers.output, layers.output_bias
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
        affine(layers.stabiliser, layers.no_bias, 4, n_in, given, out, count)
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
    memory: RowMemory,
) -> None:
    """The representation of a piece of a row, in blocks of [channel][pixel]."""
    scratch, line, dense = memory.scratch, memory.line, memory.dense
    transposed, preconcat = layers.transposed, layers.preconcat
    n_in = len(layers.hidden) // len(layers.hidden_bias)
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
    output: Output,
) -> None:
    """Rows first .. last - 1 of the image, from latents to what is asked for.

    Args:
        finest: main grid of level 0, (H, W).
        stack: the rest of the representation, (L - 1, ceil(H/2), ceil(W/2)).
        layers: parameters.
        first: first row.
        last: row after the last.
        output: of these rows, written.
    """
    height, width = finest.shape
    n_channels = len(output.low)
    n_in = len(layers.hidden) // len(layers.hidden_bias)
    residual, normalised, samples = layers.residual, output.normalised, output.samples
    n_weights = n_channels * (9 * n_channels + 1)
    halo = len(residual) // n_weights
    reach = 2 * (layers.transposed.shape[1] + len(layers.preconcat))
    line = np.empty(PITCH + 2)
    memory = RowMemory(
        np.empty(2 * PITCH + reach + 8),
        line,
        np.zeros((PITCH + BLOCK) * n_in),
        np.zeros(len(layers.hidden_bias) * BLOCK),
        np.empty(4 * BLOCK),
    )
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
                dense_row(layers, finest, stack, row, left, n, memory)
                start = (row - top) * PITCH
                per_pixel_row(layers, n_channels, memory, x[start + 1 :], side[start:], n)
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
                        copy(line[:count], normalised[channel, row - first, tile_left:tile_right])
                    if samples.size:
                        base, factor = output.low[channel], output.span[channel]
                        # Two loops: the stores below go C bytes apart, which spoils the first.
                        for p in range(count):
                            line[p] = base + np.floor(factor * min(max(line[p], 0.0), 1.0) + 0.5)
                        pixels = samples[row - first, tile_left:tile_right, channel]
                        for p in range(count):
                            pixels[p] = np.uint16(np.int32(line[p]))
