"""What each latent costs in the latent section, from the counts of its Laplace model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.scales import LATENT_SCALES
from givre.models.geometry import LATENT_MAX, LATENT_MIN

_PRECISION = 24
_N_SYMBOLS = LATENT_MAX - LATENT_MIN + 1


def _counts_below(
    symbols: NDArray[np.int64], mean: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.int64]:
    """C(s): counts of the symbols below each of `symbols`, which are -64 to 64."""
    distance = symbols - 0.5 - mean
    tail = 0.5 * np.exp(-np.abs(distance) / scale)
    below = np.where(distance <= 0, tail, 1 - tail)
    counts: NDArray[np.int64] = np.floor(((1 << _PRECISION) - _N_SYMBOLS) * below).astype(np.int64)
    counts += symbols - LATENT_MIN
    counts[symbols == LATENT_MIN] = 0
    counts[symbols == LATENT_MAX + 1] = 1 << _PRECISION
    return counts


def latent_bits(
    symbols: NDArray[np.integer], mean: NDArray[np.float64], scale_index: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Bits that the range coder spends on each latent.

    The model is that of `docs/FORMAT.md`, section 4: a latent with n of the 2^24 counts costs
    24 - log2(n) bits, which is above 0 and at most 24. Only the rounding of the coder's interval
    is left out, below 2^-7 bits a latent and in practice far less.

    Args:
        symbols: integers of -64 to 63, any shape.
        mean: multiples of 2^-8, same shape.
        scale_index: 0 to 320, same shape.

    Returns:
        float64, same shape.
    """
    first = symbols.astype(np.int64)
    scale = LATENT_SCALES[scale_index]
    counts = _counts_below(first + 1, mean, scale) - _counts_below(first, mean, scale)
    bits: NDArray[np.float64] = _PRECISION - np.log2(counts)
    return bits
