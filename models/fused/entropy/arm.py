"""Kernels of the entropy model: the ARM's rate of some rows of a latent grid, and its gradient.

Contexts, hidden layers and Laplace arithmetic live in blocks of BLOCK pixels and never in memory.
"""

from __future__ import annotations

import numpy as np

from givre.models.compiled.kernel import kernel, kernel_part
from givre.models.compiled.types import (
    FLAGS,
    Floats,
    Floats1,
    Floats2,
    Floats3,
    Integers,
    Integers1,
)
from givre.models.fused.entropy.laplace import block_bits, block_bits_and_gradient
from givre.models.fused.entropy.products import (
    BLOCK,
    add_correlation,
    add_correlation_of_2,
    add_product_to_2,
    fill_rows,
    product,
    product_from_2,
)

MARGIN = 4
"""Zeros above, to the left and to the right of a grid: the farthest neighbour."""

_HALF_BLOCK = BLOCK // 2
_ZERO = np.float32(0)


@kernel_part(fastmath=FLAGS)
def _gather(
    latents: Floats, pixel: int, neighbours: Integers, maps: Floats, feature: int, plane: int,
    n_features: int, context: Floats,
) -> None:  # fmt: skip
    """Fill the context of the BLOCK latents from `pixel` on.

    Args:
        latents: padded grids, flat.
        pixel: where the first latent is.
        neighbours: where the neighbours are, relative to a latent.
        maps: feature maps, flat.
        feature: where the first latent's first feature is.
        plane: distance between features.
        n_features: 0 if the grid has none; their rows are then left alone.
        context: block, written.
    """
    n_spatial = neighbours.shape[0]
    for k in range(n_spatial):
        at, source = k * BLOCK, pixel + neighbours[k]
        spatial = latents[source : source + BLOCK]
        for p in range(BLOCK):
            context[at + p] = spatial[p]
    for f in range(n_features):
        at, source = (n_spatial + f) * BLOCK, feature + f * plane
        values = maps[source : source + _HALF_BLOCK]
        for p in range(_HALF_BLOCK):
            value = values[p]
            context[at + 2 * p] = value
            context[at + 2 * p + 1] = value


@kernel_part(fastmath=FLAGS)
def _scatter(
    gradient: Floats, pixel: int, neighbours: Integers, maps: Floats, feature: int, plane: int,
    n_features: int, even_row: bool, context: Floats,
) -> None:  # fmt: skip
    """Add a context's gradient to the places `_gather` has it from.

    A feature serves two rows: the even one sets its gradient, the odd one adds to it.
    """
    n_spatial = neighbours.shape[0]
    for k in range(n_spatial):
        at, target = k * BLOCK, pixel + neighbours[k]
        spatial = gradient[target : target + BLOCK]
        for p in range(BLOCK):
            spatial[p] += context[at + p]
    for f in range(n_features):
        at, target = (n_spatial + f) * BLOCK, feature + f * plane
        values = maps[target : target + _HALF_BLOCK]
        if even_row:
            values[:] = _ZERO
        for p in range(_HALF_BLOCK):
            values[p] += context[at + 2 * p] + context[at + 2 * p + 1]


@kernel_part(fastmath=FLAGS)
def predict(
    hidden: Floats, hidden_bias: Floats, output: Floats, output_bias: Floats, stabiliser: Floats,
    layers: Floats, predicted: Floats,
) -> None:  # fmt: skip
    """Run the ARM on a block.

    Args:
        hidden: (N, D, D), the residual connection's identity included, as in `arm_weights`.
        hidden_bias: (N, D).
        output: (2, D).
        output_bias: (2,).
        stabiliser: (2, D).
        layers: (N + 1, D * BLOCK), the context in row 0; the hidden layers are written.
        predicted: block of 2 rows, written.
    """
    n_hidden = hidden.shape[0]
    for i in range(n_hidden):
        features = layers[i + 1]
        product(hidden[i], hidden_bias[i], layers[i], features)
        for p in range(features.shape[0]):
            value = features[p]
            features[p] = _ZERO if value < _ZERO else value
    fill_rows(output_bias, predicted)
    add_product_to_2(output, layers[n_hidden], predicted)
    add_product_to_2(stabiliser, layers[0], predicted)


