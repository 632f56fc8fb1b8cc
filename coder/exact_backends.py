"""Which implementation of the exact arithmetic decodes; all of them give the same bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from givre.errors import UsageError
from givre.models.architecture import Architecture
from givre.models.exact.compiled.backend import CompiledBackend
from givre.models.exact.numpy_backend import NumpyBackend
from givre.models.exact.wavefront import ArmBackend, GridPredictor
from givre.models.geometry import Grid

Array = NDArray[np.float64]

BACKENDS = ("fused", "reference", "torch")
"""Compiled kernels; NumPy; torch in float64, which is for checking devices."""


class Backend(ArmBackend, Protocol):
    """The exact decoder of one file; see `models.exact.numpy_backend.NumpyBackend`."""

    def features(self, grids: Sequence[Grid], latents: Sequence[Array], level: int) -> Array:
        """Inter-feature contexts of a main grid."""

    def predictor(self, height: int, width: int, features: Array | None) -> GridPredictor:
        """Predictor of a grid's latents."""

    def stack(self, main: Sequence[Array]) -> Array:
        """Dense representation without its finest grid, at half the image's size."""

    def normalised_rows(self, finest: Array, stack: Array, first: int, last: int) -> Array:
        """Normalised samples of some rows."""

    def samples_rows(
        self, finest: Array, stack: Array, first: int, last: int, low: Array, span: Array
    ) -> NDArray[np.uint8]:
        """Samples of some rows."""


def make_backend(
    name: str, arch: Architecture, parameters: Mapping[str, Array], device: str = "cpu"
) -> Backend:
    """The decoder of one file.

    Args:
        name: one of BACKENDS, or `auto` for the fastest.
        arch: shapes.
        parameters: for each name of `architecture.tensor_specs`, float64 values m * 2^-e.
        device: where the torch back end computes.

    Raises:
        UsageError: the name is unknown.
    """
    if name in ("auto", "fused"):
        return CompiledBackend(arch, parameters)
    if name == "reference":
        return NumpyBackend(arch, parameters)
    if name == "torch":
        from givre.models.exact.torch_backend import TorchBackend  # loads torch

        return TorchBackend(arch, parameters, device)
    raise UsageError(f"kernels is {name!r}, it must be auto or one of {', '.join(BACKENDS)}")
