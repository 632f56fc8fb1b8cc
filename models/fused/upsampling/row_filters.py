"""Loops over image rows that the fused upsampler is made of, four taps at a time.

A loop with a fixed number of four taps is what LLVM vectorises well, so every filter is padded
with zero taps to a multiple of four, and longer ones run the loop several times. Rows are float32
and contiguous. They are copied by loops: NumPy's assignment to a slice makes ten times the code.
"""

from __future__ import annotations

import numpy as np

from givre.models.compiled.kernel import kernel_part
from givre.models.compiled.loops import copy, fill
from givre.models.compiled.types import FLAGS, Doubles, Floats, Integers

_ZERO = np.float32(0)


@kernel_part(fastmath=FLAGS)
def combine_rows(out: Floats, rows: Floats, index: Integers, weights: Floats) -> None:
    """Set out[x] to the sum over t of weights[t] * rows[index[t], x]."""
    width = out.shape[0]
    for t in range(0, weights.shape[0], 4):
        w0, w1, w2, w3 = weights[t], weights[t + 1], weights[t + 2], weights[t + 3]
        r0, r1, r2, r3 = rows[index[t]], rows[index[t + 1]], rows[index[t + 2]], rows[index[t + 3]]
        if t == 0:
            for x in range(width):
                out[x] = w0 * r0[x] + w1 * r1[x] + w2 * r2[x] + w3 * r3[x]
        else:
            for x in range(width):
                out[x] += w0 * r0[x] + w1 * r1[x] + w2 * r2[x] + w3 * r3[x]


@kernel_part(fastmath=FLAGS)
def correlate_rows(sums: Doubles, stride: int, g: Floats, rows: Floats, index: Integers) -> None:
    """Add to sums[stride * t] the inner product of g and rows[index[t]], for every t."""
    for t in range(0, index.shape[0], 4):
        r0, r1, r2, r3 = rows[index[t]], rows[index[t + 1]], rows[index[t + 2]], rows[index[t + 3]]
        s0 = s1 = s2 = s3 = _ZERO
        for x in range(g.shape[0]):
            s0 += g[x] * r0[x]
            s1 += g[x] * r1[x]
            s2 += g[x] * r2[x]
            s3 += g[x] * r3[x]
        sums[stride * t] += s0
        sums[stride * (t + 1)] += s1
        sums[stride * (t + 2)] += s2
        sums[stride * (t + 3)] += s3


@kernel_part(fastmath=FLAGS)
def filter_row(out: Floats, padded: Floats, taps: Floats, add: bool) -> None:
    """Set out[x] to, or with `add` increase it by, the sum over t of taps[t] * padded[x + t]."""
    for t in range(0, taps.shape[0], 4):
        w0, w1, w2, w3 = taps[t], taps[t + 1], taps[t + 2], taps[t + 3]
        p = padded[t:]
        if t == 0 and not add:
            for x in range(out.shape[0]):
                out[x] = w0 * p[x] + w1 * p[x + 1] + w2 * p[x + 2] + w3 * p[x + 3]
        else:
            for x in range(out.shape[0]):
                out[x] += w0 * p[x] + w1 * p[x + 1] + w2 * p[x + 2] + w3 * p[x + 3]


@kernel_part(fastmath=FLAGS)
def correlate_shifts(sums: Doubles, stride: int, n_taps: int, g: Floats, padded: Floats) -> None:
    """Add to sums[stride * t] the sum over x of g[x] * padded[x + t], for 0 <= t < n_taps."""
    for t in range(0, n_taps, 4):
        p = padded[t:]
        s0 = s1 = s2 = s3 = _ZERO
        for x in range(g.shape[0]):
            s0 += g[x] * p[x]
            s1 += g[x] * p[x + 1]
            s2 += g[x] * p[x + 2]
            s3 += g[x] * p[x + 3]
        sums[stride * t] += s0
        sums[stride * (t + 1)] += s1
        sums[stride * (t + 2)] += s2
        sums[stride * (t + 3)] += s3


@kernel_part(fastmath=FLAGS)
def double_row(out: Floats, padded: Floats, even: Floats, odd: Floats) -> None:
    """Interleave the two phases: out[2x] from padded[x ...], out[2x + 1] from padded[x + 1 ...]."""
    for t in range(0, even.shape[0], 4):
        e0, e1, e2, e3 = even[t], even[t + 1], even[t + 2], even[t + 3]
        o0, o1, o2, o3 = odd[t], odd[t + 1], odd[t + 2], odd[t + 3]
        p = padded[t:]
        if t == 0:
            for x in range(out.shape[0] // 2):
                out[2 * x] = e0 * p[x] + e1 * p[x + 1] + e2 * p[x + 2] + e3 * p[x + 3]
                out[2 * x + 1] = o0 * p[x + 1] + o1 * p[x + 2] + o2 * p[x + 3] + o3 * p[x + 4]
        else:
            for x in range(out.shape[0] // 2):
                out[2 * x] += e0 * p[x] + e1 * p[x + 1] + e2 * p[x + 2] + e3 * p[x + 3]
                out[2 * x + 1] += o0 * p[x + 1] + o1 * p[x + 2] + o2 * p[x + 3] + o3 * p[x + 4]


@kernel_part()
def pad_row(padded: Floats, row: Floats, before: int) -> None:
    """Copy a row to padded[before:] and continue it on both sides by its border samples."""
    width = row.shape[0]
    # An index that is a sum could be negative for all that the compiler knows; that of a view not.
    fill(padded[:before], row[0])
    copy(row, padded[before : before + width])
    fill(padded[before + width :], row[width - 1])


@kernel_part()
def fold_row(out: Floats, extended: Floats, before: int) -> None:
    """Adjoint of `pad_row`: what lies outside of the row is added to its border samples."""
    width = out.shape[0]
    copy(extended[before : before + width], out)
    for x in range(before):
        out[0] += extended[x]
    for x in range(before + width, extended.shape[0]):
        out[width - 1] += extended[x]


@kernel_part()
def gather_row(
    i: int, n_low: int, n_high: int, step: int, taps: Floats, index: Integers, weights: Floats
) -> None:
    """Find which rows low-resolution row i collects in the adjoint, and with which weights.

    Row i paints the rows step * i - lead + t with taps[t], lead = (n_taps - 1) // 2. The first
    and the last row also paint for the rows that continue them. Those fall on rows that they
    reach by themselves, so there are as many weights as taps; a row outside has the weight 0.
    """
    n_taps = taps.shape[0]
    lead = (n_taps - 1) // 2
    for t in range(n_taps):
        y = step * i - lead + t
        index[t] = min(max(y, 0), n_high - 1)
        weights[t] = 0
        if y < 0 or y >= n_high:
            continue
        weights[t] = taps[t]
        if i == 0:
            for source in range(t + step, n_taps, step):
                weights[t] += taps[source]
        if i == n_low - 1:
            for source in range(t - step, -1, -step):
                weights[t] += taps[source]
