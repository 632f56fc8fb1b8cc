"""What moving a single latent does to the picture: the patch that it reaches is made again.

The upsampling is linear, so a step s of a latent adds its response to one channel of the dense
representation, the sum of two outer products (`givre.models.fused.moves.responses`):

    dense[r, x] += s (a[r] b[x] + c[r] d[x])

Then come the synthesis' per-pixel layers on this patch, and each 3x3 layer on one that is a pixel
wider, as in `givre.models.fused.synthesis`. Everything is changed in place; what was there is kept
for the way back.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from givre.models.compiled.kernel import kernel_part
from givre.models.compiled.loops import copy
from givre.models.compiled.types import FLAGS, Floats, Floats1, Integers, Integers1
from givre.models.fused.moves.arrays import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Picture,
    SynthesisWeights,
)
from givre.models.fused.moves.rate import LANES, add_lanes, fill_lanes

_ZERO = np.float32(0)
_ONE = np.float32(1)


class PatchMemory(NamedTuple):
    """What making a patch again takes.

    Attributes:
        wider: (4,), the patch with a margin.
        x: (K * LANES,), inputs of the synthesis.
        tile: at least 3 C rows of the widest patch, rounded up to LANES, plus 2.
    """

    wider: Integers1
    x: Floats1
    tile: Floats1


@kernel_part(fastmath=FLAGS)
def _copy_patch(planes: Floats, patch: Integers, kept: Floats, first: int, back: bool) -> int:
    """Copy a patch (top, bottom, left, right) of planes (C, H, W) to flat memory, or back.

    Returns the index after it.
    """
    at = first
    for c in range(len(planes)):
        for r in range(patch[TOP], patch[BOTTOM]):
            row = planes[c, r]
            for x in range(patch[LEFT], patch[RIGHT]):
                if back:
                    row[x] = kept[at]
                else:
                    kept[at] = row[x]
                at += 1
    return at


@kernel_part(fastmath=FLAGS)
def _widen(patch: Integers, by: int, height: int, width: int, wider: Integers) -> None:
    """The patch with a margin, as far as the image goes."""
    wider[TOP], wider[BOTTOM] = max(patch[TOP] - by, 0), min(patch[BOTTOM] + by, height)
    wider[LEFT], wider[RIGHT] = max(patch[LEFT] - by, 0), min(patch[RIGHT] + by, width)


@kernel_part(fastmath=FLAGS)
def add_response(
    plane: Floats, rows: Floats, columns: Floats, patch: Integers, step: np.float32
) -> None:
    """Add a latent's response, the sum of two outer products, to a channel.

    Args:
        plane: (H, W).
        rows: (2, .), the vertical factors.
        columns: (2, .), the horizontal factors.
        patch: where the factors begin and end.
        step: of the latent.
    """
    for r in range(patch[TOP], patch[BOTTOM]):
        a, b = step * rows[0, r - patch[TOP]], step * rows[1, r - patch[TOP]]
        row = plane[r]
        for x in range(patch[LEFT], patch[RIGHT]):
            row[x] += a * columns[0, x - patch[LEFT]] + b * columns[1, x - patch[LEFT]]


@kernel_part(fastmath=FLAGS)
def _weigh(weights: SynthesisWeights, x: Floats, out: Floats) -> None:
    """Hidden and output layer of LANES pixels."""
    hidden, output, output_bias = weights.hidden, weights.output, weights.output_bias
    a = np.empty(LANES, np.float32)
    for c in range(len(output_bias)):
        fill_lanes(out[c * LANES :], output_bias[c])
    for j in range(len(hidden)):
        fill_lanes(a, _ZERO)
        add_lanes(hidden[j], x, a)
        for c in range(len(output_bias)):
            weight, row = output[c, j], out[c * LANES :]
            for p in range(LANES):
                row[p] += weight * max(a[p], _ZERO)


@kernel_part(fastmath=FLAGS)
def _synthesise_patch(
    picture: Picture, weights: SynthesisWeights, patch: Integers, x: Floats
) -> None:
    """Per-pixel layers on a patch."""
    dense, features, stabilised = picture.dense, picture.stages[0], picture.stabilised
    n_levels, n_channels = len(dense), len(features)
    out, linear = np.empty(4 * LANES, np.float32), np.empty(LANES, np.float32)
    for k in range(weights.hidden.shape[1]):
        fill_lanes(x[k * LANES :], _ONE if k == n_levels else _ZERO)
    for r in range(patch[TOP], patch[BOTTOM]):
        for first in range(patch[LEFT], patch[RIGHT], LANES):
            n = min(LANES, patch[RIGHT] - first)
            for k in range(n_levels):
                copy(dense[k, r, first : first + n], x[k * LANES : k * LANES + n])
            _weigh(weights, x, out)
            for c in range(n_channels):
                fill_lanes(linear, _ZERO)
                add_lanes(weights.stabiliser[c], x, linear)
                copy(out[c * LANES : c * LANES + n], features[c, r, first : first + n])
                copy(linear[:n], stabilised[c, r, first : first + n])


@kernel_part(fastmath=FLAGS)
def _residual_patch(
    source: Floats,
    weight: Floats,
    bias: Floats,
    relu: bool,
    patch: Integers,
    destination: Floats,
    tile: Floats,
) -> None:
    """One 3x3 residual layer on a patch of (C, H, W), with the border continued.

    Args:
        source: (C, H, W), what the layer sees.
        weight: (C, C, 9).
        bias: (C,).
        relu: whether a ReLU follows.
        patch: where to compute.
        destination: (C, H, W), written.
        tile: at least 3 C rows of the patch's width, rounded up to LANES, plus 2.
    """
    n_channels, height, width = source.shape
    span = (patch[RIGHT] - patch[LEFT] + LANES - 1) // LANES * LANES + 2
    out = np.empty(LANES, np.float32)
    for r in range(patch[TOP], patch[BOTTOM]):
        for c in range(n_channels):
            for dy in range(3):
                row = source[c, min(max(r + dy - 1, 0), height - 1)]
                line = tile[(c * 3 + dy) * span :]
                for x in range(span):
                    line[x] = row[min(max(patch[LEFT] + x - 1, 0), width - 1)]
        for c in range(n_channels):
            for first in range(0, span - 2, LANES):
                n = min(LANES, patch[RIGHT] - patch[LEFT] - first)
                middle = tile[(c * 3 + 1) * span + first + 1 :]
                for p in range(LANES):
                    out[p] = middle[p] + bias[c]
                for k in range(n_channels):
                    for dy in range(3):
                        line = tile[(k * 3 + dy) * span + first :]
                        w = weight[c, k, 3 * dy :]
                        w0, w1, w2 = w[0], w[1], w[2]
                        for p in range(LANES):
                            out[p] += w0 * line[p] + w1 * line[p + 1] + w2 * line[p + 2]
                row = destination[c, r, patch[LEFT] + first :]
                for p in range(n):
                    row[p] = max(out[p], _ZERO) if relu else out[p]


@kernel_part(fastmath=FLAGS)
def _error_of_patch(picture: Picture, patch: Integers) -> float:
    """Count the squared error of each pixel of a patch again; the change in all."""
    stabilised, error, target = picture.stabilised, picture.error, picture.target
    last = picture.stages[len(picture.stages) - 1]
    span = picture.span
    by_sample = span.shape[1] * span.shape[2] > 1
    change = 0.0
    for r in range(patch[TOP], patch[BOTTOM]):
        for x in range(patch[LEFT], patch[RIGHT]):
            total = _ZERO
            for c in range(len(target)):
                sample = min(max(last[c, r, x] + stabilised[c, r, x], _ZERO), _ONE)
                factor = span[c, r, x] if by_sample else span[c, 0, 0]
                difference = (sample - target[c, r, x]) * factor
                total += difference * difference
            change += total - error[0, r, x]
            error[0, r, x] = total
    return change


@kernel_part(fastmath=FLAGS)
def change_of_error(
    picture: Picture, weights: SynthesisWeights, patch: Integers, memory: PatchMemory
) -> float:
    """Make a patch of the picture again from `dense`; the change of its squared error."""
    height, width = picture.target.shape[1:]
    stages, wider = picture.stages, memory.wider
    n_layers = len(weights.residual)
    _synthesise_patch(picture, weights, patch, memory.x)
    for layer in range(n_layers):
        _widen(patch, layer + 1, height, width, wider)
        _residual_patch(
            stages[layer],
            weights.residual[layer],
            weights.residual_bias[layer],
            layer + 1 < n_layers,
            wider,
            stages[layer + 1],
            memory.tile,
        )
    _widen(patch, n_layers, height, width, wider)
    return _error_of_patch(picture, wider)


@kernel_part(fastmath=FLAGS)
def save_or_restore(
    picture: Picture, plane: int, patch: Integers, wider: Integers, kept: Floats, back: bool
) -> None:
    """Copy everything that a latent of a channel changes to flat memory, or back.

    Args:
        picture: to be changed, or changed back.
        plane: the channel of the dense representation.
        patch: where the latent reaches in it.
        wider: (4,), memory for a patch.
        kept: memory for all that changes.
        back: whether it is copied back.
    """
    stages = picture.stages
    _, _, height, width = stages.shape
    at = _copy_patch(picture.dense[plane : plane + 1], patch, kept, 0, back)
    at = _copy_patch(picture.stabilised, patch, kept, at, back)
    for stage in range(len(stages)):
        _widen(patch, stage, height, width, wider)
        at = _copy_patch(stages[stage], wider, kept, at, back)
    _widen(patch, len(stages) - 1, height, width, wider)
    _copy_patch(picture.error, wider, kept, at, back)
