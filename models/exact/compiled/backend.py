"""Exact decoding in compiled code: the same bits as with NumPy, many times faster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from givre.models.architecture import Architecture
from givre.models.compiled.types import Doubles
from givre.models.exact.arithmetic import N_SCALES
from givre.models.exact.compiled.arm import (
    GRID_SHIFT,
    GRID_START,
    GRID_WIDTH,
    Predictions,
    arm_contexts,
    arm_scratch,
    mix_features,
    pack_arm,
)
from givre.models.exact.compiled.blocks import padded_matrix, padded_vector
from givre.models.exact.compiled.predictor import CompiledWavePredictor
from givre.models.exact.compiled.synthesis import Output, pack_synthesis, synthesise_rows
from givre.models.exact.compiled.upsampling import (
    concatenate_rows,
    preconcat_taps,
    transposed_taps,
)
from givre.models.exact.compiled.waves import decode_waves, enter_wave, fill_and_predict
from givre.models.geometry import Grid

_INDICES = np.arange(float(N_SCALES))


def _plain(values: Doubles) -> Doubles:
    """The array as kernels take it, float64, contiguous and writable; a copy if it is not."""
    return np.require(values, np.float64, ["C", "W"])


DECODING_KERNELS = (synthesise_rows, decode_waves, concatenate_rows, mix_features)
"""What decoding calls; what takes longest to compile comes first."""

ENCODING_KERNELS = (fill_and_predict, enter_wave)
"""What writing latents calls besides."""


class CompiledBackend:
    """The decoder of one file, with the interface of `numpy_backend.NumpyBackend`.

    Its methods release the interpreter lock, so that bands of rows can be computed in parallel.

    Args:
        arch: shapes.
        parameters: for each name of `architecture.tensor_specs`, float64 values m * 2^-e.
    """

    def __init__(self, arch: Architecture, parameters: Mapping[str, Doubles]) -> None:
        self._arch = arch
        self._p = parameters
        self._arm = pack_arm(arch, parameters)
        self._synthesis = pack_synthesis(arch, parameters)

    def predictor(self, height: int, width: int, features: Doubles | None) -> CompiledWavePredictor:
        """Predictor of a grid's latents, wave by wave; see `CompiledWavePredictor`."""
        return CompiledWavePredictor(self._arm, self._arch, height, width, features)

    def features(self, grids: Sequence[Grid], latents: Sequence[Doubles], level: int) -> Doubles:
        """Inter-feature contexts (F, ceil(H/2), ceil(W/2)); see `NumpyBackend.features`."""
        geometry, start = np.empty((len(grids), 3), np.int64), 0
        for row, grid in zip(geometry, grids, strict=True):
            row[GRID_START], row[GRID_WIDTH] = start, grid.width
            row[GRID_SHIFT] = grid.level - level - 1
            start += grid.size
        out = np.empty((self._arch.n_features, grids[0].height, grids[0].width))
        mix_features(
            padded_matrix(self._p[f"ifce.{level}.weight"]),
            padded_vector(self._p[f"ifce.{level}.bias"]),
            np.concatenate([latent.reshape(-1) for latent in latents]),
            geometry,
            out,
        )
        return out

    def arm(self, context: Doubles) -> tuple[Doubles, NDArray[np.int64]]:
        """Mean and scale index, (n,) each, from contexts (n, D)."""
        found = Predictions(_INDICES, np.empty(len(context)), np.empty(len(context)))
        arm_contexts(self._arm, _plain(context), arm_scratch(self._arch), found)
        return found.mean, found.scale.astype(np.int64)

    def stack(self, main: Sequence[Doubles]) -> Doubles:
        """Channels 1 .. L - 1 of the dense representation; see `NumpyBackend.stack`."""
        dense = _plain(main[-1])[None]
        for stage in range(self._arch.n_levels - 2):
            target = _plain(main[-2 - stage])
            joined = np.empty((len(dense) + 1, *target.shape))
            concatenate_rows(
                dense,
                target,
                transposed_taps(self._p[f"upsampling.transposed.{stage}.weight"]),
                preconcat_taps(self._p[f"upsampling.preconcat.{stage}.weight"]),
                joined,
                0,
                len(target),
            )
            dense = joined
        return dense

    def normalised_rows(self, finest: Doubles, stack: Doubles, first: int, last: int) -> Doubles:
        """Normalised samples (C, last - first, W), not clamped; see `NumpyBackend`."""
        channels = self._arch.n_channels
        normalised = np.empty((channels, last - first, finest.shape[1]))
        zeros, nothing = np.zeros(channels), np.empty((0, 0, 0), np.uint16)
        output = Output(zeros, zeros, normalised, nothing)
        synthesise_rows(_plain(finest), _plain(stack), self._synthesis, first, last, output)
        return normalised

    def samples_rows(
        self, finest: Doubles, stack: Doubles, first: int, last: int, low: Doubles, span: Doubles
    ) -> NDArray[np.uint16]:
        """Samples of the rows first .. last - 1, uint16 (last - first, W, C).

        Args:
            finest: main grid of level 0, (H, W).
            stack: the rest of the representation, from `stack`.
            first: first row.
            last: row after the last.
            low: (C,) float64, the lowest sample of each channel.
            span: (C,) float64, the highest less the lowest.
        """
        samples = np.empty((last - first, finest.shape[1], self._arch.n_channels), np.uint16)
        nothing = np.empty((0, 0, 0))
        output = Output(_plain(low), _plain(span), nothing, samples)
        synthesise_rows(_plain(finest), _plain(stack), self._synthesis, first, last, output)
        return samples
