"""One wave of exact decoding in one kernel: fill in the last wave, gather contexts, run the ARM.

The latents are kept in a ring of the last waves, each a column of rows: the pixels of a wave lie
side by side in memory, and so do their neighbours (dy, dx), which are rows of the wave
dx + step * dy before. What lies outside the grid is zero there.
"""

from __future__ import annotations

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
from givre.models.exact.compiled.arm import arm_block, store_prediction
from givre.models.exact.compiled.blocks import BLOCK, EXACT
from givre.models.exact.compiled.range_decoder import decode_symbols
from givre.models.geometry import context_offsets, wavefront_step

RING = 32
"""Waves in the ring: a context reaches back 4 + 4 * step <= 24 waves."""

ABOVE = 4
"""Rows above the grid that a context can reach; they stay zero."""

BELOW = 9
"""Rows below a wave that later waves read: they move down by up to 24 / step + 1 <= 9."""

_HEIGHT, _WIDTH, _STEP, _PITCH, _CLEARED = 0, 1, 2, 3, 4
_N_SPATIAL, _CONTEXT, _N_HIDDEN, _OFFSETS = 5, 6, 7, 8


def wave_geometry(arch: Architecture, height: int, width: int) -> Integers:
    """What the kernels must know of a grid, and the last wave that is entered in the ring (-1)."""
    offsets = context_offsets(arch.n_spatial)
    step = wavefront_step(arch.n_spatial)
    pitch = height + ABOVE + BELOW
    head = [height, width, step, pitch, -1, arch.n_spatial, arch.context_width, arch.n_arm_hidden]
    pairs = [(dx + step * dy, dy) for dy, dx in offsets]
    return np.array(head + [number for pair in pairs for number in pair])


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
def enter_wave(
    geometry: Integers1,
    ring: Doubles1,
    grid: Latents2,
    symbols: Symbols1,
    t: int,
) -> None:
    """Enter the latents of wave t into the ring and into the grid (H, W)."""
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
def predict_wave(
    packed: Doubles,
    geometry: Integers,
    features: Doubles,
    ring: Doubles,
    scratch: Doubles,
    table: Doubles,
    mean: Doubles,
    scale: Doubles,
    t: int,
) -> int:
    """Predict wave t from the waves in the ring; see `fill_and_predict`."""
    clear_to(geometry, ring, t)
    pitch, step, n_spatial = geometry[_PITCH], geometry[_STEP], geometry[_N_SPATIAL]
    width = -(-geometry[_CONTEXT] // 4) * 4
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
        out = arm_block(packed, geometry[_N_HIDDEN], width, scratch, n)
        store_prediction(out, table, mean, scale, first - begin, n)
    return end - begin


@kernel(fastmath=EXACT)
def fill_and_predict(
    packed: Doubles1,
    geometry: Integers1,
    features: Doubles3,
    ring: Doubles1,
    grid: Latents2,
    scratch: Doubles1,
    table: Doubles1,
    mean: Doubles1,
    scale: Doubles1,
    symbols: Symbols1,
    filled: int,
    t: int,
) -> int:
    """Enter the latents of one wave, then predict another.

    Args:
        packed: parameters, of `exact_arm.pack_arm`.
        geometry: of `wave_geometry`.
        features: inter-feature contexts (F, ceil(H/2), ceil(W/2)); without rows for zeros.
        ring: of `empty_ring`.
        grid: (H, W), gets the latents.
        scratch: of `exact_arm.arm_scratch`.
        table: (321,), number for each scale index.
        mean: (H,) or more, gets the means.
        scale: (H,) or more, gets the table's numbers.
        symbols: latents of wave `filled`; none if there is nothing to enter.
        filled: wave to enter.
        t: wave to predict.

    Returns:
        The number of latents in wave t.
    """
    if len(symbols):
        enter_wave(geometry, ring, grid, symbols, filled)
    return predict_wave(packed, geometry, features, ring, scratch, table, mean, scale, t)


@kernel(fastmath=EXACT)
def decode_waves(
    packed: Doubles1,
    geometry: Integers1,
    features: Doubles3,
    ring: Doubles1,
    grid: Latents2,
    scratch: Doubles1,
    table: Doubles1,
    mean: Doubles1,
    scale: Doubles1,
    words: Words1,
    state: LongWords1,
) -> bool:
    """Decode a whole grid from a range-coded message.

    Args:
        packed: parameters, of `exact_arm.pack_arm`; the rest is as for `fill_and_predict`.
        geometry: of `wave_geometry`.
        features: inter-feature contexts.
        ring: of `empty_ring`.
        grid: (H, W), gets the latents.
        scratch: of `exact_arm.arm_scratch`.
        table: (321,), scale for each scale index.
        mean: (H,), scratch.
        scale: (H,), scratch.
        words: the message.
        state: of the range decoder, is advanced.

    Returns:
        False if the message is one that no encoder writes.
    """
    symbols = np.empty(len(mean), np.int32)
    for t in range(geometry[_WIDTH] + geometry[_STEP] * (geometry[_HEIGHT] - 1)):
        n = end_row(geometry, t) - first_row(geometry, t)
        if n > 0:
            predict_wave(packed, geometry, features, ring, scratch, table, mean, scale, t)
            if not decode_symbols(words, state, mean, scale, symbols, n):
                return False
            enter_wave(geometry, ring, grid, symbols, t)
    return True
