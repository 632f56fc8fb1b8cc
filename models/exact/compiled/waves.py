"""One wave of exact decoding in one kernel: fill in the last wave, gather contexts, run the ARM.

The latents are kept in a ring of the last waves, each a column of rows: the pixels of a wave lie
side by side in memory, and so do their neighbours (dy, dx), which are rows of the wave
dx + step * dy before. What lies outside the grid is zero there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from givre.models.architecture import Architecture
from givre.models.compiled.kernel import kernel, kernel_part
from givre.models.compiled.types import (
    Doubles,
    Doubles1,
    Doubles3,
    Integers,
    Integers1,
    Latents2,
    LongWords1,
    Symbols1,
    Words1,
)
from givre.models.context import context_offsets, wavefront_step
from givre.models.exact.compiled.arm import (
    PackedArm,
    Predictions,
    arm_block,
    store_prediction,
)
from givre.models.exact.compiled.blocks import BLOCK, EXACT
from givre.models.exact.compiled.range_decoder import decode_symbols

RING = 32
"""Waves in the ring: a context reaches back 4 + 4 * step <= 24 waves."""

ABOVE = 4
"""Rows above the grid that a context can reach; they stay zero."""

BELOW = 9
"""Rows below a wave that later waves read: they move down by up to 24 / step + 1 <= 9."""

_HEIGHT, _WIDTH, _STEP, _PITCH, _CLEARED, _N_SPATIAL, _OFFSETS = range(7)
"""Numbers of a grid's geometry.

