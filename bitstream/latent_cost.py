"""What each latent costs in the latent section, from the counts of its Laplace model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.laplace_counts import PRECISION, counts_below
from givre.bitstream.scales import LATENT_SCALES
from givre.models.geometry import LATENT_MAX, LATENT_MIN


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
    below = counts_below(first, LATENT_MIN, LATENT_MAX, mean, scale)
    up_to = counts_below(first + 1, LATENT_MIN, LATENT_MAX, mean, scale)
    bits: NDArray[np.float64] = PRECISION - np.log2(up_to - below)
    return bits
