"""Wavefronts in compiled code; see `givre.models.exact.wavefront` for what a wave is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from givre.errors import CorruptError
from givre.models.architecture import Architecture
from givre.models.compiled.types import Doubles
from givre.models.context import wavefront_step
from givre.models.exact.arithmetic import N_SCALES
from givre.models.exact.compiled.arm import PackedArm, Predictions, arm_scratch
from givre.models.exact.compiled.waves import (
    WaveState,
    decode_waves,
    empty_ring,
    enter_wave,
    fill_and_predict,
    wave_geometry,
)
from givre.models.exact.wavefront import SymbolSource, waves

_INDICES = np.arange(float(N_SCALES))
_NO_SYMBOLS = np.zeros(0, np.int32)


class CompiledWavePredictor:
    """Predicts the latents of one grid, with the interface of `wavefront.WavePredictor`.

    Waves must be predicted and filled in the order of `waves`.

    Args:
        arm: its parameters.
        arch: for the context's shape.
        height: rows of the grid.
        width: columns of the grid.
        features: inter-feature contexts (F, ceil(H/2), ceil(W/2)), or None for zeros.
    """

    def __init__(
        self,
        arm: PackedArm,
        arch: Architecture,
        height: int,
        width: int,
        features: Doubles | None,
    ) -> None:
        self._shape = (height, width)
        self._step = wavefront_step(arch.n_spatial)
        self._arm = arm
        self._mean, self._scale = np.empty(height), np.empty(height)
        if features is None:
            features = np.empty((arch.n_features, 0, 0))
        self._state = WaveState(
            geometry=wave_geometry(arch, height, width),
            features=np.require(features, np.float64, ["C", "W"]),
            ring=empty_ring(height),
            grid=np.zeros((height, width), np.int8),
            scratch=arm_scratch(arch),
        )
        self._symbols, self._filled = _NO_SYMBOLS, 0

    def waves(self) -> Iterator[tuple[int, int, int]]:
        """Waves of this grid, see `wavefront.waves`."""
        return waves(*self._shape, self._step)

    def indices(self, t: int, first: int, last: int) -> NDArray[np.int64]:
        """Positions in raster order of the pixels of a wave, top row first."""
        return np.arange(first, last) * (self._shape[1] - self._step) + t

    def decode(self, source: SymbolSource) -> None:
        """Decode the whole grid, range decoding included, in one call of a kernel.

        A call of a range coder from outside for each wave takes twice as long.

        Raises:
            CorruptError: the message is one that no encoder writes.
        """
        self._enter()
        scales = np.array(source.scales)  # kernels take writable arrays only
        found = Predictions(scales, self._mean, self._scale)
        if not decode_waves(self._arm, self._state, found, source.words, source.state):
            raise CorruptError("a coded section holds data that no encoder writes")

    def predict(self, t: int, first: int, last: int) -> tuple[Doubles, NDArray[np.int64]]:
        """Mean and scale index of each latent of a wave."""
        found = Predictions(_INDICES, self._mean, self._scale)
        n = fill_and_predict(self._arm, self._state, found, self._symbols, self._filled, t)
        self._symbols = _NO_SYMBOLS
        return self._mean[:n].copy(), self._scale[:n].astype(np.int64)

    def fill(self, t: int, first: int, last: int, symbols: NDArray[np.int32]) -> None:
        """Enter the latents of a wave, so that later waves see them."""
        self._enter()
        self._symbols, self._filled = np.array(symbols, np.int32), t

    def grid(self) -> Doubles:
        """The latents filled in so far, (H, W); zero elsewhere."""
        self._enter()
        return self._state.grid.astype(np.float64)

    def _enter(self) -> None:
        if len(self._symbols):
            enter_wave(self._state, self._symbols, self._filled)
        self._symbols = _NO_SYMBOLS
