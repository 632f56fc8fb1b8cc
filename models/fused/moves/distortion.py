"""What moving a single latent does to the picture: the patch that it reaches is made again.

The upsampling is linear, so a move adds the latent's response to one channel of the dense
representation. Then come the synthesis' per-pixel layers on this patch, and each 3x3 layer on one
that is a pixel wider. Everything is changed in place; what was there is kept for the way back.
"""

from __future__ import annotations

import numpy as np

from givre.models.compiled.kernel import kernel_part
from givre.models.compiled.types import FLAGS, Floats, Integers
from givre.models.fused.moves.rate import LANES, add_lanes, fill_lanes

_ZERO = np.float32(0)
_ONE = np.float32(1)


@kernel_part(fastmath=FLAGS)
def _copy_patch(planes: Floats, patch: Integers, kept: Floats, first: int, back: bool) -> int:
    """Copy a patch (top, bottom, left, right) of planes (C, H, W) to flat memory, or back.

    Returns the index after it.
    """
    at = first
    for c in range(len(planes)):
        for r in range(patch[0], patch[1]):
            row = planes[c, r]
            for x in range(patch[2], patch[3]):
                if back:
                    row[x] = kept[at]
                else:
                    kept[at] = row[x]
                at += 1
    return at


@kernel_part(fastmath=FLAGS)
def _widen(patch: Integers, by: int, height: int, width: int, wider: Integers) -> None:
    """The patch with a margin, as far as the image goes."""
    wider[0], wider[1] = max(patch[0] - by, 0), min(patch[1] + by, height)
    wider[2], wider[3] = max(patch[2] - by, 0), min(patch[3] + by, width)


@kernel_part(fastmath=FLAGS)
def add_response(
    plane: Floats, rows: Floats, columns: Floats, patch: Integers, step: np.float32
) -> None:
    """Add a latent's response, the sum of two outer products, to a channel.

    Args:
        plane: (H, W).
        rows: (2, .), the vertical factors.
        columns: (2, .), the horizontal factors.
        patch: where they begin and end.
        step: of the latent.
    """
    for r in range(patch[0], patch[1]):
        a, b = step * rows[0, r - patch[0]], step * rows[1, r - patch[0]]
        row = plane[r]
        for x in range(patch[2], patch[3]):
            row[x] += a * columns[0, x - patch[2]] + b * columns[1, x - patch[2]]


@kernel_part(fastmath=FLAGS)
def _weigh(hidden: Floats, output: Floats, output_bias: Floats, x: Floats, out: Floats) -> None:
    """Hidden and output layer of LANES pixels."""
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
    dense: Floats,
    hidden: Floats,
    output: Floats,
    output_bias: Floats,
    stabiliser: Floats,
    patch: Integers,
    features: Floats,
    stabilised: Floats,
    x: Floats,
) -> None:
    """Per-pixel layers on a patch; the weights are those of `pixel_network.PixelWeights`."""
    n_levels, n_channels = len(dense), len(features)
    out, linear = np.empty(4 * LANES, np.float32), np.empty(LANES, np.float32)
    for k in range(hidden.shape[1]):
        fill_lanes(x[k * LANES :], _ONE if k == n_levels else _ZERO)
    for r in range(patch[0], patch[1]):
        for first in range(patch[2], patch[3], LANES):
            n = min(LANES, patch[3] - first)
            for k in range(n_levels):
                for p in range(n):
                    x[k * LANES + p] = dense[k, r, first + p]
            _weigh(hidden, output, output_bias, x, out)
            for c in range(n_channels):
                fill_lanes(linear, _ZERO)
                add_lanes(stabiliser[c], x, linear)
                for p in range(n):
                    features[c, r, first + p] = out[c * LANES + p]
                    stabilised[c, r, first + p] = linear[p]


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
    span = (patch[3] - patch[2] + LANES - 1) // LANES * LANES + 2
    out = np.empty(LANES, np.float32)
    for r in range(patch[0], patch[1]):
        for c in range(n_channels):
            for dy in range(3):
                row = source[c, min(max(r + dy - 1, 0), height - 1)]
                line = tile[(c * 3 + dy) * span :]
                for x in range(span):
                    line[x] = row[min(max(patch[2] + x - 1, 0), width - 1)]
        for c in range(n_channels):
            for first in range(0, span - 2, LANES):
                n = min(LANES, patch[3] - patch[2] - first)
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
                row = destination[c, r, patch[2] + first :]
                for p in range(n):
                    row[p] = max(out[p], _ZERO) if relu else out[p]


@kernel_part(fastmath=FLAGS)
def _error_of_patch(
    last: Floats,
    stabilised: Floats,
    target: Floats,
    span: Floats,
    patch: Integers,
    error: Floats,
) -> float:
    """Squared error of each pixel of a patch, written to `error` (1, H, W); the change in all."""
    change = 0.0
    for r in range(patch[0], patch[1]):
        for x in range(patch[2], patch[3]):
            total = _ZERO
            for c in range(len(target)):
                sample = min(max(last[c, r, x] + stabilised[c, r, x], _ZERO), _ONE)
                difference = (sample - target[c, r, x]) * span[c]
                total += difference * difference
            change += total - error[0, r, x]
            error[0, r, x] = total
    return change


@kernel_part(fastmath=FLAGS)
def change_of_error(
    dense: Floats,
    stages: Floats,
    stabilised: Floats,
    error: Floats,
    target: Floats,
    span: Floats,
    hidden: Floats,
    output: Floats,
    output_bias: Floats,
    stabiliser: Floats,
    residual: Floats,
    residual_bias: Floats,
    patch: Integers,
    wider: Integers,
    x: Floats,
    tile: Floats,
) -> float:
    """Make a patch of the picture again from `dense`; the change of its squared error."""
    height, width = target.shape[1:]
    n_layers = len(residual)
    _synthesise_patch(
        dense, hidden, output, output_bias, stabiliser, patch, stages[0], stabilised, x
    )
    for layer in range(n_layers):
        _widen(patch, layer + 1, height, width, wider)
        _residual_patch(
            stages[layer],
            residual[layer],
            residual_bias[layer],
            layer + 1 < n_layers,
            wider,
            stages[layer + 1],
            tile,
        )
    _widen(patch, n_layers, height, width, wider)
    return _error_of_patch(stages[n_layers], stabilised, target, span, wider, error)


@kernel_part(fastmath=FLAGS)
def save_or_restore(
    dense: Floats,
    stages: Floats,
    stabilised: Floats,
    error: Floats,
    patch: Integers,
    wider: Integers,
    kept: Floats,
    back: bool,
) -> None:
    """Copy everything that `change_of_error` writes to flat memory, or back."""
    _, _, height, width = stages.shape
    at = _copy_patch(dense, patch, kept, 0, back)
    at = _copy_patch(stabilised, patch, kept, at, back)
    for stage in range(len(stages)):
        _widen(patch, stage, height, width, wider)
        at = _copy_patch(stages[stage], wider, kept, at, back)
    _widen(patch, len(stages) - 1, height, width, wider)
    _copy_patch(error, wider, kept, at, back)
