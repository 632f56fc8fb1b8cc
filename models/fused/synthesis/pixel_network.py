"""Kernels for the per-pixel part of the synthesis: hidden layer, output layer and stabiliser.

With x the dense representation of a pixel, L numbers (the synthesis of COOL-CHIC, Ladune et al.,
ICCV 2023, arXiv:2212.05458; the linear stabiliser is that of later versions):

    a = max(H x + b_H, 0),   features = W a + b,   stabilised = S x

The features go through the residual layers of `residual_layers`; what comes out of them plus
`stabilised` is the picture. Backwards, with f and s the derivatives by both results:

    p = W^T f where a > 0, else 0
    by x:  H^T p + S^T s,   by H:  p x^T,   by b_H:  p,   by W:  f a^T,   by b:  f,   by S:  s x^T

Pixels go through in blocks, held in small local arrays, so that a layer is a product of a weight
matrix with a block and all inner loops run over contiguous pixels. The hidden layer lives in such
a block only: the backward kernel computes it again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from givre.models.compiled.kernel import kernel, kernel_part
from givre.models.compiled.loops import fill
from givre.models.compiled.tickets import Parts, Tickets, next_ticket
from givre.models.compiled.types import FLAGS, Doubles2, Floats, Floats1, Floats2
from givre.models.fused.synthesis.products import (
    BLOCK,
    add_product_of_4,
    correlate,
    load_block,
    product,
    row_sum,
    start_product,
    store_block,
)

PADDED_CHANNELS = 4
"""Channels of a block, whatever the image has: the rest is zero."""

_CHANNELS = PADDED_CHANNELS
_ZERO = np.float32(0)
_ONE = np.float32(1)


class PixelWeights(NamedTuple):
    """The per-pixel layers' weights, padded with zeros to what the kernels want.

    Attributes:
        hidden: (J, K); column L is the bias, it meets an input that is always 1. J is the number
            of hidden features rounded up to a multiple of 8, K is L + 1 rounded up to a
            multiple of 4, at least 8.
        hidden_by_input: `hidden` transposed, (K, J).
        output: (4, J).
        output_by_feature: `output` transposed, (J, 4).
        output_bias: (4,).
        stabiliser: (4, K).
        stabiliser_by_input: `stabiliser` transposed, (K, 4).
    """

    hidden: Floats2
    hidden_by_input: Floats2
    output: Floats2
    output_by_feature: Floats2
    output_bias: Floats1
    stabiliser: Floats2
    stabiliser_by_input: Floats2


class PixelGradients(NamedTuple):
    """Gradients with respect to the results and the input of the per-pixel layers, N pixels.

    Attributes:
        features: (C, N), with respect to the output layer's result.
        stabilised: (C, N), with respect to the stabiliser's result.
        dense: (L, N), with respect to the input.
    """

    features: Floats2
    stabilised: Floats2
    dense: Floats2


class PixelSums(NamedTuple):
    """Gradients with respect to the weights, from the blocks of each of n parts.

    Attributes:
        hidden: (n, J * K), of `PixelWeights.hidden`.
        output: (n, J * 4 + 4), of `PixelWeights.output_by_feature`, then of the output's bias.
        stabiliser: (n, 4 * K), of `PixelWeights.stabiliser`.
    """

    hidden: Doubles2
    output: Doubles2
    stabiliser: Doubles2


def pixel_weights(
    hidden: Floats, hidden_bias: Floats, output: Floats, output_bias: Floats, stabiliser: Floats
) -> PixelWeights:
    """Pad the per-pixel weights.

    Args:
        hidden: (J, L).
        hidden_bias: (J,).
        output: (C, J).
        output_bias: (C,).
        stabiliser: (C, L).
    """
    n_hidden, n_levels = hidden.shape
    n_channels = len(output)
    rows = -(-n_hidden // 8) * 8
    columns = max(8, (n_levels + 4) // 4 * 4)
    hidden_padded = np.zeros((rows, columns), np.float32)
    hidden_padded[:n_hidden, :n_levels] = hidden
    hidden_padded[:n_hidden, n_levels] = hidden_bias
    output_padded = np.zeros((PADDED_CHANNELS, rows), np.float32)
    output_padded[:n_channels, :n_hidden] = output
    bias_padded = np.zeros(PADDED_CHANNELS, np.float32)
    bias_padded[:n_channels] = output_bias
    stabiliser_padded = np.zeros((PADDED_CHANNELS, columns), np.float32)
    stabiliser_padded[:n_channels, :n_levels] = stabiliser
    return PixelWeights(
        hidden_padded,
        np.ascontiguousarray(hidden_padded.T),
        output_padded,
        np.ascontiguousarray(output_padded.T),
        bias_padded,
        stabiliser_padded,
        np.ascontiguousarray(stabiliser_padded.T),
    )


@kernel_part(fastmath=FLAGS)
def _hidden_features(weight: Floats, x: Floats, features: Floats) -> None:
    """Hidden layer of a block; its bias is the weight of an input that is 1."""
    n_hidden, n_inputs = weight.shape
    for j in range(n_hidden):
        out = features[j * BLOCK :]
        if n_inputs == 8:
            start_product(weight[j], x, _ZERO, _ZERO, out)
        else:
            product(weight[j], x, _ZERO, out)
            for p in range(BLOCK):
                out[p] = _ZERO if out[p] < _ZERO else out[p]


@kernel_part(fastmath=FLAGS)
def _hidden_gradient(weight: Floats, g: Floats, features: Floats) -> None:
    """Replace a row of hidden features by the gradient with respect to them before the ReLU."""
    w0, w1, w2, w3 = weight[0], weight[1], weight[2], weight[3]
    for p in range(BLOCK):
        gradient = w0 * g[p] + w1 * g[BLOCK + p] + w2 * g[2 * BLOCK + p] + w3 * g[3 * BLOCK + p]
        features[p] = gradient if features[p] > _ZERO else _ZERO


@kernel(fastmath=FLAGS)
def pixel_forward(
    tickets: Tickets,
    parts: Parts,
    dense: Floats2,
    weights: PixelWeights,
    features: Floats2,
    stabilised: Floats2,
) -> None:
    """Run the per-pixel layers on blocks of pixels.

    Args:
        tickets: shared by all threads.
        parts: of blocks.
        dense: (L, N), N pixels.
        weights: of the layers.
        features: (C, N), written: the output layer's result.
        stabilised: (C, N), written: the stabiliser's result.
    """
    n_hidden, n_inputs = weights.hidden.shape
    n_levels, n_channels = dense.shape[0], features.shape[0]
    x = np.zeros(n_inputs * BLOCK, np.float32)
    a = np.empty(n_hidden * BLOCK, np.float32)
    out = np.empty(_CHANNELS * BLOCK, np.float32)
    fill(x[n_levels * BLOCK : (n_levels + 1) * BLOCK], _ONE)
    part = next_ticket(tickets)
    while part < parts.shape[0]:
        for block in range(parts[part, 0], parts[part, 1]):
            start = block * BLOCK
            load_block(dense, start, n_levels, x)
            _hidden_features(weights.hidden, x, a)
            for c in range(n_channels):
                product(weights.output[c], a, weights.output_bias[c], out[c * BLOCK :])
            store_block(out, start, n_channels, features)
            for c in range(n_channels):
                product(weights.stabiliser[c], x, _ZERO, out[c * BLOCK :])
            store_block(out, start, n_channels, stabilised)
        part = next_ticket(tickets)


@kernel(fastmath=FLAGS)
def pixel_backward(
    tickets: Tickets,
    parts: Parts,
    dense: Floats2,
    weights: PixelWeights,
    gradients: PixelGradients,
    sums: PixelSums,
) -> None:
    """Run the per-pixel layers backwards on blocks of pixels.

    Args:
        tickets: shared by all threads.
        parts: of blocks.
        dense: (L, N), N pixels.
        weights: of the layers.
        gradients: those of the two results are read, that of the input is written.
        sums: written.
    """
    n_hidden, n_inputs = weights.hidden.shape
    n_levels, n_channels = dense.shape[0], gradients.features.shape[0]
    x = np.zeros(n_inputs * BLOCK, np.float32)
    a = np.empty(n_hidden * BLOCK, np.float32)
    dx = np.empty(BLOCK * n_levels, np.float32)
    g = np.zeros(_CHANNELS * BLOCK, np.float32)
    s = np.zeros(_CHANNELS * BLOCK, np.float32)
    fill(x[n_levels * BLOCK : (n_levels + 1) * BLOCK], _ONE)
    part = next_ticket(tickets)
    while part < parts.shape[0]:
        by_hidden, by_stabiliser = sums.hidden[part], sums.stabiliser[part]
        by_output = sums.output[part, : n_hidden * _CHANNELS]
        by_bias = sums.output[part, n_hidden * _CHANNELS :]
        fill(by_hidden, 0)
        fill(by_output, 0)
        fill(by_bias, 0)
        fill(by_stabiliser, 0)
        for block in range(parts[part, 0], parts[part, 1]):
            start = block * BLOCK
            load_block(dense, start, n_levels, x)
            load_block(gradients.features, start, n_channels, g)
            load_block(gradients.stabilised, start, n_channels, s)
            _hidden_features(weights.hidden, x, a)
            correlate(a, g, _CHANNELS, by_output)
            correlate(s, x, n_inputs, by_stabiliser)
            for c in range(n_channels):
                by_bias[c] += row_sum(g[c * BLOCK :])
            # The features are needed no more: their gradient takes their place.
            for j in range(n_hidden):
                _hidden_gradient(weights.output_by_feature[j], g, a[j * BLOCK :])
            correlate(a, x, n_inputs, by_hidden)
            for level in range(n_levels):
                out = dx[level * BLOCK :]
                product(weights.hidden_by_input[level], a, _ZERO, out)
                add_product_of_4(weights.stabiliser_by_input[level], s, out)
            store_block(dx, start, n_levels, gradients.dense)
        part = next_ticket(tickets)
