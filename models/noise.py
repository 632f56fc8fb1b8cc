"""Normal noise that is a function of its place: no generator, no state, the same on every device.

A hash of (seed, step, grid, position) gives two uniform numbers, and those two normal ones (Box
and Muller, 1958). A fit that is interrupted and resumed sees the noise it would have seen, and
two implementations of a step can be compared. The hash's rounds are a multiplication and shifts,
with the constants of the "lowbias32" search (Wellons, 2018).

In each step the noise is that of independent draws. From step to step it is not: within CYCLE
steps the two uniform numbers of a position go through the points of a lattice that fills the
square evenly, from a place of its own (a rank-1 lattice with a random shift: Cranley and
Patterson, 1976). What a few steps add up to, which is what moves a latent, is then closer to its
mean.
"""

from __future__ import annotations

from functools import lru_cache
from math import log, pi

import torch
from torch import Tensor

NOISE_BLOCK = 64
"""Positions of a grid, in row order, whose noise is computed together."""

CYCLE = 16
"""Points of the lattice: steps after which the positions get new places to start from."""

_PAIRS = NOISE_BLOCK // 2
_WORD = 0xFFFFFFFF
_MASK = (1 << 64) - 1
# Of the lattice, in 1 / CYCLE: the size of the noise changes little from step to step, while its
# direction almost turns round. In another order, as (5, 3), the same points are of less use.
_STRIDE, _OTHER_STRIDE = 1, 7


def noise_key(seed: int, step: int, grid: int) -> tuple[int, int, int, int]:
    """The 32-bit words that tell apart the noise of one grid in one step of one fit.

    Two are keys of the hash, the same for CYCLE steps; two are the step's shifts of the uniform
    numbers, as multiples of 2^-32.
    """
    cycle, place = divmod(step, CYCLE)
    unit = (_WORD + 1) // CYCLE
    shift, other_shift = place * _STRIDE * unit & _WORD, place * _OTHER_STRIDE * unit & _WORD
    return *_hash_keys(seed, cycle, grid), shift, other_shift


@lru_cache(maxsize=64)
def _hash_keys(seed: int, cycle: int, grid: int) -> tuple[int, int]:
    """Two words that depend on all three numbers; asked for again at every step of a cycle."""
    state = 0
    for number in (seed, cycle, grid):
        # The finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
        state = (state + (number & _MASK) + 0x9E3779B97F4A7C15) & _MASK
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state >> 32, state & _WORD


def normal_noise(seed: int, step: int, grid: int, n: int, device: torch.device) -> Tensor:
    """Independent normal numbers of mean 0 and variance 1, at most 5.8 in size.

    Those of another step of the same CYCLE are not independent of them. Each block of NOISE_BLOCK
    positions holds pairs half a block apart.

    Args:
        seed: of the fit.
        step: of the fit.
        grid: index of the grid.
        n: latents in the grid.
        device: where the result goes.

    Returns:
        (n,) float32, in row order.
    """
    key, second_key, shift, other_shift = noise_key(seed, step, grid)
    blocks = -(-n // NOISE_BLOCK)
    pairs = torch.arange(blocks * _PAIRS, device=device)  # int64 holds products of 32-bit words
    word = _hash(_hash((pairs + key) & _WORD) ^ second_key)
    other = _hash((word + 0x9E3779B9) & _WORD)
    word, other = (word + shift) & _WORD, (other + other_shift) & _WORD
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
