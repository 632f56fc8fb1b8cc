"""A fit in plain torch, on any device, and NumPy: nothing is compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

import torch
from torch import Tensor

from givre.coder.fitting.parameter_rate import ParameterRate
from givre.coder.fitting.soap import Soap, SoapSettings
from givre.errors import UsageError
from givre.models.architecture import Architecture
from givre.models.codec_model import CodecModel
from givre.models.compiled.preparation import Compiling
from givre.models.compiled.types import Doubles
from givre.models.geometry import Grid
from givre.models.integer_rounding import descend_rows, round_rows
from givre.models.latents import ReferenceLatents
from givre.models.synthesis import distortion


class ReferenceKernels:
    """`FitKernels` in plain torch.

    Args:
        threads: of torch.
    """

    name = "reference"
    exact = "reference"
    moves_latents = False

    def __init__(self, threads: int) -> None:
        self.torch_threads = threads
        self.round_rows, self.descend_rows = round_rows, descend_rows

    def prepare(self, steps: int, on_compiling: Callable[[Compiling], None]) -> None:
        """There is nothing to compile."""

    def latents(self, grids: Sequence[Grid], device: torch.device) -> ReferenceLatents:
        """See `FitKernels.latents`."""
        return ReferenceLatents(grids, device)

    def rate(self, model: CodecModel, latents: Sequence[Tensor]) -> Tensor:
        """See `FitKernels.rate`."""
        return model.rate(latents)

    def upsample(self, model: CodecModel, latents: Sequence[Tensor]) -> Tensor:
        """See `FitKernels.upsample`."""
        return model.dense(latents)

    @torch.no_grad()
    def synthesise(self, model: CodecModel, dense: Tensor) -> Tensor:
        """See `FitKernels.synthesise`."""
        samples: Tensor = model.synthesis(dense)
        return samples

    def synthesis_distortion(
        self, model: CodecModel, dense: Tensor, target: Tensor, span: Tensor
    ) -> Tensor:
        """See `FitKernels.synthesis_distortion`."""
        return distortion(model.synthesis(dense), target, span)

    def distortion(
        self, model: CodecModel, latents: Sequence[Tensor], target: Tensor, span: Tensor
    ) -> Tensor:
        """See `FitKernels.distortion`."""
        return self.synthesis_distortion(model, self.upsample(model, latents), target, span)

    def together(self, pieces: Sequence[Callable[[], None]]) -> None:
        """See `FitKernels.together`: one after the other."""
        for piece in pieces:
            piece()

    def optimiser(self, parameters: Sequence[Tensor], settings: SoapSettings) -> Soap:
        """See `FitKernels.optimiser`."""
        return Soap(parameters, settings)

    def parameter_rate(
        self, arch: Architecture, model: CodecModel, prior: Mapping[str, Doubles]
    ) -> ParameterRate:
        """See `FitKernels.parameter_rate`."""
        return ParameterRate(arch, model, prior)

    def single_moves(
        self,
        model: CodecModel,
        latents: Sequence[Tensor],
        target: Tensor,
        span: Tensor,
        coarsest: int,
    ) -> NoReturn:
        """There is no plain form of it: a move at a time takes too long in Python."""
        raise UsageError("the reference kernels cannot move single latents")
