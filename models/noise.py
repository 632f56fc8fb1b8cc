"""Normal noise that is a function of its place: no generator, no state, the same on every device.

A hash of (seed, step, grid, position) gives two uniform numbers, and those two normal ones (Box
and Muller, 1958). A fit that is interrupted and resumed sees the noise it would have seen, and
two implementations of a step can be compared. The hash's rounds are a multiplication and shifts,
with the constants of the "lowbias32" search (Wellons, 2018).
"""

from __future__ import annotations

from math import log, pi

import torch
from torch import Tensor

NOISE_BLOCK = 64
"""Positions of a grid, in row order, whose noise is computed together."""

_PAIRS = NOISE_BLOCK // 2
_WORD = 0xFFFFFFFF
_MASK = (1 << 64) - 1


def noise_key(seed: int, step: int, grid: int) -> tuple[int, int]:
    """The two 32-bit words that tell apart the noise of one grid in one step of one fit."""
    state = 0
    for number in (seed, step, grid):
        # The finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
        state = (state + (number & _MASK) + 0x9E3779B97F4A7C15) & _MASK
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state >> 32, state & _WORD


def normal_noise(seed: int, step: int, grid: int, n: int, device: torch.device) -> Tensor:
    """Independent normal numbers of mean 0 and variance 1, at most 5.8 in size.

    Each block of NOISE_BLOCK positions holds pairs half a block apart.

    Args:
        seed: of the fit.
        step: of the fit.
        grid: index of the grid.
        n: latents in the grid.
        device: where the result goes.

    Returns:
        (n,) float32, in row order.
    """
    key, second_key = noise_key(seed, step, grid)
    blocks = -(-n // NOISE_BLOCK)
    pairs = torch.arange(blocks * _PAIRS, device=device)  # int64 holds products of 32-bit words
    word = _hash(_hash((pairs + key) & _WORD) ^ second_key)
    other = _hash((word + 0x9E3779B9) & _WORD)
    uniform = ((word >> 9).float() + 0.5) * 2.0**-23
    angle = (other >> 9).float() * (2 * pi * 2.0**-23)
    radius = torch.sqrt(-2 * log(2) * torch.log2(uniform))
    halves = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)])
    return halves.reshape(2, blocks, _PAIRS).transpose(0, 1).reshape(-1)[:n]


def _hash(word: Tensor) -> Tensor:
    """A permutation of the 32-bit words in which every bit depends on all."""
    word = word ^ (word >> 16)
    word = _times(word, 0x7FEB352D)
    word = word ^ (word >> 15)
    word = _times(word, 0x846CA68B)
    return word ^ (word >> 16)


def _times(word: Tensor, factor: int) -> Tensor:
    """Product modulo 2^32; in two halves, for int64 must not overflow."""
    low = (word & 0xFFFF) * factor
    high = ((word >> 16) * factor & 0xFFFF) << 16
    return (low + high) & _WORD