@kernel(fastmath=FLAGS)
def arm_rate(
    latents: Floats1, place: Integers1, neighbours: Integers1, maps: Floats1, hidden: Floats3,
    hidden_bias: Floats2, output: Floats2, output_bias: Floats1, stabiliser: Floats2,
    bits_map: Floats2,
) -> float:  # fmt: skip
    """Rate of some rows of a grid.

    Args:
        latents: padded grids, flat.
        place: where the rows are, `rate_layout.GridPlace.rows`.
        neighbours: where the neighbours are, relative to a latent.
        maps: feature maps, flat.
        hidden: see `predict`, as the next four.
        hidden_bias: likewise.
        output: likewise.
        output_bias: likewise.
        stabiliser: likewise.
        bits_map: (H, W) of the grid; the rows are written.

    Returns:
        Bits of the rows together.
    """
    start, width, stride, n_features, feature_start, plane, feature_stride, first, last = (
        place[0], place[1], place[2], place[3], place[4], place[5], place[6], place[7], place[8],
    )  # fmt: skip
    layers = np.zeros((hidden.shape[0] + 1, hidden_bias.shape[1] * BLOCK), np.float32)
    predicted = np.empty(2 * BLOCK, np.float32)
    bits = np.empty(BLOCK, np.float32)
    total = np.float64(0)
    for y in range(first, last):
        for x in range(0, width, BLOCK):
            pixel = start + y * stride + x
            feature = feature_start + y // 2 * feature_stride + x // 2
            _gather(
                latents, pixel, neighbours, maps, feature, plane, n_features, layers[0]
            )  # fmt: skip
            predict(hidden, hidden_bias, output, output_bias, stabiliser, layers, predicted)
            block_bits(latents[pixel : pixel + BLOCK], predicted, bits)
            sum_of_block = _ZERO
            for p in range(min(BLOCK, width - x)):
                sum_of_block += bits[p]
                bits_map[y, x + p] = bits[p]
            total += np.float64(sum_of_block)
    return total


