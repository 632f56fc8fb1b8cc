"""The synthesis' passes over an image, forward and backward, on any number of threads.

The per-pixel layers are computed in blocks, and again on the way back, so that no hidden layer is
ever stored; only planes with as many channels as the image are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from givre.models.fused import pool
from givre.models.fused.buffers import Buffers
from givre.models.fused.pixel_network import (
    PixelWeights,
    pixel_backward,
    pixel_forward,
    pixel_weights,
)
from givre.models.fused.pixel_products import BLOCK, Doubles, Floats
from givre.models.fused.residual_adjoint import residual_backward
from givre.models.fused.residual_layers import error_gradient, last_forward, residual_forward

_CHUNK_PIXELS = 1 << 13  # at least, or a chunk takes less time than its call
_FEW_BLOCKS = _CHUNK_PIXELS // BLOCK
_FEW_ROWS = 4


class SynthesisPasses:
    """The synthesis' passes over one image.

    Args:
        parameters: hidden and output layer, residual layers, each weight before its bias;
            then the stabiliser.
        dense: (L, H, W).
        threads: of the kernels.
        buffers: for everything large.
    """

    def __init__(
        self, parameters: Sequence[Floats], dense: Floats, threads: int, buffers: Buffers
    ) -> None:
        hidden, hidden_bias, output, output_bias = parameters[:4]
        stabiliser = parameters[-1]
        self._shapes = [array.shape for array in parameters]
        self._pixel: PixelWeights = pixel_weights(
            hidden[:, :, 0, 0], hidden_bias, output[:, :, 0, 0], output_bias, stabiliser[:, :, 0, 0]
        )
        channels = len(output_bias)
        self._residual = [
            (weight.reshape(channels, channels, 9), bias)
            for weight, bias in zip(parameters[4:-1:2], parameters[5:-1:2], strict=True)
        ]
        _, self._height, self._width = dense.shape
        self._plane_shape = (channels, self._height, self._width)
        self._dense = dense.reshape(len(dense), -1)
        self._threads, self._buffers = threads, buffers
        self._blocks = -(-self._dense.shape[1] // BLOCK)
        self._few_rows = _few_rows(self._width)
        self._inputs: list[Floats] = []

    def forward(self) -> Floats:
        """Normalised samples (C, H, W); keeps what `backward` needs."""
        weights = self._pixel
        features, stabilised = self._planes("features"), self._planes("stabilised")
        pool.run(
            lambda first, last: pixel_forward(
                self._dense,
                weights.hidden,
                weights.output,
                weights.output_bias,
                weights.stabiliser,
                _flat(features),
                _flat(stabilised),
                first,
                last,
            ),
            self._blocks,
            self._threads,
            _FEW_BLOCKS,
        )
        self._inputs = [features]
        if not self._residual:
            normalised: Floats = features + stabilised
            return normalised
        for weight, bias in self._residual[:-1]:
            self._inputs.append(self._layer(self._inputs[-1], weight, bias))
        normalised = self._planes("normalised")
        weight, bias = self._residual[-1]
        pool.run(
            lambda first, last: last_forward(
                self._inputs[-1], weight, bias, stabilised, normalised, first, last
            ),
            self._height,
            self._threads,
            self._few_rows,
        )
        return normalised

    def backward(self, gradient: Floats) -> tuple[Floats, list[Floats]]:
        """Gradients of the dense representation (L, H, W) and of all parameters, in their order.

        Args:
            gradient: (C, H, W), with respect to what `forward` returned.
        """
        features_gradient = gradient
        residual: list[Floats] = []
        for i in reversed(range(len(self._residual))):
            features_gradient, totals = self._layer_backward(i, features_gradient)
            channels = len(gradient)
            residual[:0] = np.split(totals.astype(np.float32), [channels * channels * 9])
        weights = self._pixel
        n_hidden, n_inputs = weights.hidden.shape
        dense_gradient = self._buffers.take("gradient of dense", self._dense.shape)
        parts = pool.chunks(self._blocks, _FEW_BLOCKS)
        sizes = (n_hidden * n_inputs, n_hidden * 4 + 4, 4 * n_inputs)
        sums = [np.empty((len(parts), size)) for size in sizes]
        pool.run_tasks(
            lambda task: pixel_backward(
                self._dense,
                weights.hidden,
                weights.hidden_by_input,
                weights.output_by_feature,
                weights.stabiliser_by_input,
                _flat(features_gradient),
                _flat(gradient),
                dense_gradient,
                sums[0][task],
                sums[1][task],
                sums[2][task],
                *parts[task],
            ),
            len(parts),
            self._threads,
        )
        gradients = self._pixel_gradients(*(part.sum(0) for part in sums))
        gradients[4:4] = residual
        shaped = [g.reshape(shape) for g, shape in zip(gradients, self._shapes, strict=True)]
        return dense_gradient.reshape(-1, self._height, self._width), shaped

    def _pixel_gradients(
        self, hidden: Doubles, output: Doubles, stabiliser: Doubles
    ) -> list[Floats]:
        """Gradients of the five per-pixel tensors, without the padding."""
        n_hidden, n_levels = self._shapes[0][:2]
        channels = self._plane_shape[0]
        padded_hidden = hidden.reshape(self._pixel.hidden.shape)
        padded_output = output.reshape(-1, 4)
        padded_stabiliser = stabiliser.reshape(4, -1)
        found = (
            padded_hidden[:n_hidden, :n_levels],
            padded_hidden[:n_hidden, n_levels],
            padded_output[:n_hidden, :channels].T,
            padded_output[-1, :channels],
            padded_stabiliser[:channels, :n_levels],
        )
        return [np.ascontiguousarray(g, np.float32) for g in found]

    def _layer(self, source: Floats, weight: Floats, bias: Floats) -> Floats:
        """Result of one residual layer and its ReLU, (C, H, W)."""
        destination = self._planes(f"input {len(self._inputs)}")
        pool.run(
            lambda first, last: residual_forward(source, weight, bias, destination, first, last),
            self._height,
            self._threads,
            self._few_rows,
        )
        return destination

    def _layer_backward(self, index: int, gradient: Floats) -> tuple[Floats, Doubles]:
        """Gradients of a layer's input, before its ReLU, and of the layer's parameters."""
        destination = self._planes(f"gradient of input {index}")
        parts = pool.chunks(self._height, self._few_rows)
        weight, bias = self._residual[index]
        sums = np.empty((len(parts), weight.size + bias.size))
        pool.run_tasks(
            lambda task: residual_backward(
                self._inputs[index],
                weight,
                gradient,
                index > 0,
                destination,
                sums[task],
                *parts[task],
            ),
            len(parts),
            self._threads,
        )
        return destination, sums.sum(0)

    def _planes(self, name: str) -> Floats:
        return self._buffers.take(name, self._plane_shape)


def squared_error(planes: Floats, target: Floats, span: Floats, threads: int) -> float:
    """Mean squared error of samples (C, H, W), which its gradient replaces.

    Args:
        planes: (C, H, W), normalised samples, not clamped.
        target: (C, H, W), in [0, 1].
        span: (C,), each channel's maximum minus minimum as a part of the full sample range.
        threads: how many to use; the result does not depend on it.
    """
    parts = pool.chunks(planes.shape[1], _few_rows(planes.shape[2]))
    sums = np.empty(len(parts))
    scale = np.float32(1 / planes.size)

    def add(task: int) -> None:
        sums[task] = error_gradient(planes, target, span, scale, *parts[task])

    pool.run_tasks(add, len(parts), threads)
    return float(sums.sum()) / planes.size


def _few_rows(width: int) -> int:
    """Least number of rows in a chunk."""
    return max(_FEW_ROWS, _CHUNK_PIXELS // width)


def _flat(planes: Floats) -> Floats:
    return planes.reshape(len(planes), -1)
