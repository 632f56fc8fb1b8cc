"""The noise of `givre.models.noise` in compiled code: the same numbers up to rounding.

Normal numbers come in pairs from two uniform ones (Box and Muller, "A note on the generation of
random normal deviates", 1958, DOI 10.1214/aoms/1177706645), and those from a hash h of the place,
which needs no state, as in counter-based generators (Salmon et al., "Parallel random numbers: as
easy as 1, 2, 3", SC 2011, DOI 10.1145/2063384.2063405). The shifts s and s' lead from step to step
through a lattice (Cranley and Patterson, 1976, DOI 10.1137/0713071); all words have 32 bits:

    w = h(h(place + key) ^ second key),   a = w + s,   b = h(w + 0x9E3779B9) + s'
    U = (a // 2^9 + 1/2) / 2^23,   V = (b // 2^9) / 2^23
    radius = sqrt(-2 ln U),   normal numbers = radius cos(2 pi V), radius sin(2 pi V)
"""

from __future__ import annotations

import numpy as np

from givre.models.compiled.kernel import kernel_part
from givre.models.compiled.types import Floats, Words
from givre.models.compiled.vector_math import cos_turns, log2, sin_turns
from givre.models.noise import NOISE_BLOCK

_BLOCK = NOISE_BLOCK
_PAIRS = NOISE_BLOCK // 2
_CONTRACT = frozenset({"contract"})

_FACTOR_1 = np.uint32(0x7FEB352D)
_FACTOR_2 = np.uint32(0x846CA68B)
_WEYL = np.uint32(0x9E3779B9)
_FIFTEEN = np.uint32(15)
_SIXTEEN = np.uint32(16)
_NINE = np.uint32(9)
_HALF = np.float32(0.5)
_STEP = np.float32(2.0**-23)
_MINUS_TWO_LN_2 = np.float32(-1.3862943611198906)
_ZERO = np.float32(0)


@kernel_part(fastmath=_CONTRACT)
def _hash(word: np.uint32) -> np.uint32:
    """A permutation of the 32-bit words in which every bit depends on all."""
    word = np.uint32(word ^ (word >> _SIXTEEN))
    word = np.uint32(word * _FACTOR_1)
    word = np.uint32(word ^ (word >> _FIFTEEN))
    word = np.uint32(word * _FACTOR_2)
    return np.uint32(word ^ (word >> _SIXTEEN))


@kernel_part(fastmath=_CONTRACT)
def fill_normal(key: Words, block: int, out: Floats) -> None:
    """Write the noise of the positions 64 block to 64 block + 63.

    Args:
        key: (4,), `noise_key`.
        block: number of the block.
        out: (64,), written: independent numbers of mean 0 and variance 1, at most 5.8 in size.
    """
    # Both numbers of a pair stay in the block, half a block apart, so that all stores are
    # contiguous.
    first_key, second_key, shift, other_shift = key[0], key[1], key[2], key[3]
    start = np.uint32(block * _PAIRS)
    second_half = out[_PAIRS:]
    for p in range(_PAIRS):
        mixed = _hash(np.uint32(start + np.uint32(p) + first_key))
        word = _hash(np.uint32(mixed ^ second_key))
        other = np.uint32(_hash(np.uint32(word + _WEYL)) + other_shift)
        word = np.uint32(word + shift)
        uniform = (np.float32(np.int32(word >> _NINE)) + _HALF) * _STEP
        turns = np.float32(np.int32(other >> _NINE)) * _STEP
        radius = np.sqrt(max(_MINUS_TWO_LN_2 * log2(uniform), _ZERO))
        out[p] = radius * cos_turns(turns)
        second_half[p] = radius * sin_turns(turns)
