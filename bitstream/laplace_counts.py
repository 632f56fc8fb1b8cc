"""The counts of a Laplace model: what the range coder gives each symbol, all of them at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PRECISION = 24
"""The counts of all symbols add up to 2^PRECISION."""


def cumulative_counts(low: int, high: int, mean: float, scale: float) -> NDArray[np.int64]:
    """C(low) = 0 to C(high + 1) = 2^24, as `docs/FORMAT.md` defines them in section 4.

    A symbol s has the probability (C(s + 1) - C(s)) / 2^24. It is the integral of the Laplace
    density over [s - 1/2, s + 1/2], plus one count, so that no symbol is impossible; the first
    and the last symbol have the density's tails as well.

    Args:
        low: the smallest symbol.
        high: the largest, above `low`.
        mean: of the density.
        scale: of the density, positive.

    Returns:
        (high - low + 2,).
    """
    n_symbols = high - low + 1
    distance = np.arange(low + 1, high + 1) - 0.5 - mean
    tail = 0.5 * np.exp(-np.abs(distance) / scale)
    below = np.where(distance <= 0, tail, 1 - tail)
    free_weight = (1 << PRECISION) - n_symbols
    inner = np.floor(free_weight * below).astype(np.int64) + np.arange(1, n_symbols)
    return np.concatenate([[0], inner, [1 << PRECISION]])


def symbol_bits(low: int, high: int, mean: float, scale: float) -> NDArray[np.float64]:
    """Bits of each symbol of low to high, (high - low + 1,); arguments as above."""
    bits: NDArray[np.float64] = PRECISION - np.log2(
        np.diff(cumulative_counts(low, high, mean, scale))
    )
    return bits
