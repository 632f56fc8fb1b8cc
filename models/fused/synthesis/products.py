"""Products of weights with blocks of pixels, the inner loops of the per-pixel kernels.

A block is a flat float32 array that holds rows of BLOCK pixels, one row a feature.
"""

from __future__ import annotations

import numpy as np

from givre.models.compiled.kernel import kernel_part
from givre.models.compiled.types import FLAGS, Doubles, Floats

BLOCK = 128
"""Pixels in a block: the longer, the fewer sums over its pixels for the weights' gradients.

The block of hidden features must stay in the first-level cache.
"""


_ZERO = np.float32(0)
_INFINITY = np.float32(np.inf)


@kernel_part(fastmath=FLAGS)
def load_block(planes: Floats, start: int, n_rows: int, block: Floats) -> None:
    """Copy pixels from `start` on into a block; pixels beyond the end become zero."""
    n = min(BLOCK, planes.shape[1] - start)
    for row in range(n_rows):
        source, target = planes[row, start:], block[row * BLOCK :]
        for p in range(n):
            target[p] = source[p]
        for p in range(n, BLOCK):
            target[p] = _ZERO


@kernel_part(fastmath=FLAGS)
def store_block(block: Floats, start: int, n_rows: int, planes: Floats) -> None:
    """Copy a block to the pixels from `start` on."""
    n = min(BLOCK, planes.shape[1] - start)
    for row in range(n_rows):
        source, target = block[row * BLOCK :], planes[row, start:]
        for p in range(n):
            target[p] = source[p]


# The products below take a row of a block as a slice: with a plain index from zero LLVM sees that
# accesses are contiguous, and leaves the loops over pixels to vector instructions.


@kernel_part(fastmath=FLAGS)
def start_product(
    weight: Floats, x: Floats, bias: np.float32, low: np.float32, out: Floats
) -> None:
    """Set an output row to the bias plus the first 8 inputs times their weights, at least low."""
    w0, w1, w2, w3 = weight[0], weight[1], weight[2], weight[3]
    w4, w5, w6, w7 = weight[4], weight[5], weight[6], weight[7]
    for p in range(BLOCK):
        total = (
            bias
            + w0 * x[p]
            + w1 * x[BLOCK + p]
            + w2 * x[2 * BLOCK + p]
            + w3 * x[3 * BLOCK + p]
            + w4 * x[4 * BLOCK + p]
            + w5 * x[5 * BLOCK + p]
            + w6 * x[6 * BLOCK + p]
            + w7 * x[7 * BLOCK + p]
        )
        out[p] = low if total < low else total


@kernel_part(fastmath=FLAGS)
def _add_product_of_8(weight: Floats, x: Floats, out: Floats) -> None:
    """Add 8 inputs times their weights to an output row."""
    w0, w1, w2, w3 = weight[0], weight[1], weight[2], weight[3]
    w4, w5, w6, w7 = weight[4], weight[5], weight[6], weight[7]
    for p in range(BLOCK):
        out[p] += (
            w0 * x[p]
            + w1 * x[BLOCK + p]
            + w2 * x[2 * BLOCK + p]
            + w3 * x[3 * BLOCK + p]
            + w4 * x[4 * BLOCK + p]
            + w5 * x[5 * BLOCK + p]
            + w6 * x[6 * BLOCK + p]
            + w7 * x[7 * BLOCK + p]
        )


@kernel_part(fastmath=FLAGS)
def add_product_of_4(weight: Floats, x: Floats, out: Floats) -> None:
    """Add 4 inputs times their weights to an output row."""
    w0, w1, w2, w3 = weight[0], weight[1], weight[2], weight[3]
    for p in range(BLOCK):
        out[p] += w0 * x[p] + w1 * x[BLOCK + p] + w2 * x[2 * BLOCK + p] + w3 * x[3 * BLOCK + p]


@kernel_part(fastmath=FLAGS)
def product(weight: Floats, x: Floats, bias: np.float32, out: Floats) -> None:
    """Set an output row to the bias plus all inputs, a multiple of 4, times their weights."""
    n_inputs = len(weight)
    start_product(weight, x, bias, -_INFINITY, out)
    for group in range(1, n_inputs // 8):
        _add_product_of_8(weight[8 * group :], x[8 * group * BLOCK :], out)
    if n_inputs % 8:
        add_product_of_4(weight[n_inputs - 4 :], x[(n_inputs - 4) * BLOCK :], out)


@kernel_part(fastmath=FLAGS)
def _add_correlations(left: Floats, right: Floats, n_right: int, sums: Doubles) -> None:
    """Add the inner products of 2 rows with 4 rows; n_right sums lie between those of the 2."""
    # Eight sums, not four: LLVM would make one vector of four, and scalar loads.
    s0, s1, s2, s3, s4, s5, s6, s7 = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
    for p in range(BLOCK):
        a, b = left[p], left[BLOCK + p]
        x0, x1 = right[p], right[BLOCK + p]
        x2, x3 = right[2 * BLOCK + p], right[3 * BLOCK + p]
        s0 += a * x0
        s1 += a * x1
        s2 += a * x2
        s3 += a * x3
        s4 += b * x0
        s5 += b * x1
        s6 += b * x2
        s7 += b * x3
    sums[0] += s0
    sums[1] += s1
    sums[2] += s2
    sums[3] += s3
    sums[n_right] += s4
    sums[n_right + 1] += s5
    sums[n_right + 2] += s6
    sums[n_right + 3] += s7


@kernel_part(fastmath=FLAGS)
def correlate(left: Floats, right: Floats, n_right: int, sums: Doubles) -> None:
    """Add the inner products of all left rows with all right rows.

    The sums are (left rows, n_right), flat; left rows are even in number, right rows a multiple
    of 4.
    """
    for a in range(0, len(sums) // n_right, 2):
        for b in range(0, n_right, 4):
            _add_correlations(
                left[a * BLOCK :], right[b * BLOCK :], n_right, sums[a * n_right + b :]
            )


@kernel_part(fastmath=FLAGS)
def row_sum(row: Floats) -> np.float32:
    """Sum of one row."""
    total = _ZERO
    for p in range(BLOCK):
        total += row[p]
    return total
