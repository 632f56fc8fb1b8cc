"""Kernels for the 3x3 residual layers of the synthesis and for the distortion behind them.

A layer, with x its input and the borders of x continued (as in Cool-chic 4 and 5), and the error of
the picture y, clamped to [0, 1], against the samples t:

    out = max(x + W * x + b, 0)              * the 3x3 convolution; the last layer has no ReLU
    error = mean of (span_c (y_c - t_c))^2,   by y_c:  2 span_c^2 (y_c - t_c) / samples

Planes are (C, H, W). A kernel works through its rows with a ring of three rows of the layer's
input, one column wider on either side, so that no inner loop meets a border.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from givre.models.compiled.kernel import kernel, kernel_part
from givre.models.compiled.tickets import Parts, Tickets, next_ticket
from givre.models.compiled.types import FLAGS, Doubles1, Floats, Floats1, Floats3

Ring = NDArray[np.float32]
"""(C, 3, W + 2): row y of a plane is at y % 3."""


class ResidualWeights(NamedTuple):
    """Weights of one layer.

    Attributes:
        weight: (C, C, 9), (out, in).
        bias: (C,).
    """

    weight: Floats3
    bias: Floats1


_ZERO = np.float32(0)
_ONE = np.float32(1)


@kernel_part(fastmath=FLAGS)
def put_row(planes: Floats, y: int, slot: int, ring: Ring) -> None:
    """Copy row y of all planes, or the nearest row, with its first and last sample repeated."""
    n_channels, height, width = planes.shape
    y = min(max(y, 0), height - 1)
    for c in range(n_channels):
        source, target = planes[c, y], ring[c, slot]
        target[0] = source[0]
        target[width + 1] = source[width - 1]
        inner = target[1:]
        for x in range(width):
            inner[x] = source[x]


@kernel_part(fastmath=FLAGS)
def add_filtered(weight: Floats, above: Floats, here: Floats, below: Floats, out: Floats) -> None:
    """Add three rows, filtered with 9 weights, to an output row of their length less 2."""
    w0, w1, w2 = weight[0], weight[1], weight[2]
    w3, w4, w5 = weight[3], weight[4], weight[5]
    w6, w7, w8 = weight[6], weight[7], weight[8]
    for x in range(len(out)):
        out[x] += (
            w0 * above[x]
            + w1 * above[x + 1]
            + w2 * above[x + 2]
            + w3 * here[x]
            + w4 * here[x + 1]
            + w5 * here[x + 2]
            + w6 * below[x]
            + w7 * below[x + 1]
            + w8 * below[x + 2]
        )


@kernel_part(fastmath=FLAGS)
def _layer_row(weights: ResidualWeights, y: int, ring: Ring, out: Floats) -> None:
    """Row y of a residual layer's result, input included, without a ReLU.

    Args:
        weights: of the layer.
        y: row; the ring holds y - 1 to y + 1.
        ring: of the layer's input.
        out: (C, W), written.
    """
    n_channels, width = out.shape
    above, here, below = (y + 2) % 3, y % 3, (y + 1) % 3
    for o in range(n_channels):
        row, centre = out[o], ring[o, here, 1:]
        for x in range(width):
            row[x] = centre[x] + weights.bias[o]
        for i in range(n_channels):
            add_filtered(weights.weight[o, i], ring[i, above], ring[i, here], ring[i, below], row)


@kernel(fastmath=FLAGS)
def residual_forward(
    tickets: Tickets,
    parts: Parts,
    source: Floats3,
    weights: ResidualWeights,
    destination: Floats3,
) -> None:
    """Run a residual layer and its ReLU on rows.

    Args:
        tickets: shared by all threads.
        parts: of rows.
        source: (C, H, W), the layer's input.
        weights: of the layer.
        destination: (C, H, W), written.
    """
    n_channels, _, width = source.shape
    ring = np.empty((n_channels, 3, width + 2), np.float32)
    out = np.empty((n_channels, width), np.float32)
    part = next_ticket(tickets)
    while part < parts.shape[0]:
        first, last = parts[part, 0], parts[part, 1]
        put_row(source, first - 1, (first + 2) % 3, ring)
        put_row(source, first, first % 3, ring)
        for y in range(first, last):
            put_row(source, y + 1, (y + 1) % 3, ring)
            _layer_row(weights, y, ring, out)
            for c in range(n_channels):
                row, target = out[c], destination[c, y]
                for x in range(width):
                    target[x] = _ZERO if row[x] < _ZERO else row[x]
        part = next_ticket(tickets)


@kernel(fastmath=FLAGS)
def last_forward(
    tickets: Tickets,
    parts: Parts,
    source: Floats3,
    weights: ResidualWeights,
    stabilised: Floats3,
    normalised: Floats3,
) -> None:
    """Run the last residual layer on rows and add the stabiliser.

    Args:
        tickets: shared by all threads.
        parts: of rows.
        source: (C, H, W), the layer's input.
        weights: of the layer.
        stabilised: (C, H, W), the stabiliser's result.
        normalised: (C, H, W), written: the synthesis' samples, not clamped.
    """
    n_channels, _, width = source.shape
    ring = np.empty((n_channels, 3, width + 2), np.float32)
    out = np.empty((n_channels, width), np.float32)
    part = next_ticket(tickets)
    while part < parts.shape[0]:
        first, last = parts[part, 0], parts[part, 1]
        put_row(source, first - 1, (first + 2) % 3, ring)
        put_row(source, first, first % 3, ring)
        for y in range(first, last):
            put_row(source, y + 1, (y + 1) % 3, ring)
            _layer_row(weights, y, ring, out)
            for c in range(n_channels):
                row, branch, target = out[c], stabilised[c, y], normalised[c, y]
                for x in range(width):
                    target[x] = row[x] + branch[x]
        part = next_ticket(tickets)


@kernel_part(fastmath=FLAGS)
def _weighted_row(row: Floats, wanted: Floats, factors: Floats, scale: np.float32) -> np.float32:
    """Squared errors of a row whose samples have factors of their own; the gradient replaces it."""
    squares, twice = _ZERO, np.float32(2) * scale
    for x in range(row.shape[0]):
        value = _ZERO if row[x] < _ZERO else row[x]
        value = _ONE if value > _ONE else value
        error = (value - wanted[x]) * factors[x]
        squares += error * error
        row[x] = twice * factors[x] * error
    return squares


@kernel(fastmath=FLAGS)
def error_gradient(
    tickets: Tickets,
    parts: Parts,
    normalised: Floats3,
    target: Floats3,
    span: Floats3,
    scale: np.float32,
    sums: Doubles1,
) -> None:
    """Squared errors of rows, and their gradient.

    Args:
        tickets: shared by all threads.
        parts: of rows.
        normalised: (C, H, W), samples that are clamped to [0, 1] here; the gradient times `scale`
            takes their place. The clamp counts as the identity in it.
        target: (C, H, W), in [0, 1].
        span: (C, 1, 1), a factor of each channel's errors before they are squared, or (C, H, W),
            one of each sample's.
        scale: of the gradient.
        sums: (n,), written: sum of the squares of each part.
    """
    n_channels, _, width = normalised.shape
    by_sample = span.shape[1] * span.shape[2] > 1
    part = next_ticket(tickets)
    while part < parts.shape[0]:
        first, last = parts[part, 0], parts[part, 1]
        total = np.float64(0)
        for c in range(n_channels):
            for y in range(first, last):
                row, wanted = normalised[c, y], target[c, y]
                if by_sample:
                    total += _weighted_row(row, wanted, span[c, y], scale)
                    continue
                factor = span[c, 0, 0]
                slope = np.float32(2) * factor * scale
                squares = _ZERO
                for x in range(width):
                    value = _ZERO if row[x] < _ZERO else row[x]
                    value = _ONE if value > _ONE else value
                    error = (value - wanted[x]) * factor
                    squares += error * error
                    row[x] = slope * error
                total += squares
        sums[part] = total
        part = next_ticket(tickets)
