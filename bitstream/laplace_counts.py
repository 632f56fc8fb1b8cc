"""The counts of a Laplace model: what the range coder gives each symbol."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PRECISION = 24
"""The counts of all symbols add up to 2^PRECISION."""


def counts_below(
    symbols: NDArray[np.int64],
    low: int,
    high: int,
    mean: NDArray[np.float64] | float,
    scale: NDArray[np.float64] | float,
) -> NDArray[np.int64]:
    """C(s), the counts of the symbols below each s, as section 4 of `docs/FORMAT.md` defines them.

    A symbol s has the probability (C(s + 1) - C(s)) / 2^24. It is the integral of the Laplace
    density over [s - 1/2, s + 1/2], plus one count, so that no symbol is impossible; the first
    and the last symbol have the density's tails as well.

    Args:
        symbols: of low to high + 1, any shape.
        low: the smallest symbol.
        high: the largest, above `low`.
        mean: of the density; one for all symbols, or one for each.
        scale: of the density, positive; likewise.

    Returns:
        0 to 2^24, the shape of `symbols`.
    """
    distance = symbols - 0.5 - mean
    tail = 0.5 * np.exp(-np.abs(distance) / scale)
    below = np.where(distance <= 0, tail, 1 - tail)
    free_weight = (1 << PRECISION) - (high - low + 1)
    counts: NDArray[np.int64] = np.floor(free_weight * below).astype(np.int64)
    counts += symbols - low
    counts[symbols == low] = 0
    counts[symbols == high + 1] = 1 << PRECISION
    return counts


def cumulative_counts(low: int, high: int, mean: float, scale: float) -> NDArray[np.int64]:
    """C(low) = 0 to C(high + 1) = 2^24, (high - low + 2,); arguments as above."""
    return counts_below(np.arange(low, high + 2), low, high, mean, scale)


def symbol_bits(low: int, high: int, mean: float, scale: float) -> NDArray[np.float64]:
    """Bits of each symbol of low to high, (high - low + 1,); arguments as above."""
    bits: NDArray[np.float64] = PRECISION - np.log2(
        np.diff(cumulative_counts(low, high, mean, scale))
    )
    return bits
