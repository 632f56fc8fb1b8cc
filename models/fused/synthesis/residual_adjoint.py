"""Kernel for a 3x3 residual layer of the synthesis on the way back.

With g the derivatives by the layer's result before its ReLU, out = x + W * x + b:

    by x:  g + V * g,   V[i, o, dr, dc] = W[o, i, -dr, -dc]
    by W[o, i, dr, dc]:  sum over r and c of g_o[r, c] x_i[r + dr, c + dc],   by b:  sum of g

What a layer reads beyond the border is the border itself, which gets that part of the gradient. A
row of the input gathers its gradient from the rows around it, so that rows can be computed in any
order and on any number of threads.
"""

from __future__ import annotations

import numpy as np

from givre.models.compiled.kernel import kernel, kernel_part
from givre.models.compiled.loops import fill
from givre.models.compiled.tickets import Parts, Tickets, next_ticket
from givre.models.compiled.types import FLAGS, Doubles, Doubles2, Floats, Floats3
from givre.models.fused.synthesis.residual_layers import Ring, add_filtered, put_row

_ZERO = np.float32(0)


@kernel_part(fastmath=FLAGS)
def _put_row_or_zeros(planes: Floats, y: int, slot: int, ring: Ring) -> None:
    """Copy row y of all planes, zero where there is none; the borders of the ring stay zero."""
    n_channels, height, width = planes.shape
    for c in range(n_channels):
        target = ring[c, slot, 1:]
        if 0 <= y < height:
            source = planes[c, y]
            for x in range(width):
                target[x] = source[x]
        else:
            for x in range(width):
                target[x] = _ZERO


@kernel_part(fastmath=FLAGS)
def _add_inner_products(
    gradient: Floats, above: Floats, here: Floats, below: Floats, sums: Doubles
) -> None:
    """Add the inner products of a gradient row with three input rows, shifted by 0, 1 and 2."""
    s0, s1, s2, s3, s4 = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
    s5, s6, s7, s8 = _ZERO, _ZERO, _ZERO, _ZERO
    for x in range(len(gradient)):
        g = gradient[x]
        s0 += g * above[x]
        s1 += g * above[x + 1]
        s2 += g * above[x + 2]
        s3 += g * here[x]
        s4 += g * here[x + 1]
        s5 += g * here[x + 2]
        s6 += g * below[x]
        s7 += g * below[x + 1]
        s8 += g * below[x + 2]
    sums[0] += s0
    sums[1] += s1
    sums[2] += s2
    sums[3] += s3
    sums[4] += s4
    sums[5] += s5
    sums[6] += s6
    sums[7] += s7
    sums[8] += s8


@kernel_part(fastmath=FLAGS)
def _adjoint_weights(weight: Floats, is_first: bool, is_last: bool, out: Floats) -> None:
    """Weights with which a row of the input gathers the gradient of the rows around it.

    They are the layer's, turned round. The first and the last row also stand for the rows that
    the layer repeats outside of the image, so they get those rows' part of the gradient as well.

    Args:
        weight: (C, C, 9), (out, in).
        is_first: whether the row is the first of the image.
        is_last: whether it is the last.
        out: (C, C, 9), written, (in, out).
    """
    n_channels = len(weight)
    for o in range(n_channels):
        for i in range(n_channels):
            for k in range(9):
                out[i, o, k] = weight[o, i, 8 - k]
            for k in range(3):
                if is_first:
                    out[i, o, 3 + k] += weight[o, i, 2 - k]
                if is_last:
                    out[i, o, 3 + k] += weight[o, i, 8 - k]


@kernel_part(fastmath=FLAGS)
def _adjoint_row(turned: Floats, y: int, ring: Ring, out: Floats) -> None:
    """Row y of the gradient with respect to a layer's input, from a ring of the gradient."""
    n_channels, width = out.shape
    above, here, below = (y + 2) % 3, y % 3, (y + 1) % 3
    for i in range(n_channels):
        row, centre = out[i], ring[i, here, 1:]
        for x in range(width):
            row[x] = centre[x]
        for o in range(n_channels):
            weight = turned[i, o]
            add_filtered(weight, ring[o, above], ring[o, here], ring[o, below], row)
            # What the columns repeated outside of the image would have got.
            for k in range(3):
                samples = ring[o, (y + 2 + k) % 3]
                row[0] += weight[3 * k + 2] * samples[1]
                row[width - 1] += weight[3 * k] * samples[width]


@kernel(fastmath=FLAGS)
def residual_backward(
    tickets: Tickets,
    parts: Parts,
    source: Floats3,
    weight: Floats3,
    gradient: Floats3,
    rectified: bool,
    destination: Floats3,
    sums: Doubles2,
) -> None:
    """Run a residual layer backwards on rows.

    Args:
        tickets: shared by all threads.
        parts: of rows.
        source: (C, H, W), the layer's input.
        weight: (C, C, 9).
        gradient: (C, H, W), with respect to the layer's result before its ReLU.
        rectified: whether the input comes from a ReLU.
        destination: (C, H, W), written: the gradient with respect to the input, before that ReLU.
        sums: (n, C * C * 9 + C), written: gradient of the weights and the bias from the rows of
            each part.
    """
    n_channels, height, width = source.shape
    inputs = np.empty((n_channels, 3, width + 2), np.float32)
    gradients = np.zeros((n_channels, 3, width + 2), np.float32)
    turned = np.empty((n_channels, n_channels, 9), np.float32)
    out = np.empty((n_channels, width), np.float32)
    part = next_ticket(tickets)
    while part < parts.shape[0]:
        first, last = parts[part, 0], parts[part, 1]
        own = sums[part]
        fill(own, 0)
        put_row(source, first - 1, (first + 2) % 3, inputs)
        put_row(source, first, first % 3, inputs)
        _put_row_or_zeros(gradient, first - 1, (first + 2) % 3, gradients)
        _put_row_or_zeros(gradient, first, first % 3, gradients)
        for y in range(first, last):
            put_row(source, y + 1, (y + 1) % 3, inputs)
            _put_row_or_zeros(gradient, y + 1, (y + 1) % 3, gradients)
            _adjoint_weights(weight, y == 0, y == height - 1, turned)
            _adjoint_row(turned, y, gradients, out)
            for o in range(n_channels):
                row = gradient[o, y]
                for i in range(n_channels):
                    _add_inner_products(
                        row,
                        inputs[i, (y + 2) % 3],
                        inputs[i, y % 3],
                        inputs[i, (y + 1) % 3],
                        own[(o * n_channels + i) * 9 :],
                    )
                total = _ZERO
                for x in range(width):
                    total += row[x]
                own[n_channels * n_channels * 9 + o] += total
            for c in range(n_channels):
                row, target, values = out[c], destination[c, y], source[c, y]
                if rectified:
                    for x in range(width):
                        target[x] = row[x] if values[x] > _ZERO else _ZERO
                else:
                    for x in range(width):
                        target[x] = row[x]
        part = next_ticket(tickets)
