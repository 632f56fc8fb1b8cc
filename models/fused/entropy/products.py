"""Matrix products on blocks of pixels, the inner loops of the entropy model's kernels.

A block is a flat float32 array that holds rows of BLOCK pixels, one row a feature. Products take
4 x 4 weights at a time: fewer, and the loads of the pixels would cost more than the arithmetic.
"""

from __future__ import annotations

import numpy as np

from givre.models.compiled.kernel import kernel_part
from givre.models.compiled.types import FLAGS, Floats

BLOCK = 64
"""Pixels in a block."""

GROUP = 4
"""The number of rows in a block must be a multiple of this; rows of zeros fill it up.

Loops count groups: an index that steps by 4 might be negative for all the compiler knows, and the
check for that would keep the inner loop scalar.
"""


_ZERO = np.float32(0)


@kernel_part(fastmath=FLAGS)
def fill_rows(values: Floats, outputs: Floats) -> None:
    """Set every pixel of row i of a block to values[i]."""
    for row in range(values.shape[0]):
        at, value = row * BLOCK, values[row]
        for p in range(BLOCK):
            outputs[at + p] = value


@kernel_part(fastmath=FLAGS)
def product(weight: Floats, bias: Floats, inputs: Floats, outputs: Floats) -> None:
    """Set the outputs to weight @ inputs + bias.

    Args:
        weight: (n_out, n_in), both multiples of GROUP.
        bias: (n_out,).
        inputs: block of n_in rows.
        outputs: block of n_out rows, written.
    """
    n_outputs, n_inputs = weight.shape
    for row_group in range(n_outputs // GROUP):
        row = row_group * GROUP
        o0 = row * BLOCK
        o1, o2, o3 = o0 + BLOCK, o0 + 2 * BLOCK, o0 + 3 * BLOCK
        a, b, c, d = bias[row], bias[row + 1], bias[row + 2], bias[row + 3]
        for k_group in range(n_inputs // GROUP):
            k = k_group * GROUP
            i0 = k * BLOCK
            i1, i2, i3 = i0 + BLOCK, i0 + 2 * BLOCK, i0 + 3 * BLOCK
            a0, a1, a2, a3 = row_of_4(weight, row, k)
            b0, b1, b2, b3 = row_of_4(weight, row + 1, k)
            c0, c1, c2, c3 = row_of_4(weight, row + 2, k)
            d0, d1, d2, d3 = row_of_4(weight, row + 3, k)
            for p in range(BLOCK):
                x0, x1, x2, x3 = inputs[i0 + p], inputs[i1 + p], inputs[i2 + p], inputs[i3 + p]
                start = outputs[o0 + p] if k_group else a
                outputs[o0 + p] = start + a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
                start = outputs[o1 + p] if k_group else b
                outputs[o1 + p] = start + b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
                start = outputs[o2 + p] if k_group else c
                outputs[o2 + p] = start + c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3
                start = outputs[o3 + p] if k_group else d
                outputs[o3 + p] = start + d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3


@kernel_part(inline="always")
def row_of_4(weight: Floats, row: int, column: int) -> tuple[np.float32, ...]:
    """Four weights of a row from a column on."""
    return (
        weight[row, column],
        weight[row, column + 1],
        weight[row, column + 2],
        weight[row, column + 3],
    )


@kernel_part(fastmath=FLAGS)
def add_product_to_2(weight: Floats, inputs: Floats, outputs: Floats) -> None:
    """Add weight @ inputs to the outputs, for two outputs.

    Args:
        weight: (2, n_in), n_in a multiple of GROUP.
        inputs: block of n_in rows.
        outputs: block of 2 rows, changed.
    """
    for k_group in range(weight.shape[1] // GROUP):
        k = k_group * GROUP
        i0 = k * BLOCK
        i1, i2, i3 = i0 + BLOCK, i0 + 2 * BLOCK, i0 + 3 * BLOCK
        a0, a1, a2, a3 = row_of_4(weight, 0, k)
        b0, b1, b2, b3 = row_of_4(weight, 1, k)
        for p in range(BLOCK):
            x0, x1, x2, x3 = inputs[i0 + p], inputs[i1 + p], inputs[i2 + p], inputs[i3 + p]
            outputs[p] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
            outputs[BLOCK + p] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3


@kernel_part(fastmath=FLAGS)
def product_from_2(weight: Floats, inputs: Floats, outputs: Floats) -> None:
    """Set the outputs to weight.T @ inputs, for two inputs.

    Args:
        weight: (2, n_out).
        inputs: block of 2 rows.
        outputs: block of n_out rows, written.
    """
    for row in range(weight.shape[1]):
        at = row * BLOCK
        a, b = weight[0, row], weight[1, row]
        for p in range(BLOCK):
            outputs[at + p] = a * inputs[p] + b * inputs[BLOCK + p]


@kernel_part(fastmath=FLAGS)
def add_correlation(left: Floats, right: Floats, n_rows: int, sums: Floats, at: int) -> None:
    """Add left @ right.T, summed over the pixels.

    Args:
        left: block of `n_rows` rows.
        right: as `left`.
        n_rows: a multiple of GROUP.
        sums: flat; from `at` on the matrix (n_rows, n_rows), row by row, changed.
        at: where the matrix begins.
    """
    for row_group in range(n_rows // GROUP):
        row = row_group * GROUP
        i0 = row * BLOCK
        i1, i2, i3 = i0 + BLOCK, i0 + 2 * BLOCK, i0 + 3 * BLOCK
        for column_group in range(n_rows // GROUP):
            column = column_group * GROUP
            k0 = column * BLOCK
            k1, k2, k3 = k0 + BLOCK, k0 + 2 * BLOCK, k0 + 3 * BLOCK
            a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = _ZERO
            c0 = c1 = c2 = c3 = d0 = d1 = d2 = d3 = _ZERO
            for p in range(BLOCK):
                x0, x1, x2, x3 = right[k0 + p], right[k1 + p], right[k2 + p], right[k3 + p]
                y0, y1, y2, y3 = left[i0 + p], left[i1 + p], left[i2 + p], left[i3 + p]
                a0 += y0 * x0
                a1 += y0 * x1
                a2 += y0 * x2
                a3 += y0 * x3
                b0 += y1 * x0
                b1 += y1 * x1
                b2 += y1 * x2
                b3 += y1 * x3
                c0 += y2 * x0
                c1 += y2 * x1
                c2 += y2 * x2
                c3 += y2 * x3
                d0 += y3 * x0
                d1 += y3 * x1
                d2 += y3 * x2
                d3 += y3 * x3
            s = at + row * n_rows + column
            add_4(sums, s, a0, a1, a2, a3)
            add_4(sums, s + n_rows, b0, b1, b2, b3)
            add_4(sums, s + 2 * n_rows, c0, c1, c2, c3)
            add_4(sums, s + 3 * n_rows, d0, d1, d2, d3)


@kernel_part(inline="always")
def add_4(
    sums: Floats, at: int, a: np.float32, b: np.float32, c: np.float32, d: np.float32
) -> None:
    """Add four numbers to four consecutive sums."""
    sums[at] += a
    sums[at + 1] += b
    sums[at + 2] += c
    sums[at + 3] += d


@kernel_part(fastmath=FLAGS)
def add_correlation_of_2(left: Floats, right: Floats, n_rows: int, sums: Floats, at: int) -> None:
    """Add left @ right.T, summed over the pixels, for two rows on the left.

    Args:
        left: block of 2 rows.
        right: block of `n_rows` rows.
        n_rows: a multiple of GROUP.
        sums: flat; from `at` on the matrix (2, n_rows), row by row, changed.
        at: where the matrix begins.
    """
    for column_group in range(n_rows // GROUP):
        column = column_group * GROUP
        k0 = column * BLOCK
        k1, k2, k3 = k0 + BLOCK, k0 + 2 * BLOCK, k0 + 3 * BLOCK
        a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = _ZERO
        for p in range(BLOCK):
            x0, x1, x2, x3 = right[k0 + p], right[k1 + p], right[k2 + p], right[k3 + p]
            y0, y1 = left[p], left[BLOCK + p]
            a0 += y0 * x0
            a1 += y0 * x1
            a2 += y0 * x2
            a3 += y0 * x3
            b0 += y1 * x0
            b1 += y1 * x1
            b2 += y1 * x2
            b3 += y1 * x3
        add_4(sums, at + column, a0, a1, a2, a3)
        add_4(sums, at + n_rows + column, b0, b1, b2, b3)
