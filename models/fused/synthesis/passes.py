"""The synthesis' passes over an image, forward and backward, on any number of threads.

The per-pixel layers are computed in blocks, and again on the way back, so that no hidden layer is
ever stored; only planes with as many channels as the image are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from givre.models.compiled import pool
from givre.models.compiled.buffers import Buffers
from givre.models.compiled.tickets import Parts
from givre.models.compiled.types import Doubles, Floats
from givre.models.fused.synthesis.pixel_network import (
    PixelGradients,
    PixelSums,
    PixelWeights,
    pixel_backward,
    pixel_forward,
    pixel_weights,
)
from givre.models.fused.synthesis.products import BLOCK
from givre.models.fused.synthesis.residual_adjoint import residual_backward
from givre.models.fused.synthesis.residual_layers import (
    ResidualWeights,
    error_gradient,
    last_forward,
    residual_forward,
)

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
            ResidualWeights(weight.reshape(channels, channels, 9), bias)
            for weight, bias in zip(parameters[4:-1:2], parameters[5:-1:2], strict=True)
        ]
        _, self._height, self._width = dense.shape
        self._plane_shape = (channels, self._height, self._width)
        self._dense = dense.reshape(len(dense), -1)
        self._threads, self._buffers = threads, buffers
        blocks = -(-self._dense.shape[1] // BLOCK)
        self._pixel_parts = pool.parts_of(pool.chunks(blocks, _FEW_BLOCKS))
        self._row_parts = _row_parts(self._height, self._width)
        self._inputs: list[Floats] = []
        self._pixel_sums: PixelSums
        self._residual_sums: list[Doubles] = []

    def forward(self) -> Floats:
        """Normalised samples (C, H, W); keeps what `backward` needs."""
        features, stabilised = self._planes("features"), self._planes("stabilised")
        pool.share(
            lambda tickets, parts: pixel_forward(
                tickets,
                parts,
                self._dense,
                self._pixel,
                _flat(features),
                _flat(stabilised),
            ),
            self._pixel_parts,
            self._threads,
        )
        self._inputs = [features]
        if not self._residual:
            normalised: Floats = features + stabilised
            return normalised
        for weights in self._residual[:-1]:
            self._inputs.append(self._layer(self._inputs[-1], weights))
        normalised = self._planes("normalised")
        pool.share(
            lambda tickets, parts: last_forward(
                tickets, parts, self._inputs[-1], self._residual[-1], stabilised, normalised
            ),
            self._row_parts,
            self._threads,
        )
        return normalised

    def backward(self, gradient: Floats) -> Floats:
        """Gradient of the dense representation (L, H, W); it lies in one of the buffers.

        Keeps what `parameter_gradients` needs.

        Args:
            gradient: (C, H, W), with respect to what `forward` returned.
        """
        features_gradient = gradient
        self._residual_sums = []
        for i in reversed(range(len(self._residual))):
            features_gradient, layer_sums = self._layer_backward(i, features_gradient)
            self._residual_sums.insert(0, layer_sums)
        n_hidden, n_inputs = self._pixel.hidden.shape
        gradients = PixelGradients(
            features=_flat(features_gradient),
            stabilised=_flat(gradient),
            dense=self._buffers.take("gradient of dense", self._dense.shape),
        )
        n_parts = len(self._pixel_parts)
        sums = self._pixel_sums = PixelSums(
            hidden=np.empty((n_parts, n_hidden * n_inputs)),
            output=np.empty((n_parts, n_hidden * 4 + 4)),
            stabiliser=np.empty((n_parts, 4 * n_inputs)),
        )
        pool.share(
            lambda tickets, parts: pixel_backward(
                tickets, parts, self._dense, self._pixel, gradients, sums
            ),
            self._pixel_parts,
            self._threads,
        )
        return gradients.dense.reshape(-1, self._height, self._width)

    def parameter_gradients(self) -> list[Floats]:
        """Gradients of all parameters, in their order, after `backward`."""
        gradients = self._pixel_gradients(*(part.sum(0) for part in self._pixel_sums))
        channels = self._plane_shape[0]
        residual: list[Floats] = []
        for parts in self._residual_sums:
            residual += np.split(parts.sum(0).astype(np.float32), [channels * channels * 9])
        gradients[4:4] = residual
        return [g.reshape(shape) for g, shape in zip(gradients, self._shapes, strict=True)]

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

    def _layer(self, source: Floats, weights: ResidualWeights) -> Floats:
        """Result of one residual layer and its ReLU, (C, H, W)."""
        destination = self._planes(f"input {len(self._inputs)}")
        pool.share(
            lambda tickets, parts: residual_forward(tickets, parts, source, weights, destination),
            self._row_parts,
            self._threads,
        )
        return destination

    def _layer_backward(self, index: int, gradient: Floats) -> tuple[Floats, Doubles]:
        """Gradient of a layer's input, before its ReLU, and that of its parameters by parts."""
        destination = self._planes(f"gradient of input {index}")
        weight, bias = self._residual[index]
        sums = np.empty((len(self._row_parts), weight.size + bias.size))
        pool.share(
            lambda tickets, parts: residual_backward(
                tickets, parts, self._inputs[index], weight, gradient, index > 0, destination, sums
            ),
            self._row_parts,
            self._threads,
        )
        return destination, sums

    def _planes(self, name: str) -> Floats:
        return self._buffers.take(name, self._plane_shape)


def squared_error(planes: Floats, target: Floats, span: Floats, threads: int) -> float:
    """Mean squared error of samples (C, H, W), which its gradient replaces.

    Args:
        planes: (C, H, W), normalised samples, not clamped.
        target: (C, H, W), in [0, 1].
        span: (C, 1, 1), a factor of each channel's errors before they are squared, or (C, H, W).
        threads: how many to use; the result does not depend on it.
    """
    parts = _row_parts(*planes.shape[1:])
    sums = np.empty(len(parts))
    scale = np.float32(1 / planes.size)
    pool.share(
        lambda tickets, parts: error_gradient(tickets, parts, planes, target, span, scale, sums),
        parts,
        threads,
    )
    return float(sums.sum()) / planes.size


def _row_parts(height: int, width: int) -> Parts:
    """Parts of the rows of an image."""
    return pool.parts_of(pool.chunks(height, max(_FEW_ROWS, _CHUNK_PIXELS // width)))


def _flat(planes: Floats) -> Floats:
    return planes.reshape(len(planes), -1)