HEIGHT, WIDTH: of the grid.
STEP: waves from a pixel to the one below it.
PITCH: numbers of a wave in the ring.
CLEARED: last wave that there is room for in the ring, -1 at first; the kernels change it.
N_SPATIAL: number of spatial neighbours.
OFFSETS: here begin two numbers for each neighbour, waves and rows from a pixel to it.
"""


class WaveState(NamedTuple):
    """A grid that is being decoded.

    Attributes:
        geometry: of `wave_geometry`.
        features: inter-feature contexts (F, ceil(H/2), ceil(W/2)); without rows for zeros.
        ring: of `empty_ring`.
        grid: (H, W), gets the latents.
        scratch: of `givre.models.exact.compiled.arm.arm_scratch`.
    """

    geometry: Integers1
    features: Doubles3
    ring: Doubles1
    grid: Latents2
    scratch: Doubles1


def wave_geometry(arch: Architecture, height: int, width: int) -> Integers:
    """What the kernels must know of a grid."""
    offsets = context_offsets(arch.n_spatial)
    step = wavefront_step(arch.n_spatial)
    geometry = np.empty(_OFFSETS + 2 * len(offsets), np.int64)
    geometry[_HEIGHT], geometry[_WIDTH] = height, width
    geometry[_STEP], geometry[_PITCH] = step, height + ABOVE + BELOW
    geometry[_CLEARED], geometry[_N_SPATIAL] = -1, arch.n_spatial
    geometry[_OFFSETS:] = [number for dy, dx in offsets for number in (dx + step * dy, dy)]
    return geometry


def empty_ring(height: int) -> Doubles:
    """The ring before the first wave."""
    return np.zeros(RING * (height + ABOVE + BELOW))


@kernel_part(fastmath=EXACT)
def first_row(geometry: Integers, t: int) -> int:
    """First row of wave t."""
    return int(max(0, -((geometry[_WIDTH] - 1 - t) // geometry[_STEP])))


@kernel_part(fastmath=EXACT)
def end_row(geometry: Integers, t: int) -> int:
    """Row after the last of wave t."""
    return int(min(geometry[_HEIGHT], t // geometry[_STEP] + 1))


@kernel_part(fastmath=EXACT)
def clear_to(geometry: Integers, ring: Doubles, t: int) -> None:
    """Make room for the waves up to t: zeros in the rows that later waves read of them.

    Waves without a pixel, which narrow grids have, are skipped by the callers but read as zeros.
    """
    low = max(0, first_row(geometry, t) - ABOVE)
    high = min(geometry[_HEIGHT], end_row(geometry, t) + BELOW)
    for wave in range(max(geometry[_CLEARED] + 1, t - RING + 1), t + 1):
        slot = (wave & (RING - 1)) * geometry[_PITCH] + ABOVE
        ring[slot + low : slot + high] = 0.0
    geometry[_CLEARED] = max(geometry[_CLEARED], t)


@kernel(fastmath=EXACT)
def enter_wave(state: WaveState, symbols: Symbols1, t: int) -> None:
    """Enter the latents of wave t into the ring and into the grid."""
    geometry, ring, grid = state.geometry, state.ring, state.grid
    pitch, step = geometry[_PITCH], geometry[_STEP]
    first, end = first_row(geometry, t), end_row(geometry, t)
    clear_to(geometry, ring, t)
    slot = (t & (RING - 1)) * pitch + ABOVE
    column = ring[slot + first : slot + end]
    for k in range(end - first):
        column[k] = symbols[k]
        row = np.uint64(first + k)
        grid[row, np.uint64(t - step * (first + k))] = symbols[k]


@kernel_part(fastmath=EXACT)
def predict_wave(arm: PackedArm, state: WaveState, found: Predictions, t: int) -> int:
    """Predict wave t from the waves in the ring; the number of its latents."""
    geometry, features, ring, scratch = state.geometry, state.features, state.ring, state.scratch
    clear_to(geometry, ring, t)
    pitch, step, n_spatial = geometry[_PITCH], geometry[_STEP], geometry[_N_SPATIAL]
    n_features = features.shape[0] if features.shape[1] else 0
    begin, end = first_row(geometry, t), end_row(geometry, t)
    for first in range(begin, end, BLOCK):
        n = min(BLOCK, end - first)
        for i in range(n_spatial):
            wave, dy = geometry[_OFFSETS + 2 * i] + t, geometry[_OFFSETS + 2 * i + 1]
            start = (wave & (RING - 1)) * pitch + ABOVE + first + dy
            column = ring[start : start + n]
            row = scratch[i * BLOCK : (i + 1) * BLOCK]
            for p in range(n):
                row[p] = column[p]
        for f in range(n_features):
            plane = features[f]
            row = scratch[(n_spatial + f) * BLOCK : (n_spatial + f + 1) * BLOCK]
            x = t - step * first
            for p in range(n):
                row[p] = plane[np.uint64(first + p) >> 1, np.uint64(x - step * p) >> 1]
        out = arm_block(arm, scratch, n)
        store_prediction(out, found, first - begin, n)
    return end - begin


@kernel(fastmath=EXACT)
def fill_and_predict(
    arm: PackedArm,
    state: WaveState,
    found: Predictions,
    symbols: Symbols1,
    filled: int,
    t: int,
) -> int:
    """Enter the latents of one wave, then predict another.

    Args:
        arm: the parameters.
        state: of the grid, changed.
        found: gets the predictions of wave t; there is room for H.
        symbols: latents of wave `filled`; none if there is nothing to enter.
        filled: wave to enter.
        t: wave to predict.

    Returns:
        The number of latents in wave t.
    """
    if len(symbols):
        enter_wave(state, symbols, filled)
    return predict_wave(arm, state, found, t)


@kernel(fastmath=EXACT)
def decode_waves(
    arm: PackedArm,
    state: WaveState,
    found: Predictions,
    words: Words1,
    decoder: LongWords1,
) -> bool:
    """Decode a whole grid from a range-coded message.

    Args:
        arm: the parameters.
        state: of the grid, changed.
        found: with the scale of each scale index; the rest is scratch, with room for H.
        words: the message.
        decoder: state of the range decoder, is advanced.

    Returns:
        False if the message is one that no encoder writes.
    """
    geometry = state.geometry
    symbols = np.empty(len(found.mean), np.int32)
    for t in range(geometry[_WIDTH] + geometry[_STEP] * (geometry[_HEIGHT] - 1)):
        n = end_row(geometry, t) - first_row(geometry, t)
        if n > 0:
            predict_wave(arm, state, found, t)
            if not decode_symbols(words, decoder, found.mean, found.scale, symbols, n):
                return False
            enter_wave(state, symbols, t)
    return True