@kernel(fastmath=FLAGS)
def arm_rate_and_gradient(
    latents: Floats1, place: Integers1, neighbours: Integers1, maps: Floats1, hidden: Floats3,
    hidden_transposed: Floats3, hidden_bias: Floats2, output: Floats2, output_bias: Floats1,
    stabiliser: Floats2, gradient: Floats1, maps_gradient: Floats1, weight_sums: Floats1,
) -> float:  # fmt: skip
    """Rate of some rows of a grid, and its gradient.

    Args:
        latents: see `arm_rate`, as everything up to `stabiliser`.
        place: likewise; the first row is an even one.
        neighbours: likewise.
        maps: likewise.
        hidden: likewise.
        hidden_transposed: (N, D, D).
        hidden_bias: likewise.
        output: likewise.
        output_bias: likewise.
        stabiliser: likewise.
        gradient: by the latents of the MARGIN rows above and of the rows themselves, in a padded
            grid's layout, flat; written.
        maps_gradient: by the feature maps, flat, where the rows use them; written.
        weight_sums: by the weights, `rate_layout.ArmWeights.unpack`; zero before, written.

    Returns:
        Bits of the rows together.
    """
    start, width, stride, n_features, feature_start, plane, feature_stride, first, last = (
        place[0], place[1], place[2], place[3], place[4], place[5], place[6], place[7], place[8],
    )  # fmt: skip
    n_hidden, n_inputs = hidden.shape[0], hidden_bias.shape[1]
    bias_at = n_hidden * n_inputs * n_inputs
    output_at = bias_at + n_hidden * n_inputs
    stabiliser_at = output_at + 2 * n_inputs
    output_bias_at = stabiliser_at + 2 * n_inputs

    layers = np.zeros((n_hidden + 1, n_inputs * BLOCK), np.float32)
    bias_lanes = np.zeros((n_hidden, n_inputs * BLOCK), np.float32)
    output_bias_lanes = np.zeros(2 * BLOCK, np.float32)
    slopes = np.empty((n_hidden + 1, n_inputs * BLOCK), np.float32)
    by_stabiliser = np.empty(n_inputs * BLOCK, np.float32)
    predicted = np.empty(2 * BLOCK, np.float32)
    delta = np.empty(2 * BLOCK, np.float32)
    bits = np.empty(BLOCK, np.float32)
    no_bias = np.zeros(n_inputs, np.float32)
    gradient[:] = _ZERO
    total = np.float64(0)
    for y in range(first, last):
        for x in range(0, width, BLOCK):
            pixel = start + y * stride + x
            own = MARGIN + (y - first + MARGIN) * stride + x
            feature = feature_start + y // 2 * feature_stride + x // 2
            n_valid = min(BLOCK, width - x)
            _gather(
                latents, pixel, neighbours, maps, feature, plane, n_features, layers[0]
            )  # fmt: skip
            predict(hidden, hidden_bias, output, output_bias, stabiliser, layers, predicted)
            symbols = latents[pixel : pixel + BLOCK]
            block_bits_and_gradient(symbols, predicted, bits, delta)
            delta[n_valid:BLOCK] = _ZERO
            delta[BLOCK + n_valid :] = _ZERO
            sum_of_block = _ZERO
            for p in range(n_valid):
                sum_of_block += bits[p]
            total += np.float64(sum_of_block)

            own_gradient = gradient[own : own + BLOCK]
            for p in range(BLOCK):
                own_gradient[p] -= delta[p]
            _add(output_bias_lanes, delta)
            add_correlation_of_2(delta, layers[n_hidden], n_inputs, weight_sums, output_at)
            add_correlation_of_2(delta, layers[0], n_inputs, weight_sums, stabiliser_at)
            product_from_2(output, delta, slopes[n_hidden])
            for i in range(n_hidden - 1, -1, -1):
                upper, lower = slopes[i + 1], slopes[i]
                _stop_where_zero(layers[i + 1], upper, bias_lanes[i])
                weight_at = i * n_inputs * n_inputs
                add_correlation(upper, layers[i], n_inputs, weight_sums, weight_at)
                product(hidden_transposed[i], no_bias, upper, lower)
            product_from_2(stabiliser, delta, by_stabiliser)
            _add(slopes[0], by_stabiliser)
            _scatter(
                gradient, own, neighbours, maps_gradient, feature, plane, n_features,
                y % 2 == 0, slopes[0],
            )  # fmt: skip
    for i in range(n_hidden):
        _add_row_sums(bias_lanes[i], weight_sums, bias_at + i * n_inputs)
    _add_row_sums(output_bias_lanes, weight_sums, output_bias_at)
    return total


@kernel_part(fastmath=FLAGS)
def _add(sums: Floats, terms: Floats) -> None:
    for p in range(sums.shape[0]):
        sums[p] += terms[p]


@kernel_part(fastmath=FLAGS)
def _stop_where_zero(features: Floats, slopes: Floats, sums: Floats) -> None:
    """Take a gradient through a ReLU whose outputs are `features`, and add it to `sums`."""
    for p in range(features.shape[0]):
        slope = slopes[p] if features[p] > _ZERO else _ZERO
        slopes[p] = slope
        sums[p] += slope


@kernel_part(fastmath=FLAGS)
def _add_row_sums(block: Floats, sums: Floats, at: int) -> None:
    for row in range(block.shape[0] // BLOCK):
        total = _ZERO
        for p in range(BLOCK):
            total += block[row * BLOCK + p]
        sums[at + row] += total
