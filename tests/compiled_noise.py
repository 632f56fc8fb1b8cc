"""The noise of the fused latents on its own, as a test can look at it."""

from __future__ import annotations

import numpy as np

from givre.models.compiled.kernel import kernel_part
from givre.models.compiled.types import Floats, Words
from givre.models.fused.latents.noise import fill_normal
from givre.models.noise import NOISE_BLOCK, noise_key


@kernel_part(fastmath=frozenset({"contract"}))
def _fill_grid(key: Words, out: Floats) -> None:
    values = np.empty(NOISE_BLOCK, np.float32)
    for block in range((len(out) + NOISE_BLOCK - 1) // NOISE_BLOCK):
        fill_normal(key, block, values)
        part = out[block * NOISE_BLOCK : (block + 1) * NOISE_BLOCK]
        for p in range(len(part)):
            part[p] = values[p]


def normal_noise(seed: int, step: int, grid: int, n: int) -> Floats:
    """The noise that `FusedLatents` adds to n latents of a grid, before it is scaled."""
    out = np.empty(n, np.float32)
    _fill_grid(np.array(noise_key(seed, step, grid), np.uint32), out)
    return out
