"""The upsampler written as its defining sums in NumPy, sharing no code with the package.

Planes are (H, W) and latents (B, C, H, W), float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def even_kernel(half: Array) -> Array:
    return np.array([half[min(t, 2 * len(half) - 1 - t)] for t in range(2 * len(half))])


def odd_kernel(half: Array) -> Array:
    n = 2 * len(half) - 1
    return np.array([half[min(t, n - 1 - t)] for t in range(n)])


def transposed(x: Array, half: Array) -> Array:
    """Every sample of the continued grid paints a scaled kernel; the surplus is cut off."""
    w, n = even_kernel(half), len(half)
    k = 2 * n
    padded = np.pad(x, n, mode="edge")
    height, width = padded.shape
    canvas = np.zeros((2 * (height - 1) + k, 2 * (width - 1) + k))
    for i in range(height):
        for j in range(width):
            canvas[2 * i : 2 * i + k, 2 * j : 2 * j + k] += padded[i, j] * np.outer(w, w)
    crop = k - 1 + n
    return canvas[crop:-crop, crop:-crop]


def transposed_adjoint(y: Array, half: Array) -> Array:
    """Each input sample collects the outputs it paints, and those of the border it continues to."""
    w, n = even_kernel(half), len(half)
    height, width = y.shape[0] // 2, y.shape[1] // 2
    found = np.zeros((height, width))
    for i in range(-n, height + n):
        for j in range(-n, width + n):
            total = 0.0
            for p in range(y.shape[0]):
                for q in range(y.shape[1]):
                    s, t = p - 2 * i + n - 1, q - 2 * j + n - 1
                    if 0 <= s < 2 * n and 0 <= t < 2 * n:
                        total += w[s] * w[t] * y[p, q]
            found[min(max(i, 0), height - 1), min(max(j, 0), width - 1)] += total
    return found


def preconcat(x: Array, half: Array) -> Array:
    w, reach = odd_kernel(half), len(half) - 1
    padded = np.pad(x, reach, mode="edge")
    out = x.copy()
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            window = padded[i : i + len(w), j : j + len(w)]
            out[i, j] += np.sum(np.outer(w, w) * window)
    return out


def upsample(
    latents: Sequence[Array],
    transposed_halves: Sequence[Array],
    preconcat_halves: Sequence[Array],
) -> Array:
    """Each latent climbs on its own: one pre-concatenation (not the coarsest), then x2 stages."""
    last = len(latents) - 1
    batch, _, height, width = latents[0].shape
    sizes = [y.shape[2:] for y in latents]
    dense = np.zeros((batch, sum(y.shape[1] for y in latents), height, width))
    for b in range(batch):
        channel = 0
        for level, y in enumerate(latents):
            for c in range(y.shape[1]):
                plane = y[b, c]
                if level < last:
                    stage = last - 1 - level
                    half = preconcat_halves[stage % len(preconcat_halves)]
                    plane = preconcat(plane, half)
                for finer in range(level - 1, -1, -1):
                    stage = last - 1 - finer
                    half = transposed_halves[stage % len(transposed_halves)]
                    rows, columns = sizes[finer]
                    plane = transposed(plane, half)[:rows, :columns]
                dense[b, channel] = plane
                channel += 1
    return dense
