"""Wavefronts: which latents of a grid can be predicted together, and the contexts they see.

Pixel (y, x) belongs to wave t = x + step * y. Every neighbour in its context lies in an earlier
wave, so all pixels of a wave are predicted at once, top row first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from givre.models.architecture import Architecture
from givre.models.compiled.types import Doubles
from givre.models.context import CONTEXT_REACH, context_offsets, wavefront_step


class ArmBackend(Protocol):
    """Anything that evaluates the exact ARM."""

    def arm(self, context: Doubles) -> tuple[Doubles, NDArray[np.int64]]:
        """Mean and scale index (n,) from contexts (n, D)."""


class SymbolSource(Protocol):
    """A message of latents that is read in order; see `bitstream.latents.LatentReader`."""

    scales: Doubles
    words: NDArray[np.uint32]
    state: NDArray[np.uint64]

    def read(self, mean: Doubles, scale_index: NDArray[np.int64]) -> NDArray[np.int32]:
        """Decode the next latents from their means and scale indices."""


class GridPredictor(Protocol):
    """Predicts the latents of one grid; see `WavePredictor`."""

    def waves(self) -> Iterator[tuple[int, int, int]]:
        """(t, first row, row after the last) of every wave."""

    def indices(self, t: int, first: int, last: int) -> NDArray[np.int64]:
        """Positions in raster order of the pixels of a wave."""

    def predict(self, t: int, first: int, last: int) -> tuple[Doubles, NDArray[np.int64]]:
        """Mean and scale index of each latent of a wave."""

    def fill(self, t: int, first: int, last: int, symbols: NDArray[np.int32]) -> None:
        """Enter the latents of a wave."""

    def decode(self, source: SymbolSource) -> None:
        """Decode the whole grid."""

    def grid(self) -> Doubles:
        """The latents filled in so far."""


def waves(height: int, width: int, step: int) -> Iterator[tuple[int, int, int]]:
    """Yield (t, first row, row after the last) for every wave that holds a pixel.

    Row y is in wave t when 0 <= t - step * y < width.
    """
    for t in range(width + step * (height - 1)):
        first = max(0, -(-(t - width + 1) // step))
        last = min(height, t // step + 1)
        if first < last:
            yield t, first, last


class WavePredictor:
    """Predicts the latents of one grid wave by wave, from the latents already filled in.

    Args:
        backend: evaluates the ARM.
        arch: for the context's shape.
        height: rows of the grid.
        width: columns of the grid.
        features: inter-feature contexts (F, ceil(H/2), ceil(W/2)), or None for zeros.
    """

    def __init__(
        self,
        backend: ArmBackend,
        arch: Architecture,
        height: int,
        width: int,
        features: Doubles | None,
    ) -> None:
        self._backend = backend
        self._pitch = width + 2 * CONTEXT_REACH
        self._plane = np.zeros((height + CONTEXT_REACH) * self._pitch)
        self._shape = (height, width)
        offsets = context_offsets(arch.n_spatial)
        self._step = wavefront_step(arch.n_spatial)
        self._offsets = np.array([dy * self._pitch + dx for dy, dx in offsets])
        self._half_width = -(-width // 2)
        self._features = None if features is None else features.reshape(len(features), -1).T
        self._context = np.zeros((height, arch.context_width))

    def waves(self) -> Iterator[tuple[int, int, int]]:
        """Waves of this grid, see `waves`."""
        return waves(*self._shape, self._step)

    def indices(self, t: int, first: int, last: int) -> NDArray[np.int64]:
        """Positions in raster order of the pixels of a wave, top row first."""
        rows = np.arange(first, last)
        return rows * (self._shape[1] - self._step) + t

    def predict(self, t: int, first: int, last: int) -> tuple[Doubles, NDArray[np.int64]]:
        """Mean and scale index of each latent of a wave."""
        rows = np.arange(first, last)
        columns = t - self._step * rows
        context = self._context[: last - first]
        n_spatial = len(self._offsets)
        context[:, :n_spatial] = self._plane[self._flat(rows, columns)[:, None] + self._offsets]
        if self._features is not None:
            half = (rows >> 1) * self._half_width + (columns >> 1)
            context[:, n_spatial:] = self._features[half]
        return self._backend.arm(context)

    def fill(self, t: int, first: int, last: int, symbols: NDArray[np.int32]) -> None:
        """Enter the latents of a wave, so that later waves see them."""
        rows = np.arange(first, last)
        self._plane[self._flat(rows, t - self._step * rows)] = symbols

    def decode(self, source: SymbolSource) -> None:
        """Decode the whole grid, wave by wave.

        Raises:
            CorruptError: the message is one that no encoder writes.
        """
        for wave in self.waves():
            self.fill(*wave, source.read(*self.predict(*wave)))

    def grid(self) -> Doubles:
        """The latents filled in so far, (H, W); zero elsewhere."""
        height, width = self._shape
        plane = self._plane.reshape(height + CONTEXT_REACH, self._pitch)
        return plane[CONTEXT_REACH:, CONTEXT_REACH : CONTEXT_REACH + width].copy()

    def _flat(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int64]:
        return (rows + CONTEXT_REACH) * self._pitch + columns + CONTEXT_REACH
