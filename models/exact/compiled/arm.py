"""The exact entropy model: the ARM on blocks of pixels, and the inter-feature contexts.

It is the entropy model of `givre.models.fused.entropy` on the number grids of
`givre.models.exact.arithmetic`. With R(v) the nearest multiple of 2^-16, as `on_grid` has it, and
W' = W + 1, which holds the residual connection:

    h_0 = c,   h_i = max(R(W'_i h_(i-1) + b_i), 0)
    (v, s) = R(W h_N + b + S c)
    mean = v rounded to 2^-8,   scale index = round(32 (s + 1))
    feature_f = R(b_f + sum over the coarser grids i of w_(f,i) y_i), grids stretched to one size

`docs/FORMAT.md` has all ranges and roundings. The networks are those of COOL-CHIC (Ladune et al.,
ICCV 2023, arXiv:2212.05458) and of Cool-chic 4 and 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from givre.models.architecture import Architecture
from givre.models.compiled.kernel import kernel, kernel_part
from givre.models.compiled.types import Doubles, Doubles1, Doubles2, Doubles3, Integers2
from givre.models.exact.arithmetic import (
    MEAN_BITS,
    MEAN_MAX,
    MEAN_MIN,
    N_SCALES,
    SCALE_OFFSET,
    SCALE_STEPS,
)
from givre.models.exact.compiled.blocks import (
    BLOCK,
    EXACT,
    LIMIT,
    add_linear,
    affine,
    layer_on_grid,
    on_grid,
    padded,
    padded_matrix,
    padded_vector,
)

MEAN_STEPS = 1 << MEAN_BITS

GRID_START, GRID_WIDTH, GRID_SHIFT = range(3)
"""Columns of a table of grids that are mixed.

