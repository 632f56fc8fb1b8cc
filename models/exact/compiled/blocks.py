"""Matrix products of exact decoding on blocks of pixels, stored as [feature][pixel].

A layer is R(W x + b), and at least 0 where a ReLU follows; R(v) = floor(2^16 v + 1/2) / 2^16 brings
numbers back to the grid of activations and clamps them. All numbers lie on the grids of
`givre.models.exact.arithmetic`, so no sum is ever rounded: the compiler may reorder and fuse at
will, and NaN, infinities and the sign of zero do not matter.
"""

from __future__ import annotations

import numpy as np

from givre.models.compiled.kernel import kernel_part
from givre.models.compiled.types import Doubles
from givre.models.exact.arithmetic import ACTIVATION_BITS, ACTIVATION_LIMIT

EXACT = frozenset({"reassoc", "contract", "nsz", "nnan", "ninf"})
"""What LLVM may do to sums that have no rounding error."""

BLOCK = 64
"""Pixels of a block. Blocks are flat arrays; feature f of pixel p is at f * BLOCK + p."""

UNIT = 1 << ACTIVATION_BITS
LIMIT = ACTIVATION_LIMIT


def padded(n: int) -> int:
    """Features of a block that holds `n`: products work on four at a time, the rest is zero."""
    return -(-n // 4) * 4


def padded_matrix(weight: Doubles, *, residual: bool = False) -> Doubles:
    """Flat copy of (out, in) weights, both padded with zeros to multiples of 4.

    With `residual` one is added on the diagonal, which computes W x + x; n 2^-q + 1 lies on the
    grid of the weights, and every product with it is still a sum of terms that the budget counts.
    """
    n_out, n_in = weight.shape
    matrix = np.zeros((padded(n_out), padded(n_in)))
    matrix[:n_out, :n_in] = weight
    if residual:
        matrix[range(n_out), range(n_out)] += 1
    return matrix.reshape(-1)


def padded_vector(bias: Doubles) -> Doubles:
    """Copy of a bias, padded with zeros to a multiple of 4."""
    vector = np.zeros(padded(len(bias)))
    vector[: len(bias)] = bias
    return vector


@kernel_part(fastmath=EXACT)
def start_products(
    weight: Doubles, n_in: int, bias: Doubles, row: int, x: Doubles, y: Doubles, n: int
) -> None:
    """Rows row .. row + 3 of y become the bias plus the products with the first 4 rows of x."""
    w0, w1 = weight[row * n_in :], weight[(row + 1) * n_in :]
    w2, w3 = weight[(row + 2) * n_in :], weight[(row + 3) * n_in :]
    a0, a1, a2, a3 = w0[0], w0[1], w0[2], w0[3]
    b0, b1, b2, b3 = w1[0], w1[1], w1[2], w1[3]
    c0, c1, c2, c3 = w2[0], w2[1], w2[2], w2[3]
    d0, d1, d2, d3 = w3[0], w3[1], w3[2], w3[3]
    offset = bias[row:]
    a4, b4, c4, d4 = offset[0], offset[1], offset[2], offset[3]
    out = y[row * BLOCK :]
    for p in range(n):
        x0, x1, x2, x3 = x[p], x[BLOCK + p], x[2 * BLOCK + p], x[3 * BLOCK + p]
        out[p] = a4 + a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
        out[BLOCK + p] = b4 + b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
        out[2 * BLOCK + p] = c4 + c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3
        out[3 * BLOCK + p] = d4 + d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3


@kernel_part(fastmath=EXACT)
def add_products(
    weight: Doubles, n_in: int, row: int, column: int, x: Doubles, y: Doubles, n: int
) -> None:
    """Add to rows row .. row + 3 of y the products with rows column .. column + 3 of x."""
    w0, w1 = weight[row * n_in + column :], weight[(row + 1) * n_in + column :]
    w2, w3 = weight[(row + 2) * n_in + column :], weight[(row + 3) * n_in + column :]
    a0, a1, a2, a3 = w0[0], w0[1], w0[2], w0[3]
    b0, b1, b2, b3 = w1[0], w1[1], w1[2], w1[3]
    c0, c1, c2, c3 = w2[0], w2[1], w2[2], w2[3]
    d0, d1, d2, d3 = w3[0], w3[1], w3[2], w3[3]
    given, out = x[column * BLOCK :], y[row * BLOCK :]
    for p in range(n):
        x0, x1 = given[p], given[BLOCK + p]
        x2, x3 = given[2 * BLOCK + p], given[3 * BLOCK + p]
        out[p] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
        out[BLOCK + p] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
        out[2 * BLOCK + p] += c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3
        out[3 * BLOCK + p] += d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3


@kernel_part(fastmath=EXACT)
def on_grid(value: float, low: float) -> float:
    """R(value), and at least `low`: -LIMIT, or 0 to apply a ReLU as well."""
    rounded = np.floor(value * UNIT + 0.5) * (1.0 / UNIT)
    return float(min(max(rounded, low), LIMIT))


@kernel_part(fastmath=EXACT)
def finish_products(
    weight: Doubles, n_in: int, row: int, column: int, x: Doubles, y: Doubles, n: int, low: float
) -> None:
    """`add_products`, and `on_grid` of the sums."""
    w0, w1 = weight[row * n_in + column :], weight[(row + 1) * n_in + column :]
    w2, w3 = weight[(row + 2) * n_in + column :], weight[(row + 3) * n_in + column :]
    a0, a1, a2, a3 = w0[0], w0[1], w0[2], w0[3]
    b0, b1, b2, b3 = w1[0], w1[1], w1[2], w1[3]
    c0, c1, c2, c3 = w2[0], w2[1], w2[2], w2[3]
    d0, d1, d2, d3 = w3[0], w3[1], w3[2], w3[3]
    given, out = x[column * BLOCK :], y[row * BLOCK :]
    for p in range(n):
        x0, x1 = given[p], given[BLOCK + p]
        x2, x3 = given[2 * BLOCK + p], given[3 * BLOCK + p]
        y0 = out[p] + a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
        y1 = out[BLOCK + p] + b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
        y2 = out[2 * BLOCK + p] + c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3
        y3 = out[3 * BLOCK + p] + d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3
        out[p] = on_grid(y0, low)
        out[BLOCK + p] = on_grid(y1, low)
        out[2 * BLOCK + p] = on_grid(y2, low)
        out[3 * BLOCK + p] = on_grid(y3, low)


@kernel_part(fastmath=EXACT)
def affine(
    weight: Doubles, bias: Doubles, n_out: int, n_in: int, x: Doubles, y: Doubles, n: int
) -> None:
    """Y = W x + b for the first n pixels of a block; n_out and n_in are multiples of 4."""
    for row in range(0, n_out, 4):
        start_products(weight, n_in, bias, row, x, y, n)
        for column in range(4, n_in, 4):
            add_products(weight, n_in, row, column, x, y, n)


@kernel_part(fastmath=EXACT)
def add_linear(weight: Doubles, n_out: int, n_in: int, x: Doubles, y: Doubles, n: int) -> None:
    """Y += W x for the first n pixels of a block; n_out and n_in are multiples of 4."""
    for row in range(0, n_out, 4):
        for column in range(0, n_in, 4):
            add_products(weight, n_in, row, column, x, y, n)


@kernel_part(fastmath=EXACT)
def layer_on_grid(
    weight: Doubles,
    bias: Doubles,
    n_out: int,
    n_in: int,
    x: Doubles,
    y: Doubles,
    n: int,
    low: float,
) -> None:
    """Y = R(W x + b), and at least `low`, for the first n pixels of a block.

    n_out and n_in are multiples of 4.
    """
    for row in range(0, n_out, 4):
        start_products(weight, n_in, bias, row, x, y, n)
        for column in range(4, n_in - 4, 4):
            add_products(weight, n_in, row, column, x, y, n)
        if n_in > 4:
            finish_products(weight, n_in, row, n_in - 4, x, y, n, low)
        else:
            for feature in range(row, row + 4):
                out = y[feature * BLOCK : (feature + 1) * BLOCK]
                for p in range(n):
                    out[p] = on_grid(out[p], low)
