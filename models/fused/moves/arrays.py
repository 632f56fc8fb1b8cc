"""What the kernels of moves take: arrays that belong together, and names for columns.

Networks stay as they are while latents are moved; latents, features, bits and picture follow.
"""

from __future__ import annotations

from typing import NamedTuple

from givre.models.compiled.types import Floats1, Floats2, Floats3, Floats4, Integers2

LEVEL, HEIGHT, WIDTH, START, FEATURES, PLANE, ROWS, COLUMNS = range(8)
"""Columns of a layout, one row a grid.

LEVEL: of the pyramid.
HEIGHT, WIDTH: size of the grid.
START: index of its first latent in the flat arrays.
FEATURES: index of its first feature in the flat array of those, or -1.
PLANE: channel of the dense representation that it becomes, or -1.
ROWS, COLUMNS: indices of the responses of its first row and of its first column, or -1.
"""

N_LAYOUT_COLUMNS = 8

GRID, ROW, COLUMN, STEP = range(4)
"""Columns of a move: grid, row and column of the latent, and what is added to it.

The first three are those of a place, too.
"""

TOP, BOTTOM, LEFT, RIGHT = range(4)
"""Numbers of a patch: first row, the one after the last, first column, the one after the last."""


class Moves(NamedTuple):
    """N moves, to be tried in their order.

    Attributes:
        table: (N, 4), columns GRID to STEP.
        expected: (N,), a guess of how each changes the squared error.
    """

    table: Integers2
    expected: Floats1


class MovedArrays(NamedTuple):
    """The latents of all grids, and what depends on them alone; all of it follows a move.

    Attributes:
        layout: (grids, 8), columns LEVEL to COLUMNS; it never changes.
        symbols: the latents, flat, one grid after the other.
        features: of the grids that have any, flat, (H, W, F) of each.
        bits: of each latent, flat.
    """

    layout: Integers2
    symbols: Floats1
    features: Floats1
    bits: Floats1


class ContextWeights(NamedTuple):
    """The entropy model; contexts are filled up with zeros to K, a multiple of 4.

    Attributes:
        offsets: (n_spatial, 2), rows and columns from a latent to its spatial neighbours.
        maps: (n, grids, F), what each grid adds to the features of the n finest.
        hidden: (layers, K, K), each plus the identity of its residual connection.
        bias: (layers, K).
        output: (5, K), output layer (2, K), stabiliser (2, K), and the output's bias in 2 numbers.
    """

    offsets: Integers2
    maps: Floats3
    hidden: Floats3
    bias: Floats2
    output: Floats2


class Picture(NamedTuple):
    """What the latents become; all but the last two follow a move.

    Attributes:
        dense: (L, H, W), dense representation.
        stages: (1 + layers, C, H, W), input and results of the residual layers.
        stabilised: (C, H, W), result of the stabiliser.
        error: (1, H, W), squared error of each pixel.
        target: (C, H, W), normalised samples in [0, 1].
        span: (C, 1, 1), a factor of each channel's errors before they are squared, or (C, H, W).
    """

    dense: Floats3
    stages: Floats4
    stabilised: Floats3
    error: Floats3
    target: Floats3
    span: Floats3


class SynthesisWeights(NamedTuple):
    """The synthesis; its per-pixel layers are those of `pixel_network.PixelWeights`.

    Attributes:
        hidden: (J, K), padded, with the bias.
        output: (4, J), padded.
        output_bias: (4,), padded.
        stabiliser: (4, K), padded.
        residual: (layers, C, C, 9).
        residual_bias: (layers, C).
    """

    hidden: Floats2
    output: Floats2
    output_bias: Floats1
    stabiliser: Floats2
    residual: Floats4
    residual_bias: Floats2


class Responses(NamedTuple):
    """How the dense representation answers to a latent, for each of n rows and m columns.

    Attributes:
        row_ends: (n, 2), first row that is reached, and the one after the last.
        rows: (n, 2, longest), vertical factors of the two outer products.
        column_ends: (m, 2), first column that is reached, and the one after the last.
        columns: (m, 2, longest), horizontal factors of the two outer products.
    """

    row_ends: Integers2
    rows: Floats3
    column_ends: Integers2
    columns: Floats3
