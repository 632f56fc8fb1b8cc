"""What computes a fit and what follows it: plain torch and NumPy, or compiled kernels on the CPU.

Both compute the same mathematics behind one protocol, and nothing else in `coder` knows which one
is at work.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from givre.coder.execution import check_compiler, check_kernels
from givre.coder.fitting.parameter_rate import ParameterRate
from givre.coder.fitting.soap import Soap, SoapSettings
from givre.errors import UsageError
from givre.models.architecture import Architecture
from givre.models.codec_model import CodecModel
from givre.models.compiled.kernel import can_compile
from givre.models.compiled.preparation import Compiling
from givre.models.compiled.types import Doubles, Integers
from givre.models.geometry import Grid
from givre.models.integer_rounding import Choices
from givre.models.latents import FittedLatents

_log = logging.getLogger(__name__)


FEWEST_STEPS_TO_MOVE = 250
"""Moving the latents of a shorter fit takes too long next to the fit itself."""


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


class IntegerRounding(Protocol):
    """Loops that choose integers for parameters; see `models.integer_rounding`."""

    def round_rows(
        self, factor: Doubles, values: Doubles, choices: Choices, integers: Integers
    ) -> None:
        """Round the last parameter first; each sees the errors of those behind it."""

    def descend_rows(
        self,
        matrix: Doubles,
        extra: Doubles,
        gradient: Doubles,
        choices: Choices,
        least_gain: float,
        integers: Integers,
    ) -> int:
        """Change one integer at a time until none gains; tell how many were changed."""
        ...


class FitKernels(IntegerRounding, Protocol):
    """The operations that a fit and the writing of its file are made of.

    Rates and distortions are differentiable, once, where nothing else is said.

    Attributes:
        name: `reference` or `fused`, as a user writes it.
        torch_threads: threads that torch shall have meanwhile.
        exact: name of the exact back end that writes and checks the file.
        moves_latents: whether there are `single_moves`.
    """

    name: str
    torch_threads: int
    exact: str
    moves_latents: bool

    def prepare(self, steps: int, on_compiling: Callable[[Compiling], None]) -> None:
        """Compile what a fit of so many steps needs, if that is not done yet."""

    def latents(self, grids: Sequence[Grid], device: torch.device) -> FittedLatents:
        """The fitted latents of grids on a device."""
        ...

    def rate(self, model: CodecModel, latents: Sequence[Tensor]) -> Tensor:
        """Total bits of latents under a model's entropy model, a scalar."""
        ...

    def upsample(self, model: CodecModel, latents: Sequence[Tensor]) -> Tensor:
        """Dense representation (1, L, H, W) that a model makes of latents."""
        ...

    def synthesise(self, model: CodecModel, dense: Tensor) -> Tensor:
        """Normalised samples (1, C, H, W) of a dense representation; without a gradient."""
        ...

    def synthesis_distortion(
        self, model: CodecModel, dense: Tensor, target: Tensor, span: Tensor
    ) -> Tensor:
        """Mean squared error of what a model's synthesis makes of a dense representation.

        Args:
            model: its synthesis is used.
            dense: (1, L, H, W).
            target: normalised samples (1, C, H, W).
            span: (C, 1, 1) or (C, H, W), factors of errors before they are squared.
        """
        ...

    def distortion(
        self, model: CodecModel, latents: Sequence[Tensor], target: Tensor, span: Tensor
    ) -> Tensor:
        """Mean squared error of what a model makes of latents, a scalar."""
        ...

    def together(self, pieces: Sequence[Callable[[], None]]) -> None:
        """Do pieces of work that are independent of each other, at once or one after another."""

    def optimiser(self, parameters: Sequence[Tensor], settings: SoapSettings) -> Soap:
        """The optimiser of the networks' parameters."""
        ...

    def parameter_rate(
        self, arch: Architecture, model: CodecModel, prior: Mapping[str, Doubles]
    ) -> ParameterRate:
        """The rate of a model's parameters as differences from a prior."""
        ...

    def single_moves(
        self,
        model: CodecModel,
        latents: Sequence[Tensor],
        target: Tensor,
        span: Tensor,
        coarsest: int,
    ) -> SingleMoves:
        """Rounded latents that can be moved one by one.

        Args:
            model: the networks.
            latents: (H_i, W_i), integers in float tensors.
            target: normalised samples (1, C, H, W).
            span: (C, 1, 1) or (C, H, W), factors of errors before they are squared.
            coarsest: level of the coarsest grid to move.

        Raises:
            ValueError: there is no kernel for it: `moves_latents` is false.
        """
        ...


def choose_kernels(name: str, device: torch.device, threads: int) -> FitKernels:
    """Kernels by name for a device.

    Args:
        name: one of `execution.KERNELS`.
        device: where the fit runs; the fused kernels are for the CPU alone.
        threads: how many may be used; results of the fused kernels do not depend on it.

    Raises:
        UsageError: the name is unknown, or fused kernels are asked for on another device or
            without numba.
    """
    check_kernels(name)
    if name == "auto" and device.type == "cpu" and not can_compile():
        _log.warning("without a compiler a fit takes ten times longer: pip install 'givre[encode]'")
        name = "reference"
    if name == "reference" or (name == "auto" and device.type != "cpu"):
        from givre.coder.fitting.reference_kernels import ReferenceKernels

        return ReferenceKernels(threads)
    if device.type != "cpu":
        raise UsageError(f"fused kernels run on the cpu, not on {device}; use --kernels reference")
    check_compiler()
    from givre.coder.fitting.fused_kernels import FusedKernels

    return FusedKernels(threads)
