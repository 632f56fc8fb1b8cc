"""Kernels of the entropy model: the ARM's rate of some rows of a latent grid, and its gradient.

The ARM (Ladune et al., "COOL-CHIC: Coordinate-based Low Complexity Hierarchical Image Codec",
ICCV 2023, arXiv:2212.05458; the residual connections and the linear stabiliser are those of later
versions, Cool-chic 4 and 5) turns the context c of a latent, its causal neighbours and its
inter-feature contexts, into the mean and the log-scale of a Laplace distribution:

    h_0 = c
    h_i = max(W_i h_(i-1) + b_i + h_(i-1), 0)        for i = 1 to N
    (mean, raw) = W h_N + b + S c

Weights here hold the residual connection's identity already: W_i + 1. The rate of a latent is that
of `givre.models.fused.entropy.laplace`. Backwards, with d = (d_mean, d_raw) the rate's derivatives:

    g_N = W^T d,   g_(i-1) = (W_i + 1)^T p_i,   p_i = g_i where h_i > 0, else 0
    by c:  g_0 + S^T d,   by W_i:  p_i h_(i-1)^T,   by b_i:  p_i,
    by W:  d h_N^T,   by S:  d c^T,   by b:  d

Contexts, hidden layers and Laplace arithmetic live in blocks of BLOCK pixels and never in memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from givre.models.compiled.kernel import kernel, kernel_part
from givre.models.compiled.loops import copy, fill
from givre.models.compiled.types import FLAGS, Floats, Floats2, Integers, Integers1
from givre.models.context import CONTEXT_REACH
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
from givre.models.fused.entropy.tables import (
    TASK_FEATURES,
    TASK_FIRST,
    TASK_LAST,
    TASK_MAP,
    TASK_MAP_STRIDE,
    TASK_PLANE,
    TASK_START,
    TASK_STRIDE,
    TASK_WIDTH,
    RateInputs,
)
from givre.models.fused.entropy.weights import ArmWeights

_HALF_BLOCK = BLOCK // 2
_ZERO = np.float32(0)


class _Features(NamedTuple):
    """Where the features of a block are.

    Attributes:
        first: index of the first latent's first feature.
        plane: distance between features.
        number: how many there are; 0 if the grid has none.
    """

    first: int
    plane: int
    number: int


@kernel_part(fastmath=FLAGS)
def _gather(
    inputs: RateInputs, pixel: int, neighbours: Integers, features: _Features, context: Floats
) -> None:
    """Fill the context of the BLOCK latents from `pixel` on.

    Args:
        inputs: latents and maps.
        pixel: where the first latent is.
        neighbours: where the neighbours are, relative to a latent.
        features: where the features are; the rows of a grid without any are left alone.
        context: block, written.
    """
    n_spatial = neighbours.shape[0]
    for k in range(n_spatial):
        source = pixel + neighbours[k]
        copy(inputs.latents[source : source + BLOCK], context[k * BLOCK : (k + 1) * BLOCK])
    for f in range(features.number):
        at, source = (n_spatial + f) * BLOCK, features.first + f * features.plane
        values, row = inputs.maps[source : source + _HALF_BLOCK], context[at : at + BLOCK]
        for p in range(_HALF_BLOCK):
            value = values[p]
            row[2 * p] = value
            row[2 * p + 1] = value


@kernel_part(fastmath=FLAGS)
def _scatter(
    context: Floats, pixel: int, neighbours: Integers, features: _Features, even_row: bool,
    gradient: Floats, maps: Floats,
) -> None:  # fmt: skip
    """Add a context's gradient to the places `_gather` has it from.

    A feature serves two rows: the even one sets its gradient, the odd one adds to it.
    """
    n_spatial = neighbours.shape[0]
    for k in range(n_spatial):
        target = pixel + neighbours[k]
        spatial, row = gradient[target : target + BLOCK], context[k * BLOCK : (k + 1) * BLOCK]
        for p in range(BLOCK):
            spatial[p] += row[p]
    for f in range(features.number):
        at, target = (n_spatial + f) * BLOCK, features.first + f * features.plane
        values, row = maps[target : target + _HALF_BLOCK], context[at : at + BLOCK]
        if even_row:
            fill(values, _ZERO)
        for p in range(_HALF_BLOCK):
            values[p] += row[2 * p] + row[2 * p + 1]


@kernel_part(fastmath=FLAGS)
def predict(weights: ArmWeights, layers: Floats, predicted: Floats) -> None:
    """Run the ARM on a block.

    Args:
        weights: of the ARM.
        layers: (N + 1, D * BLOCK), the context in row 0; the hidden layers are written.
        predicted: block of 2 rows, written: mean, and log-scale before shift and clamp.
    """
    n_hidden = weights.hidden.shape[0]
    for i in range(n_hidden):
        features = layers[i + 1]
        product(weights.hidden[i], weights.hidden_bias[i], layers[i], features)
        for p in range(features.shape[0]):
            value = features[p]
            features[p] = _ZERO if value < _ZERO else value
    fill_rows(weights.output_bias, predicted)
    add_product_to_2(weights.output, layers[n_hidden], predicted)
    add_product_to_2(weights.stabiliser, layers[0], predicted)


@kernel(fastmath=FLAGS)
def arm_rate(
    task: Integers1,
    neighbours: Integers1,
    inputs: RateInputs,
    weights: ArmWeights,
    bits_map: Floats2,
) -> float:
    """Rate of some rows of a grid.

    Args:
        task: columns TASK_..., which rows they are.
        neighbours: where the neighbours are, relative to a latent.
        inputs: latents and maps.
        weights: of the ARM.
        bits_map: (H, W) of the grid; the rows are written.

    Returns:
        Bits of the rows together.
    """
    start, width, stride = task[TASK_START], task[TASK_WIDTH], task[TASK_STRIDE]
    n_inputs = weights.hidden_bias.shape[1]
    layers = np.zeros((weights.hidden.shape[0] + 1, n_inputs * BLOCK), np.float32)
    predicted = np.empty(2 * BLOCK, np.float32)
    bits = np.empty(BLOCK, np.float32)
    total = np.float64(0)
    for y in range(task[TASK_FIRST], task[TASK_LAST]):
        for x in range(0, width, BLOCK):
            pixel = start + y * stride + x
            feature = task[TASK_MAP] + y // 2 * task[TASK_MAP_STRIDE] + x // 2
            features = _Features(feature, task[TASK_PLANE], task[TASK_FEATURES])
            _gather(inputs, pixel, neighbours, features, layers[0])
            predict(weights, layers, predicted)
            block_bits(inputs.latents[pixel : pixel + BLOCK], predicted, bits)
            sum_of_block = _ZERO
            row = bits_map[y, x : x + BLOCK]
            for p in range(row.shape[0]):
                sum_of_block += bits[p]
                row[p] = bits[p]
            total += np.float64(sum_of_block)
    return total


@kernel_part(fastmath=FLAGS)
def arm_rate_and_gradient(
    task: Integers,
    neighbours: Integers,
    inputs: RateInputs,
    weights: ArmWeights,
    gradient: Floats,
    maps_gradient: Floats,
    weight_sums: Floats,
) -> float:
    """Rate of some rows of a grid, and its gradient.

    Args:
        task: columns TASK_..., which rows they are.
        neighbours: where the neighbours are, relative to a latent.
        inputs: latents and maps.
        weights: of the ARM.
        gradient: by the latents of the CONTEXT_REACH rows above and of the rows themselves, in a
            padded grid's layout, flat; written.
        maps_gradient: by the feature maps, flat, where the rows use them; written.
        weight_sums: by the weights, as `ArmWeights.unpack` wants them; zero before, written.

    Returns:
        Bits of the rows together.
    """
    start, width, stride = task[TASK_START], task[TASK_WIDTH], task[TASK_STRIDE]
    first, last = task[TASK_FIRST], task[TASK_LAST]
    n_hidden, n_inputs = weights.hidden.shape[0], weights.hidden_bias.shape[1]
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
    fill(gradient, _ZERO)
    total = np.float64(0)
    for y in range(first, last):
        for x in range(0, width, BLOCK):
            pixel = start + y * stride + x
            own = CONTEXT_REACH + (y - first + CONTEXT_REACH) * stride + x
            feature = task[TASK_MAP] + y // 2 * task[TASK_MAP_STRIDE] + x // 2
            features = _Features(feature, task[TASK_PLANE], task[TASK_FEATURES])
            n_valid = min(BLOCK, width - x)
            _gather(inputs, pixel, neighbours, features, layers[0])
            predict(weights, layers, predicted)
            symbols = inputs.latents[pixel : pixel + BLOCK]
            block_bits_and_gradient(symbols, predicted, bits, delta)
            fill(delta[n_valid:BLOCK], _ZERO)
            fill(delta[BLOCK + n_valid :], _ZERO)
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
            product_from_2(weights.output, delta, slopes[n_hidden])
            for i in range(n_hidden - 1, -1, -1):
                upper, lower = slopes[i + 1], slopes[i]
                _stop_where_zero(layers[i + 1], upper, bias_lanes[i])
                weight_at = i * n_inputs * n_inputs
                add_correlation(upper, layers[i], n_inputs, weight_sums, weight_at)
                product(weights.hidden_transposed[i], no_bias, upper, lower)
            product_from_2(weights.stabiliser, delta, by_stabiliser)
            _add(slopes[0], by_stabiliser)
            _scatter(slopes[0], own, neighbours, features, y % 2 == 0, gradient, maps_gradient)
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