START: where the grid begins among the latents.
WIDTH: of the grid.
SHIFT: logarithm to the base 2 of the factor by which it is coarser than the result.
"""


class PackedArm(NamedTuple):
    """The ARM's parameters.

    Attributes:
        numbers: flat, in the order in which the kernels read them: for each hidden layer its padded
            matrix (residual included) and bias, then the output's matrix, the stabiliser's, and
            the output's bias.
        n_hidden: number of hidden layers.
        width: of the context, padded.
    """

    numbers: Doubles1
    n_hidden: int
    width: int


class Predictions(NamedTuple):
    """What the ARM says of some latents, and where it is written.

    Attributes:
        table: (321,), the number that each scale index stands for.
        mean: (n,) or more, gets the means.
        scale: (n,) or more, gets the table's numbers.
    """

    table: Doubles1
    mean: Doubles1
    scale: Doubles1


def pack_arm(arch: Architecture, parameters: Mapping[str, Doubles]) -> PackedArm:
    """Pack the parameters of the ARM, from all parameters by name."""
    parts = []
    for i in range(arch.n_arm_hidden):
        parts.append(padded_matrix(parameters[f"arm.hidden.{i}.weight"], residual=True))
        parts.append(padded_vector(parameters[f"arm.hidden.{i}.bias"]))
    parts.append(padded_matrix(parameters["arm.output.weight"]))
    parts.append(padded_matrix(parameters["arm.stabiliser.weight"]))
    parts.append(padded_vector(parameters["arm.output.bias"]))
    return PackedArm(np.concatenate(parts), arch.n_arm_hidden, padded(arch.context_width))


def arm_scratch(arch: Architecture) -> Doubles:
    """Blocks for the context, two layers in turn and the outputs; zeros, as padding must be."""
    return np.zeros((3 * padded(arch.context_width) + 4) * BLOCK)


@kernel_part(fastmath=EXACT)
def arm_block(arm: PackedArm, scratch: Doubles, n: int) -> Doubles:
    """Run the ARM on the context at the start of `scratch`.

    Args:
        arm: the parameters.
        scratch: of `arm_scratch`; the context is in its first `arm.width` rows.
        n: pixels, at most BLOCK.

    Returns:
        The block of the outputs: row 0 for the mean, row 1 for the log-scale.
    """
    packed, width = arm.numbers, arm.width
    size = width * width
    given = scratch[: width * BLOCK]
    start = 0
    for i in range(arm.n_hidden):
        place = (1 + (i & 1)) * width * BLOCK
        out = scratch[place : place + width * BLOCK]
        bias = packed[start + size : start + size + width]
        layer_on_grid(packed[start : start + size], bias, width, width, given, out, n, 0.0)
        start += size + width
        given = out
    out = scratch[3 * width * BLOCK :]
    size = 4 * width
    bias = packed[start + 2 * size : start + 2 * size + 4]
    affine(packed[start : start + size], bias, 4, width, given, out, n)
    add_linear(packed[start + size : start + 2 * size], 4, width, scratch, out, n)
    return out


@kernel_part(fastmath=EXACT)
def store_prediction(out: Doubles, found: Predictions, first: int, n: int) -> None:
    """Turn outputs of `arm_block` into the predictions `first` to `first` + n - 1."""
    means, scales = found.mean[first : first + n], found.scale[first : first + n]
    table = found.table
    for p in range(n):
        steps = np.floor(on_grid(out[p], -LIMIT) * MEAN_STEPS + 0.5)
        means[p] = min(max(steps * (1.0 / MEAN_STEPS), MEAN_MIN), MEAN_MAX)
        value = on_grid(out[BLOCK + p], -LIMIT)
        index = np.floor((value + SCALE_OFFSET) * SCALE_STEPS + 0.5)
        scales[p] = table[np.uintp(min(max(index, 0.0), N_SCALES - 1.0))]


@kernel(fastmath=EXACT)
def arm_contexts(arm: PackedArm, context: Doubles2, scratch: Doubles1, found: Predictions) -> None:
    """Predict n latents from their contexts.

    Args:
        arm: the parameters.
        context: (n, D).
        scratch: of `arm_scratch`.
        found: written.
    """
    n_pixels, width = context.shape
    for first in range(0, n_pixels, BLOCK):
        n = min(BLOCK, n_pixels - first)
        for p in range(n):
            for i in range(width):
                scratch[i * BLOCK + p] = context[first + p, i]
        out = arm_block(arm, scratch, n)
        store_prediction(out, found, first, n)


@kernel(fastmath=EXACT)
def mix_features(
    weight: Doubles1, bias: Doubles1, latents: Doubles1, geometry: Integers2, out: Doubles3
) -> None:
    """Inter-feature contexts of one grid.

    Args:
        weight: padded matrix (F, n).
        bias: padded (F,).
        latents: values of the n grids that are mixed, one after the other.
        geometry: (n, 3), a row for each grid, columns GRID_START to GRID_SHIFT.
        out: (F, H, W), is overwritten.
    """
    n_features, height, width = out.shape
    n_grids = len(geometry)
    n_in, n_out = -(-n_grids // 4) * 4, len(bias)
    given, mixed = np.zeros(n_in * BLOCK), np.empty(n_out * BLOCK)
    for y in range(height):
        for first in range(0, width, BLOCK):
            n = min(BLOCK, width - first)
            for i in range(n_grids):
                shift = np.uint64(geometry[i, GRID_SHIFT])
                start = geometry[i, GRID_START] + (y >> shift) * geometry[i, GRID_WIDTH]
                line = latents[start : start + geometry[i, GRID_WIDTH]]
                row = given[i * BLOCK : (i + 1) * BLOCK]
                for p in range(n):
                    row[p] = line[np.uint64(first + p) >> shift]
            affine(weight, bias, n_out, n_in, given, mixed, n)
            for f in range(n_features):
                row, line = mixed[f * BLOCK : (f + 1) * BLOCK], out[f, y, first:]
                for p in range(n):
                    line[p] = on_grid(row[p], -LIMIT)
