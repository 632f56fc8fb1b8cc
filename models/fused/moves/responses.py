"""How far a single latent reaches in the dense representation, one axis at a time.

With its borders continued, the upsampling is a matrix for each axis. A pre-concatenation filter
is the identity plus an outer product, so a latent's response is the sum of two outer products:
that of the interpolated impulse, and that of the interpolated filter. With U the interpolation
along an axis, P the filter and e the impulse:

    response = (U e)_rows (U e)_columns^T + (U P e)_rows (U P e)_columns^T
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from givre.models.compiled.types import Doubles, Floats, Integers

_NEGLIGIBLE = 1e-3
"""Part of a response's largest value below which its tails are cut off."""

_CHUNK = 64
"""Latents whose responses are found together: the matrix for an axis is large before it is cut."""


@dataclass(frozen=True)
class AxisResponses:
    """Responses of all latents of a grid along one axis.

    Attributes:
        ends: (n, 2), index of the first sample reached, and of the one after the last.
        factors: (n, 2, longest), of the two outer products, zero after the end.
    """

    ends: Integers
    factors: Floats


def axis_responses(
    size: int, level: int, transposed_halves: Sequence[Floats], preconcat_halves: Sequence[Floats]
) -> AxisResponses:
    """Responses of a level's main grid along an axis of the image.

    Args:
        size: of the axis, in pixels.
        level: of the grid.
        transposed_halves: left halves of the upsampling filters, that of the coarsest stage first.
        preconcat_halves: left halves of the pre-concatenation filters, that of the coarsest stage
            first.
    """
    n = -(-size // (1 << level))
    stages = len(transposed_halves)
    pieces = []
    for first in range(0, n, _CHUNK):
        impulses = np.zeros((min(_CHUNK, n - first), n))
        impulses[range(len(impulses)), range(first, first + len(impulses))] = 1
        filtered = np.zeros_like(impulses)  # the coarsest grid has no filter of its own
        if level < stages:
            filtered = _preconcat(impulses, preconcat_halves[stages - 1 - level])
        both = np.stack([impulses, filtered], axis=1)
        for finer in reversed(range(level)):
            wanted = -(-size // (1 << finer))
            both = _doubled(both, transposed_halves[stages - 1 - finer])[..., :wanted]
        pieces.append(_cut(both))
    return joined(pieces)


def _preconcat(x: Doubles, half: Floats) -> Doubles:
    """Rows filtered with a symmetric odd kernel, the borders continued."""
    kernel = np.concatenate([half, half[-2::-1]])
    border = len(half) - 1
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(border, border)], mode="edge")
    n = x.shape[-1]
    total: Doubles = sum(kernel[j] * padded[..., j : j + n] for j in range(len(kernel)))
    return total


def _doubled(x: Doubles, half: Floats) -> Doubles:
    """Rows upsampled by 2, as `upsampling.polyphase_filters` says."""
    n_taps, n = len(half), x.shape[-1]
    even = np.concatenate([half, half[::-1]])[n_taps % 2 :: 2]
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(n_taps, n_taps)], mode="edge")
    out = np.empty((*x.shape[:-1], 2 * n))
    for phase, taps in enumerate((even, even[::-1])):
        first = n_taps - (n_taps - phase) // 2
        out[..., phase::2] = sum(
            taps[j] * padded[..., first + j : first + j + n] for j in range(n_taps)
        )
    return out


def _cut(both: Doubles) -> AxisResponses:
    """Without the tails; both factors (n, 2, size) get the same ends."""
    size = both.shape[-1]
    magnitude = np.abs(both).max(1)
    reached = magnitude > _NEGLIGIBLE * magnitude.max(1, keepdims=True)
    first = reached.argmax(1)
    last = size - reached[:, ::-1].argmax(1)
    longest = int((last - first).max())
    factors = np.zeros((len(both), 2, longest), np.float32)
    for k, (a, b) in enumerate(zip(first, last, strict=True)):
        factors[k, :, : b - a] = both[k, :, a:b]
    return AxisResponses(np.stack([first, last], axis=1).astype(np.int64), factors)


def joined(parts: Sequence[AxisResponses]) -> AxisResponses:
    """Responses of several runs of latents, one run after the other."""
    longest = max(part.factors.shape[2] for part in parts)
    padded = [
        np.pad(part.factors, [(0, 0), (0, 0), (0, longest - part.factors.shape[2])])
        for part in parts
    ]
    return AxisResponses(np.concatenate([part.ends for part in parts]), np.concatenate(padded))
