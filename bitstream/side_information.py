"""Step and scale of a group of parameters: the side information that its integers need.

Where a file starts from a prior, both are much alike from one file to the next, and they are coded
by how far they are from what is usual. Without a prior all values are taken to be equally likely.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import log2
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.laplace_counts import symbol_bits
from givre.bitstream.rangecoder import SymbolDecoder, SymbolEncoder
from givre.bitstream.scales import PARAMETER_SCALES

N_EXPONENTS = 16
"""Quantisation steps are 2^-q for q = 0 to N_EXPONENTS - 1."""

N_SCALES = len(PARAMETER_SCALES) - 1
"""Scale indices of groups that have integers other than 0 are 1 to N_SCALES."""

_EXPONENT_SPREAD, _SCALE_SPREAD = 1.0, 4.0


@dataclass(frozen=True)
class GroupGuess:
    """What the side information of a group is likely to be: the means of its Laplace models.

    Attributes:
        exponent: of q, 0 to 15; the model's scale is 1.
        scale_index: of the index into PARAMETER_SCALES, 1 to 63; the model's scale is 4.
    """

    exponent: int
    scale_index: int


Guesses = Mapping[str, GroupGuess]
"""Group name to the guess for it; all values are equally likely in a group that is not there."""

NO_GUESSES: Guesses = MappingProxyType({})

PRIOR_GUESSES: Guesses = MappingProxyType(
    {
        "arm.hidden": GroupGuess(4, 4),
        "arm.bias": GroupGuess(2, 8),
        "arm.output": GroupGuess(5, 12),
        "ifce.weight": GroupGuess(4, 9),
        "ifce.bias": GroupGuess(4, 8),
        "ups.transposed": GroupGuess(6, 15),
        "ups.preconcat": GroupGuess(5, 12),
        "synthesis.hidden": GroupGuess(6, 4),
        "synthesis.bias": GroupGuess(5, 17),
        "synthesis.output": GroupGuess(3, 13),
        "synthesis.residual": GroupGuess(5, 12),
        "synthesis.stabiliser": GroupGuess(7, 23),
    }
)
"""The guesses for files with a prior, of every point alike."""


def write_side_information(
    encoder: SymbolEncoder, exponent: int, scale_index: int, guess: GroupGuess | None
) -> None:
    """Append q of 0 to 15 and a scale index of 1 to 63; UsageError if either is out of range."""
    if guess is None:
        encoder.uniform(exponent, N_EXPONENTS)
        encoder.uniform(scale_index - 1, N_SCALES)
    else:
        encoder.integer(exponent, 0, N_EXPONENTS - 1, guess.exponent, _EXPONENT_SPREAD)
        encoder.integer(scale_index, 1, N_SCALES, guess.scale_index, _SCALE_SPREAD)


def read_side_information(decoder: SymbolDecoder, guess: GroupGuess | None) -> tuple[int, int]:
    """Decode q of 0 to 15 and a scale index of 1 to 63."""
    if guess is None:
        return decoder.uniform(N_EXPONENTS), decoder.uniform(N_SCALES) + 1
    exponent = decoder.integer(0, N_EXPONENTS - 1, guess.exponent, _EXPONENT_SPREAD)
    return exponent, decoder.integer(1, N_SCALES, guess.scale_index, _SCALE_SPREAD)


@cache
def side_bits(exponent: int, guess: GroupGuess | None) -> NDArray[np.float64]:
    """Bits of q of 0 to 15 together with each scale index of 1 to 63, (63,), read only."""
    if guess is None:
        bits = np.full(N_SCALES, log2(N_EXPONENTS * N_SCALES))
    else:
        exponents = symbol_bits(0, N_EXPONENTS - 1, guess.exponent, _EXPONENT_SPREAD)
        bits = exponents[exponent] + symbol_bits(1, N_SCALES, guess.scale_index, _SCALE_SPREAD)
    bits.setflags(write=False)
    return bits
