"""Range decoding of latents with Laplace models: section 4 of `docs/FORMAT.md` in a kernel.

It reads the messages of the coder of constriction (Bamler, "Understanding entropy coding with
asymmetric numeral systems", 2022, arXiv:2201.01741) and shares no code with it. The range coder is
that of Martin ("Range encoding", 1979). With F the cumulative distribution of Laplace(mean, scale):

    C(k) = floor(FREE F(k - 1/2)) + k - LATENT_MIN,   but 0 and 2^24 at the ends
    symbol = the k with C(k) <= offset // unit < C(k + 1),   unit = width // 2^24
    offset = offset - unit C(k),   width = unit (C(k + 1) - C(k))

Where the width falls below 2^32, the next word of 32 bits moves in from below.
"""

from __future__ import annotations

import math

import numpy as np

from givre.models.compiled.kernel import kernel_part
from givre.models.compiled.types import Doubles1, LongWords1, Symbols1, Words1
from givre.models.geometry import LATENT_MAX, LATENT_MIN

TOTAL = 1 << 24
_OFFSET, _WIDTH, _PLACE = range(3)
"""Numbers of the decoder's state: offset in the interval, its width, index of the next word."""

FREE = TOTAL - (LATENT_MAX - LATENT_MIN + 1)


# No fastmath here: the counts are those of IEEE 754 arithmetic, operation by operation.
@kernel_part()
def count(symbol: int, mean: float, scale: float) -> int:
    """C(symbol): of 2^24 counts, those of the smaller symbols."""
    if symbol <= LATENT_MIN:
        return 0
    if symbol > LATENT_MAX:
        return TOTAL
    boundary = symbol - 0.5
    if boundary <= mean:
        below = 0.5 * math.exp((boundary - mean) / scale)
    else:
        below = 1.0 - 0.5 * math.exp((mean - boundary) / scale)
    return int(FREE * below) + (symbol - LATENT_MIN)


@kernel_part()
def likely_symbol(target: np.int64, mean: float, scale: float) -> int:
    """A symbol near the one whose counts hold `target`: where the search starts."""
    if scale < 0.7:
        guess = mean
    elif 2 * target < TOTAL:
        guess = mean + scale * math.log((target + 0.5) * (2.0 / TOTAL))
    else:
        guess = mean - scale * math.log((TOTAL - target - 0.5) * (2.0 / TOTAL))
    return math.floor(min(max(guess, LATENT_MIN), LATENT_MAX) + 0.5)


@kernel_part()
def decode_symbols(
    words: Words1,
    state: LongWords1,
    mean: Doubles1,
    scale: Doubles1,
    symbols: Symbols1,
    n: int,
) -> bool:
    """Decode n symbols with their means and scales; False on a message that no encoder writes.

    Words after the last are zero.
    """
    offset, width, place = state[_OFFSET], state[_WIDTH], state[_PLACE]
    for k in range(n):
        unit = width >> np.uint64(24)
        target = np.int64(offset // unit)
        if target < 0 or target >= TOTAL:
            return False
        mu, beta = mean[k], scale[k]
        symbol = likely_symbol(target, mu, beta)
        low = count(symbol, mu, beta)
        if target < low:
            high = low
            while target < low:
                symbol -= 1
                high = low
                low = count(symbol, mu, beta)
        else:
            high = count(symbol + 1, mu, beta)
            while target >= high:
                symbol += 1
                low = high
                high = count(symbol + 1, mu, beta)
        offset -= unit * np.uint64(low)
        width = unit * np.uint64(high - low)
        if width < np.uint64(1 << 32):
            width <<= np.uint64(32)
            offset <<= np.uint64(32)
            if place < np.uint64(len(words)):
                offset |= np.uint64(words[place])
            place += np.uint64(1)
        symbols[k] = symbol
    state[_OFFSET], state[_WIDTH], state[_PLACE] = offset, width, place
    return True
