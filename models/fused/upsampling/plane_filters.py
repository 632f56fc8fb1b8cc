"""Kernels for the upsampler's two filters on planes (C, H, W), forward and adjoint.

Upsampling by 2 is a transposed convolution with a kernel k of 2N taps that is the outer product of
a symmetric kernel with itself, as in Cool-chic 4 and 5. Along one axis, with the borders of x
continued (lead = N - 1):

    out[o] = sum over i of k[o + lead - 2 i] x[i]

Its two phases are filters of N taps each: even outputs see k[0::2], odd ones k[1::2]. Sharpening,
which those versions call pre-concatenation, adds to x itself filtered with a symmetric kernel p of
2R + 1 taps:

    out[o] = x[o] + sum over j of p[j] x[o + j - R]

The adjoints are sums over the same pairs of samples: the gradient of x[i] collects those of all
out[o] in which x[i] is, that of a tap the products of all samples that it joins.

Both are separable. The forward kernels filter a row horizontally once, keep the last few of those
rows in a ring, and filter vertically from there straight into the destination. The adjoint kernels
go back the same way in gather form: a row of gradients is first gathered vertically, then
horizontally; the ring is filled once more for the gradient of the taps.

Work comes in items, an item being up to `BLOCK_ROWS` low-resolution rows of one plane. Items
write to places of their own, so they may run in any order and on any thread. Taps are whole
kernels, padded with zeros to a multiple of 8: see `givre.models.fused.upsampling.dense`.
"""

from __future__ import annotations

import numpy as np

from givre.models.compiled.kernel import kernel_part
from givre.models.compiled.types import FLAGS, Doubles, Floats
from givre.models.fused.upsampling.row_filters import (
    combine_rows,
    correlate_rows,
    correlate_shifts,
    double_row,
    filter_row,
    fold_row,
    gather_row,
    pad_row,
)

BLOCK_ROWS = 32
"""Rows of an item. Each block fills its ring anew, so small blocks filter some rows twice."""


