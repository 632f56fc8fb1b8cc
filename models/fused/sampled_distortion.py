"""The distortion of a batch of patches, for any parameters of the synthesis.

A patch is small: all that the layers make of it stays in the cache, and it is a task of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from givre.models.architecture import Architecture
from givre.models.fused import pool
from givre.models.fused.kernel import compiled
from givre.models.fused.pixel_network import pixel_forward, pixel_weights
from givre.models.fused.pixel_products import BLOCK, FLAGS, Doubles, Floats
from givre.models.fused.residual_layers import add_filtered, error_gradient

_CHUNKS = 16
_ZERO = np.float32(0)


class FusedSampledDistortion:
    """Mean squared error of patches.

    Args:
        arch: shapes.
        dense: (P, L, h, w), dense representation of each patch.
        target: (P, C, h, w), normalised samples in [0, 1].
        span: (C,), each channel's maximum minus minimum as a part of the full sample range.
        threads: how many to use; the result does not depend on it.
    """

    def __init__(
        self, arch: Architecture, dense: Floats, target: Floats, span: Floats, threads: int
    ) -> None:
        self._arch, self._threads = arch, threads
        self._dense = np.array(dense, np.float32, order="C").reshape(*dense.shape[:2], -1)
        self._target = np.array(target, np.float32, order="C")
        self._span = np.array(span, np.float32)
        self._grain = -(-len(dense) // _CHUNKS)

    def mse(self, parameters: Mapping[str, Tensor | NDArray[np.float32]]) -> float:
        """Mean squared error over samples in [0, 1] with these parameters.

        Args:
            parameters: those of the synthesis, by the names of `architecture.tensor_specs`; on
                the CPU and without a gradient. Others are not looked at.
        """
        n, c = self._arch.n_residual, self._arch.n_channels

        def array(name: str) -> Floats:
            return np.asarray(parameters[f"synthesis.{name}"])

        pixel = pixel_weights(
            array("hidden.weight")[:, :, 0, 0],
            array("hidden.bias"),
            array("output.weight")[:, :, 0, 0],
            array("output.bias"),
            array("stabiliser.weight")[:, :, 0, 0],
        )
        residual, residual_bias = np.empty((n, c, c, 9), np.float32), np.empty((n, c), np.float32)
        for i in range(n):
            residual[i] = array(f"residual.{i}.weight").reshape(c, c, 9)
            residual_bias[i] = array(f"residual.{i}.bias")
        errors = np.empty(len(self._dense))
        pool.run(
            lambda first, last: _patch_errors(
                self._dense, self._target, self._span, pixel.hidden, pixel.output,
                pixel.output_bias, pixel.stabiliser, residual, residual_bias, errors, first, last,
            ),
            len(errors), self._threads, self._grain,
        )  # fmt: skip
        return float(errors.sum()) / self._target.size


@compiled(
    "void(float32[:, :, ::1], float32[:, :, :, ::1], float32[::1], float32[:, ::1],"
    " float32[:, ::1], float32[::1], float32[:, ::1], float32[:, :, :, ::1], float32[:, ::1],"
    " float64[::1], int64, int64)",
    fastmath=FLAGS,
)
def _patch_errors(
    dense: Floats, target: Floats, span: Floats, hidden: Floats, output: Floats,
    output_bias: Floats, stabiliser: Floats, residual: Floats, residual_bias: Floats,
    errors: Doubles, first: int, last: int,
) -> None:  # fmt: skip
    """Squared errors of the patches `first` to `last` - 1.

    Args:
        dense: (P, L, h * w).
        target: (P, C, h, w).
        span: (C,).
        hidden: see `PixelWeights`, as the next three.
        output: likewise.
        output_bias: likewise.
        stabiliser: likewise.
        residual: (R, C, C, 9), weights of the residual layers.
        residual_bias: (R, C).
        errors: (P,), written: sum of the squares of each patch.
        first: first patch.
        last: end of the patches.
    """
    n_layers = len(residual)
    _, n_channels, height, width = target.shape
    size, stride = height * width, width + 2
    n_blocks = -(-size // BLOCK)
    features = np.empty((n_channels, size), np.float32)
    stabilised = np.empty((n_channels, size), np.float32)
    # A layer filters a whole padded plane as if it were one row: a row of a patch is too short
    # for vectors. What it finds past the right border is never used.
    padded = np.zeros((n_channels, (height + 2) * stride + 2), np.float32)
    filtered = np.zeros((n_channels, height * stride), np.float32)
    normalised = np.empty((n_channels, height, width), np.float32)
    for patch in range(first, last):
        pixel_forward(
            dense[patch], hidden, output, output_bias, stabiliser, features, stabilised,
            0, n_blocks,
        )  # fmt: skip
        for c in range(n_channels):
            for y in range(height):
                at = y * width
                _copy(features[c, at : at + width], filtered[c, y * stride :])
        for layer in range(n_layers):
            for c in range(n_channels):
                _pad(filtered[c], height, width, padded[c])
            for o in range(n_channels):
                row = filtered[o]
                _add_bias(padded[o, stride + 1 :], residual_bias[layer, o], row)
                for i in range(n_channels):
                    above, here, below = padded[i], padded[i, stride:], padded[i, 2 * stride :]
                    add_filtered(residual[layer, o, i], above, here, below, row)
                if layer + 1 < n_layers:
                    _rectify(row)
        for c in range(n_channels):
            for y in range(height):
                at = y * width
                _add(filtered[c, y * stride :], stabilised[c, at:], normalised[c, y])
        errors[patch] = error_gradient(normalised, target[patch], span, np.float32(0), 0, height)


@compiled(fastmath=FLAGS)
def _pad(rows: Floats, height: int, width: int, padded: Floats) -> None:
    """Copy a plane into one that is a sample larger on all sides, and repeat the border there.

    Args:
        rows: rows of `width` samples, at a distance of `width` + 2.
        height: number of rows.
        width: samples in a row.
        padded: `height` + 2 rows of `width` + 2 samples, written.
    """
    stride = width + 2
    for row in range(height + 2):
        y = min(max(row - 1, 0), height - 1)
        source, target = rows[y * stride :], padded[row * stride : (row + 1) * stride]
        target[0] = source[0]
        target[width + 1] = source[width - 1]
        _copy(source[:width], target[1:])


@compiled(fastmath=FLAGS)
def _copy(source: Floats, target: Floats) -> None:
    for x in range(len(source)):
        target[x] = source[x]


@compiled(fastmath=FLAGS)
def _add(left: Floats, right: Floats, total: Floats) -> None:
    for x in range(len(total)):
        total[x] = left[x] + right[x]


@compiled(fastmath=FLAGS)
def _add_bias(source: Floats, bias: np.float32, target: Floats) -> None:
    for x in range(len(target)):
        target[x] = source[x] + bias


@compiled(fastmath=FLAGS)
def _rectify(row: Floats) -> None:
    for x in range(len(row)):
        row[x] = _ZERO if row[x] < _ZERO else row[x]
