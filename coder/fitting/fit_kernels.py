"""Which implementation computes a fit: plain torch on any device, or fused kernels on the CPU.

Both compute the same mathematics; nothing else in `coder` knows which one is at work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from givre.coder.fitting.settings import check_kernels
from givre.errors import UsageError
from givre.models.codec_model import CodecModel
from givre.models.geometry import Grid
from givre.models.latents import FittedLatents, ReferenceLatents
from givre.models.synthesis import distortion


class SingleMoves(Protocol):
    """Rounded latents that can be moved one by one; see `models.fused.moves.moved_latents`."""

    squared_error: float
    bits: float

    def attempt(
        self,
        moves: NDArray[np.int64],
        expected: NDArray[np.float32],
        rate_weight: float,
        slack: float,
    ) -> int:
        """Try moves, keep those that lower the loss, and tell how many these were."""
        ...

    def latents(self) -> list[Tensor]:
        """The latents as they are now."""
        ...

    def latents_of(self, grid: int) -> NDArray[np.float32]:
        """Those of one grid."""
        ...

    def normalised(self) -> Tensor:
        """The picture as it is now, (1, C, H, W)."""
        ...

    def bits_of(self, grid: int) -> NDArray[np.float32]:
        """Bits of each latent of a grid."""
        ...


@dataclass(frozen=True)
class Kernels:
    """The operations that a step consists of, differentiable unless said otherwise.

    Attributes:
        name: `reference` or `fused`.
        latents: makes the fitted latents of grids on a device.
        rate: total bits of latents under a model's entropy model, a scalar.
        upsample: dense representation (1, L, H, W) that a model makes of latents.
        synthesise: normalised samples (1, C, H, W) that a model's synthesis makes of a dense
            representation; has no gradient.
        synthesis_distortion: mean squared error of what a model's synthesis makes of a dense
            representation, against normalised samples (1, C, H, W) whose channels have spans
            (C,); a scalar.
        together: does pieces of work that are independent of each other, at once or one after
            the other.
        single_moves: makes rounded latents movable, given a model, the latents, normalised
            samples (1, C, H, W), their spans (C,) and the coarsest level to move; None where
            there is no kernel for it.
    """

    name: str
    latents: Callable[[Sequence[Grid], torch.device], FittedLatents]
    rate: Callable[[CodecModel, Sequence[Tensor]], Tensor]
    upsample: Callable[[CodecModel, Sequence[Tensor]], Tensor]
    synthesise: Callable[[CodecModel, Tensor], Tensor]
    synthesis_distortion: Callable[[CodecModel, Tensor, Tensor, Tensor], Tensor]
    together: Callable[[Sequence[Callable[[], None]]], None]
    single_moves: Callable[[CodecModel, Sequence[Tensor], Tensor, Tensor, int], SingleMoves] | None

    def distortion(
        self, model: CodecModel, latents: Sequence[Tensor], target: Tensor, span: Tensor
    ) -> Tensor:
        """Mean squared error of what a model makes of latents."""
        return self.synthesis_distortion(model, self.upsample(model, latents), target, span)


def _reference_distortion(model: CodecModel, dense: Tensor, target: Tensor, span: Tensor) -> Tensor:
    return distortion(model.synthesis(dense), target, span)


@torch.no_grad()
def _reference_synthesis(model: CodecModel, dense: Tensor) -> Tensor:
    samples: Tensor = model.synthesis(dense)
    return samples


def _one_after_the_other(pieces: Sequence[Callable[[], None]]) -> None:
    for piece in pieces:
        piece()


REFERENCE = Kernels(
    name="reference",
    latents=ReferenceLatents,
    rate=CodecModel.rate,
    upsample=CodecModel.dense,
    synthesise=_reference_synthesis,
    synthesis_distortion=_reference_distortion,
    together=_one_after_the_other,
    single_moves=None,
)


def choose_kernels(name: str, device: torch.device, threads: int) -> Kernels:
    """Kernels by name for a device.

    Args:
        name: one of `settings.KERNELS`.
        device: where the fit runs; the fused kernels are for the CPU alone.
        threads: how many the fused kernels may use; their results do not depend on it.

    Raises:
        UsageError: the name is unknown, or fused kernels are asked for on another device.
    """
    check_kernels(name)
    if name == "reference" or (name == "auto" and device.type != "cpu"):
        return REFERENCE
    if device.type != "cpu":
        raise UsageError(f"fused kernels run on the cpu, not on {device}; use --kernels reference")
    from givre.models.fused.backend import FusedOperations
    from givre.models.fused.moves.moved_latents import MovedLatents

    fused = FusedOperations(threads)
    return Kernels(
        name="fused",
        latents=fused.latents,
        rate=fused.rate,
        upsample=fused.upsample,
        synthesise=fused.synthesise,
        synthesis_distortion=fused.synthesis_distortion,
        together=fused.together,
        single_moves=MovedLatents,
    )
