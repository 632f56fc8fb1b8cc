"""Exact upsampling, row by row: both filters read full rows and write a piece of one output row.

The filters are those of `givre.models.fused.upsampling.plane_filters` on the number grids of
`givre.models.exact.arithmetic`: R(v), the nearest multiple of 2^-16, follows each of the two
passes. With k the taps of a phase, p those of the pre-concatenation filter:

    doubled = R(sum over j of k_j R(sum over i of k_i x[row + i, column + j]))
    sharpened = R(x + R(sum over j of p_j R(sum over i of p_i x[row + i, column + j])))

Rows are computed on demand from the grids, so that a band of the image needs no larger buffers
than a few rows; at a border the filters read the border's own numbers, wherever the image is cut.
"""

from __future__ import annotations

import numpy as np

from givre.models.compiled.kernel import kernel, kernel_part
from givre.models.compiled.types import Doubles, Doubles1, Doubles2, Doubles3
from givre.models.exact.compiled.blocks import EXACT, LIMIT, on_grid


def transposed_taps(half: Doubles) -> Doubles:
    """Polyphase form of the x2 filter: (2, k / 2), one row for each parity of the output.

    Output 2 m + phase is the sum over j of taps[phase, j] * x[m + j - (k / 2 - phase) // 2].
    """
    reach = len(half)
    kernel = np.concatenate([half, half[::-1]])
    # Output o reads x[i] through tap o + k / 2 - 1 - 2 i.
    first = [-((reach - phase) // 2) for phase in (0, 1)]
    return np.array(
        [
            [kernel[phase + reach - 1 - 2 * (first[phase] + j)] for j in range(reach)]
            for phase in (0, 1)
        ]
    )


def preconcat_taps(half: Doubles) -> Doubles:
    """All taps of the symmetric pre-concatenation filter."""
    return np.concatenate([half, half[:-1][::-1]])


@kernel_part(fastmath=EXACT, pasted=False)
def fill_sides(line: Doubles, first: int, last: int, size: int) -> None:
    """Replicate the border in a line that holds x[first .. last - 1] of a signal of `size`."""
    for i in range(max(0, -first)):
        line[i] = line[-first]
    for i in range(max(0, last - size)):
        line[last - first - 1 - i] = line[size - 1 - first]


@kernel_part(fastmath=EXACT, pasted=False)
def vertical_sum(
    plane: Doubles, taps: Doubles, row: int, first: int, last: int, out: Doubles
) -> None:
    """R(sum over j of taps[j] * plane[row + j, x]), x = first .. last - 1, borders replicated."""
    height, width = plane.shape
    low, high = max(0, first), min(last, width)
    n = high - low
    total = out[low - first : high - first]
    line = plane[min(max(row, 0), height - 1), low:high]
    weight = taps[0]
    for x in range(n):
        total[x] = weight * line[x]
    for j in range(1, len(taps)):
        line = plane[min(max(row + j, 0), height - 1), low:high]
        weight = taps[j:][0]
        for x in range(n):
            total[x] += weight * line[x]
    for x in range(n):
        total[x] = on_grid(total[x], -LIMIT)
    fill_sides(out, first, last, width)


@kernel_part(fastmath=EXACT, pasted=False)
def horizontal_sum(line: Doubles, taps: Doubles, n: int, out: Doubles) -> None:
    """R(sum over j of taps[j] * line[x + j]) for x = 0 .. n - 1."""
    weight = taps[0]
    for x in range(n):
        out[x] = weight * line[x]
    for j in range(1, len(taps)):
        weight = taps[j:][0]
        shifted = line[j:]
        for x in range(n):
            out[x] += weight * shifted[x]
    for x in range(n):
        out[x] = on_grid(out[x], -LIMIT)


@kernel_part(fastmath=EXACT, pasted=False)
def doubled_row(
    plane: Doubles, taps: Doubles, row: int, left: int, n: int, scratch: Doubles, out: Doubles
) -> None:
    """Columns left .. left + n - 1 of one row of the upsampled plane.

    Args:
        plane: (H, W) on the activation grid.
        taps: of `transposed_taps`.
        row: of the result.
        left: even.
        n: columns.
        scratch: at least 2 * (n + k) + 4 numbers.
        out: gets n numbers.
    """
    reach = taps.shape[1]
    parity = row & 1
    first = (left >> 1) - (reach >> 1)
    half = (n + 1) >> 1
    last = (left >> 1) + half + (reach >> 1) + 1
    line = scratch[: last - first]
    vertical_sum(plane, taps[parity], (row >> 1) - ((reach - parity) >> 1), first, last, line)
    even, odd = scratch[last - first :], scratch[last - first + half :]
    horizontal_sum(line, taps[0], half, even)
    horizontal_sum(line[(reach >> 1) - ((reach - 1) >> 1) :], taps[1], half, odd)
    for x in range(n >> 1):
        out[2 * x] = even[x]
        out[2 * x + 1] = odd[x]
    if n & 1:
        out[n - 1] = even[half - 1]


@kernel_part(fastmath=EXACT, pasted=False)
def preconcat_row(
    plane: Doubles, taps: Doubles, row: int, left: int, n: int, scratch: Doubles, out: Doubles
) -> None:
    """Columns left .. left + n - 1 of one row of R(plane + filtered plane).

    Args:
        plane: (H, W) latents.
        taps: of `preconcat_taps`.
        row: of the result.
        left: first column.
        n: columns.
        scratch: at least n + p numbers.
        out: gets n numbers.
    """
    reach = len(taps) >> 1
    line = scratch[: n + 2 * reach]
    vertical_sum(plane, taps, row - reach, left - reach, left + n + reach, line)
    horizontal_sum(line, taps, n, out)
    given = plane[row, left : left + n]
    for x in range(n):
        out[x] = on_grid(given[x] + out[x], -LIMIT)


@kernel(fastmath=EXACT)
def concatenate_rows(
    dense: Doubles3,
    latents: Doubles2,
    transposed: Doubles2,
    preconcat: Doubles1,
    out: Doubles3,
    first: int,
    last: int,
) -> None:
    """One upsampling stage, for the rows first .. last - 1.

    Args:
        dense: (c, ceil(H/2), ceil(W/2)), channels so far.
        latents: (H, W), the grid that joins them.
        transposed: of `transposed_taps`.
        preconcat: of `preconcat_taps`.
        out: (1 + c, H, W), gets the grid and the doubled channels.
        first: first row.
        last: row after the last.
    """
    width = latents.shape[1]
    scratch = np.empty(2 * (width + transposed.shape[1] + len(preconcat)) + 4)
    for row in range(first, last):
        preconcat_row(latents, preconcat, row, 0, width, scratch, out[0, row])
        for channel in range(len(dense)):
            line = out[channel + 1, row]
            doubled_row(dense[channel], transposed, row, 0, width, scratch, line)
