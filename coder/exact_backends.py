"""Which implementation of the exact arithmetic decodes; all of them give the same bits.

A picture is not kept waiting for a compiler: where the machine code is not there yet, NumPy
decodes, unless the picture is so large that compiling first is faster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from givre.coder.execution import check_compiler
from givre.errors import UsageError
from givre.models.architecture import Architecture
from givre.models.compiled import preparation
from givre.models.compiled.kernel import can_compile
from givre.models.compiled.preparation import cores, prepare
from givre.models.complexity import mac_per_pixel
from givre.models.context import wavefront_step
from givre.models.exact.compiled.backend import (
    DECODING_KERNELS,
    ENCODING_KERNELS,
    CompiledBackend,
)
from givre.models.exact.numpy_backend import NumpyBackend
from givre.models.exact.wavefront import ArmBackend, GridPredictor
from givre.models.geometry import Grid, grids

Array = NDArray[np.float64]

NUMPY_SECONDS_PER_PRODUCT = 1.2e-9
"""What NumPy takes for a multiplication of the decoder, on one core. This and the next were
fitted to lop and hop files of 192x128 and 768x512 pixels; they tell the time within a factor of
two."""

NUMPY_SECONDS_PER_WAVE = 77e-6
"""What NumPy takes for a wave of latents, however short it is."""

COMPILING_SECONDS = 18.0
"""What it takes to compile the decoder, on one core; measured, to a few seconds."""


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
    ) -> NDArray[np.uint16]:
        """Samples of some rows, of any depth."""


def exact_kernels(name: str, arch: Architecture, width: int, height: int, passes: int = 1) -> str:
    """The kernels that are fastest for a picture, as things are on this machine.

    Args:
        name: one of `execution.KERNELS`; what is not `auto` is returned as it is.
        arch: of the decoder.
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        passes: how often the picture will be decoded.

    Returns:
        `fused` or `reference`.
    """
    if name != "auto":
        return name
    if not can_compile():
        return "reference"
    missing = [kernel for kernel in DECODING_KERNELS if not kernel.is_ready()]
    if not missing:
        return "fused"
    compiling = COMPILING_SECONDS * len(missing) / len(DECODING_KERNELS) / min(cores(), 4)
    if compiling > passes * _numpy_seconds(arch, width, height):
        return "reference"
    prepare(DECODING_KERNELS, cores())
    return "fused"


def _numpy_seconds(arch: Architecture, width: int, height: int) -> float:
    products = mac_per_pixel(arch, width, height)["total"] * width * height
    step = wavefront_step(arch.n_spatial)
    waves = sum(grid.width + step * grid.height for grid in grids(arch, width, height))
    return NUMPY_SECONDS_PER_PRODUCT * products + NUMPY_SECONDS_PER_WAVE * waves


@contextmanager
def compiling_meanwhile(name: str | None) -> Iterator[None]:
    """Compile the exact kernels beside a fit, if they are wanted and missing.

    Args:
        name: one of `execution.KERNELS`; None is `auto`.
    """
    if name == "reference" or not can_compile():
        yield
        return
    with preparation.compiling_meanwhile((*DECODING_KERNELS, *ENCODING_KERNELS)):
        yield


def make_backend(name: str, arch: Architecture, parameters: Mapping[str, Array]) -> Backend:
    """The decoder of one file.

    Args:
        name: `fused` or `reference`.
        arch: shapes.
        parameters: for each name of `architecture.tensor_specs`, float64 values m * 2^-e.

    Raises:
        UsageError: the name is unknown, or compiled kernels are asked for without numba.
    """
    if name == "reference":
        return NumpyBackend(arch, parameters)
    if name != "fused":
        raise UsageError(f"kernels is {name!r}, it must be auto, fused or reference")
    check_compiler()
    return CompiledBackend(arch, parameters)