def n_items(n_planes: int, n_rows: int) -> int:
    """Number of items in planes of so many low-resolution rows."""
    return n_planes * -(-n_rows // BLOCK_ROWS)


@kernel_part(fastmath=FLAGS)
def double_planes(source: Floats, out: Floats, taps: Floats, first: int, last: int) -> None:
    """Upsample items `first` to `last` of the source by 2.

    Args:
        source: (P, h, w).
        out: (P, H, W), H being 2h or 2h - 1, W being 2w or 2w - 1.
        taps: the symmetric kernel, (2N,) with N a multiple of 4.
        first: first item.
        last: last item, excluded.
    """
    _, height, width = source.shape
    n = taps.shape[0] // 2
    even, odd = np.empty(n, np.float32), np.empty(n, np.float32)
    for t in range(n):
        even[t], odd[t] = taps[2 * t], taps[2 * t + 1]
    padded = np.empty(width + n + 1, np.float32)
    ring = np.empty((2 * n, 2 * width), np.float32)
    index = np.empty(n, np.int64)
    blocks = (height + BLOCK_ROWS - 1) // BLOCK_ROWS
    for item in range(first, last):
        p, start = item // blocks, item % blocks * BLOCK_ROWS
        ready = max(start - n // 2, 0)
        for m in range(start, min(start + BLOCK_ROWS, height)):
            for i in range(ready, min(m + n // 2, height - 1) + 1):
                pad_row(padded, source[p, i], n // 2)
                double_row(ring[i % (2 * n)], padded, even, odd)
                ready = i + 1
            for t in range(n):
                index[t] = min(max(m - n // 2 + t, 0), height - 1) % (2 * n)
            combine_rows(out[p, 2 * m], ring, index, even)
            if 2 * m + 1 < out.shape[1]:
                for t in range(n):
                    index[t] = min(max(m - n // 2 + 1 + t, 0), height - 1) % (2 * n)
                combine_rows(out[p, 2 * m + 1], ring, index, odd)


@kernel_part(fastmath=FLAGS)
def double_planes_adjoint(
    source: Floats,
    grad_out: Floats,
    grad_source: Floats,
    taps: Floats,
    grad_taps: Doubles,
    first: int,
    last: int,
) -> None:
    """Gradients of `double_planes` with respect to its source and its taps.

    Args:
        source: (P, h, w).
        grad_out: (P, H, W).
        grad_source: (P, h, w), written.
        taps: (2N,).
        grad_taps: (items, 2N), written: each item's part, both passes summed. Taps that mirror
            each other get a gradient each.
        first: first item.
        last: last item, excluded.
    """
    _, height, width = source.shape
    high, wide = grad_out.shape[1:]
    n = taps.shape[0] // 2
    even, odd = np.empty(n, np.float32), np.empty(n, np.float32)
    for t in range(n):
        even[t], odd[t] = taps[2 * t], taps[2 * t + 1]
    padded = np.empty(width + n + 1, np.float32)
    ring = np.empty((2 * n, 2 * width), np.float32)
    index = np.empty(n, np.int64)
    gathered = np.empty(2 * n, np.int64)
    weights = np.empty(2 * n, np.float32)
    row = np.zeros(2 * width, np.float32)  # an odd `wide` leaves its last sample at zero
    # Even and odd samples of a gathered row, with n zeros on either side.
    row_even = np.zeros(width + 2 * n, np.float32)
    row_odd = np.zeros(width + 2 * n, np.float32)
    middle_even, middle_odd = row_even[n : n + width], row_odd[n : n + width]
    extended = np.empty(width + n, np.float32)
    blocks = (height + BLOCK_ROWS - 1) // BLOCK_ROWS
    for item in range(first, last):
        p, start = item // blocks, item % blocks * BLOCK_ROWS
        sums = grad_taps[item]
        for t in range(sums.shape[0]):
            sums[t] = 0
        ready = max(start - n // 2, 0)
        for m in range(start, min(start + BLOCK_ROWS, height)):
            for i in range(ready, min(m + n // 2, height - 1) + 1):
                pad_row(padded, source[p, i], n // 2)
                double_row(ring[i % (2 * n)], padded, even, odd)
                ready = i + 1
            for t in range(n):
                index[t] = min(max(m - n // 2 + t, 0), height - 1) % (2 * n)
            correlate_rows(sums, 2, grad_out[p, 2 * m], ring, index)
            if 2 * m + 1 < high:
                for t in range(n):
                    index[t] = min(max(m - n // 2 + 1 + t, 0), height - 1) % (2 * n)
                correlate_rows(sums[1:], 2, grad_out[p, 2 * m + 1], ring, index)

            gather_row(m, height, high, 2, taps, gathered, weights)
            combine_rows(row[:wide], grad_out[p], gathered, weights)
            for x in range(width):
                middle_even[x] = row[2 * x]
                middle_odd[x] = row[2 * x + 1]

            pad_row(padded, source[p, m], n // 2)
            correlate_shifts(sums, 2, n, middle_even, padded)
            correlate_shifts(sums[1:], 2, n, middle_odd, padded[1:])
            # The adjoint runs the phases backwards, and each is the other one reversed.
            filter_row(extended, row_even[1:], odd, False)
            filter_row(extended, row_odd, even, True)
            fold_row(grad_source[p, m], extended, n // 2)


@kernel_part(fastmath=FLAGS)
def sharpen_planes(source: Floats, out: Floats, taps: Floats, first: int, last: int) -> None:
    """Add to items `first` to `last` of the source their filtered selves.

    Args:
        source: (C, H, W).
        out: (C, H, W).
        taps: the symmetric kernel and a zero, (2R + 2,), a multiple of 8.
        first: first item.
        last: last item, excluded.
    """
    _, height, width = source.shape
    n = taps.shape[0]
    reach = n // 2 - 1
    padded = np.empty(width + n, np.float32)
    ring = np.empty((n, width), np.float32)
    index = np.empty(n, np.int64)
    blocks = (height + BLOCK_ROWS - 1) // BLOCK_ROWS
    for item in range(first, last):
        p, start = item // blocks, item % blocks * BLOCK_ROWS
        ready = max(start - reach, 0)
        for y in range(start, min(start + BLOCK_ROWS, height)):
            for i in range(ready, min(y + reach, height - 1) + 1):
                pad_row(padded, source[p, i], reach)
                filter_row(ring[i % n], padded, taps, False)
                ready = i + 1
            for t in range(n):
                # The last tap is the zero; its row has left the ring or is not there yet.
                index[t] = min(max(y - reach + min(t, n - 2), 0), height - 1) % n
            combine_rows(out[p, y], ring, index, taps)
            for x in range(width):
                out[p, y, x] += source[p, y, x]


@kernel_part(fastmath=FLAGS)
def sharpen_planes_adjoint(
    source: Floats,
    grad_out: Floats,
    grad_source: Floats,
    taps: Floats,
    grad_taps: Doubles,
    first: int,
    last: int,
) -> None:
    """Gradients of `sharpen_planes` with respect to its source and its taps.

    Args:
        source: (C, H, W).
        grad_out: (C, H, W).
        grad_source: (C, H, W), written.
        taps: (2R + 2,).
        grad_taps: (items, 2R + 2), written: each item's part, both passes summed; the last one
            means nothing.
        first: first item.
        last: last item, excluded.
    """
    _, height, width = source.shape
    n = taps.shape[0]
    reach = n // 2 - 1
    padded = np.empty(width + n, np.float32)
    ring = np.empty((n, width), np.float32)
    index = np.empty(n, np.int64)
    weights = np.empty(n, np.float32)
    # A gathered row, with 2 * reach zeros before it and enough behind it.
    row = np.zeros(width + 2 * n, np.float32)
    middle = row[2 * reach : 2 * reach + width]
    extended = np.empty(width + 2 * reach, np.float32)
    blocks = (height + BLOCK_ROWS - 1) // BLOCK_ROWS
    for item in range(first, last):
        p, start = item // blocks, item % blocks * BLOCK_ROWS
        sums = grad_taps[item]
        for t in range(sums.shape[0]):
            sums[t] = 0
        ready = max(start - reach, 0)
        for y in range(start, min(start + BLOCK_ROWS, height)):
            for i in range(ready, min(y + reach, height - 1) + 1):
                pad_row(padded, source[p, i], reach)
                filter_row(ring[i % n], padded, taps, False)
                ready = i + 1
            for t in range(n):
                index[t] = min(max(y - reach + min(t, n - 2), 0), height - 1) % n
            correlate_rows(sums, 1, grad_out[p, y], ring, index)

            gather_row(y, height, height, 1, taps, index, weights)
            combine_rows(middle, grad_out[p], index, weights)

            pad_row(padded, source[p, y], reach)
            correlate_shifts(sums, 1, n, middle, padded)
            filter_row(extended, row, taps, False)
            fold_row(grad_source[p, y], extended, reach)
            for x in range(width):
                grad_source[p, y, x] += grad_out[p, y, x]
