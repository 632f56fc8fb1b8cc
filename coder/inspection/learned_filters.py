"""The upsampling filters that a file learned, measured beside the classical ones. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from givre.models.architecture import Architecture
from givre.models.filters.initial import INITIAL_KERNELS, initial_half
from givre.models.filters.interpolation import SMALLEST_BICUBIC
from givre.models.filters.spectrum import (
    checkerboard_energy,
    frequency_response,
    image_rejection_db,
    mirrored,
    polyphase_gains,
)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class InspectedStage:
    """The two filters of one upsampling stage.

    Attributes:
        stage: 0 for the coarsest.
        level: pyramid level that the stage makes; its input is at `level` + 1.
        transposed: taps of the x2 filter, (k,), symmetric.
        preconcat: taps of the pre-concatenation filter, (p,), symmetric, without the residual.
    """

    stage: int
    level: int
    transposed: Array
    preconcat: Array

    @property
    def preconcat_with_residual(self) -> Array:
        """What the pre-concatenation does to a pattern that varies along one axis only, (p,).

        The layer adds the grid to its separably filtered self, so its 2D kernel is no product of
        1D kernels. Along one axis the other one's pass is a factor, the sum of the taps.
        """
        kernel: Array = self.preconcat.sum() * self.preconcat
        kernel[kernel.size // 2] += 1
        return kernel

    @property
    def image_rejection_db(self) -> float:
        """Image rejection of the x2 filter, see `filter_rejection_db`."""
        return filter_rejection_db(self.transposed)

    @property
    def checkerboard_energy(self) -> float:
        """Energy of the checkerboard in the response to a constant, relative to the constant.

        The symmetry of the filter makes it 0. NaN if the response has the mean 0.
        """
        gains = polyphase_gains(self.transposed)
        if not sum(gains):
            return nan
        return checkerboard_energy(np.outer(gains, gains))

    def numbers(self) -> dict[str, object]:
        """Taps and measures as values that JSON can hold, beside those of the classical filters.

        `gain` is what a constant is multiplied by.
        """
        return {
            "stage": self.stage,
            "level": self.level,
            "transposed": self.transposed.tolist(),
            "gain": float(self.transposed.sum() / 2) ** 2,
            "image_rejection_db": self.image_rejection_db,
            "checkerboard_energy": self.checkerboard_energy,
            "classical_image_rejection_db": {
                name: filter_rejection_db(kernel)
                for name, kernel in classical_kernels(self.transposed.size).items()
            },
            "preconcat": self.preconcat.tolist(),
            "preconcat_with_residual": self.preconcat_with_residual.tolist(),
        }


def inspect_stages(
    arch: Architecture, parameters: Mapping[str, Array]
) -> tuple[InspectedStage, ...]:
    """Filters of every stage, coarse to fine.

    Args:
        arch: for the number of stages.
        parameters: for each name of `architecture.tensor_specs`, the parameters.
    """
    found = []
    for stage in range(arch.n_levels - 1):
        half = parameters[f"upsampling.preconcat.{stage}.weight"]
        found.append(
            InspectedStage(
                stage=stage,
                level=arch.n_levels - 2 - stage,
                transposed=mirrored(parameters[f"upsampling.transposed.{stage}.weight"]),
                preconcat=np.concatenate([half, half[:-1][::-1]]),
            )
        )
    return tuple(found)


def classical_kernels(kernel_size: int) -> dict[str, Array]:
    """Bilinear, bicubic and Kaiser x2 filters of a size, (k,) each; no bicubic below 8 taps."""
    return {
        name: mirrored(initial_half(name, kernel_size))
        for name in INITIAL_KERNELS
        if name != "bicubic" or kernel_size >= SMALLEST_BICUBIC
    }


def filter_rejection_db(kernel: Array) -> float:
    """Image rejection of a x2 filter in dB, see `filter_analysis`; NaN for one of zeros."""
    return image_rejection_db(kernel) if kernel.any() else nan


def gain(kernel: Array, frequencies: Array) -> Array:
    """Absolute response of a symmetric kernel at frequencies in cycles per sample, 0 to 0.5."""
    return np.abs(frequency_response(kernel, 2 * np.pi * frequencies))
