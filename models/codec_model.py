"""The whole differentiable decoder: entropy model, upsampling and synthesis of one image.

This is the seam between fitting and arithmetic. `coder.fitting.overfit` asks for a rate and a
distortion and never looks inside; the plain torch functions here are what any
faster kernel must equal.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from givre.models.architecture import Architecture
from givre.models.arm import Arm, grid_bits
from givre.models.geometry import Grid, grids
from givre.models.ifce import Ifce, feature_maps
from givre.models.synthesis import Synthesis
from givre.models.upsampling import Upsampling


class CodecModel(nn.Module):
    """The networks that the file carries, for an image of a given size.

    Its state dict has exactly the names and shapes of `architecture.tensor_specs`.
    """

    def __init__(self, arch: Architecture, width: int, height: int) -> None:
        super().__init__()
        self.arch = arch
        self.grids: tuple[Grid, ...] = grids(arch, width, height)
        self.arm = Arm(arch)
        self.ifce = Ifce(arch)
        stages = arch.n_levels - 1
        self.upsampling = Upsampling(arch.ups_k_size, arch.ups_preconcat_k_size, stages, stages)
        self.synthesis = Synthesis(arch)

    def initialise(self, generator: torch.Generator, mean: Tensor) -> None:
        """Start values: small random networks, residual layers at zero, the mean colour as output.

        Args:
            generator: source of the random start, on the CPU.
            mean: normalised mean of each channel, (C,). The first output is this constant, so
                that even a one-step fit is a picture and not black.
        """
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.startswith("upsampling."):
                    continue  # starts as bilinear or bicubic interpolation
                if parameter.dim() < 2 or "arm.hidden" in name or "residual" in name:
                    parameter.zero_()
                elif name.startswith("synthesis."):
                    bound = parameter[0].numel() ** -0.5 / parameter.shape[0] ** 2
                    noise = torch.rand(parameter.shape, generator=generator) * 2 - 1
                    parameter.copy_(noise * bound)
                else:
                    noise = torch.randn(parameter.shape, generator=generator)
                    parameter.copy_(noise / parameter.shape[0] ** 2)
            self.synthesis.output.get_parameter("bias").copy_(mean)

    def bits(self, latents: Sequence[Tensor]) -> list[Tensor]:
        """Rate of every latent: for each grid, in the order of `self.grids`, bits (H_i, W_i)."""
        features = feature_maps(self.ifce, self.grids, latents)
        return [
            grid_bits(self.arm, latent, feature)
            for latent, feature in zip(latents, features, strict=True)
        ]

    def rate(self, latents: Sequence[Tensor]) -> Tensor:
        """Total rate in bits, a scalar, of latents (H_i, W_i) in the order of `self.grids`."""
        return torch.stack([bits.sum() for bits in self.bits(latents)]).sum()

    def dense(self, latents: Sequence[Tensor]) -> Tensor:
        """Dense representation (1, L, H, W) from latents in the order of `self.grids`."""
        out: Tensor = self.upsampling(self.main(latents))
        return out

    def main(self, latents: Sequence[Tensor]) -> list[Tensor]:
        """The main grids among `latents`, fine to coarse, as (1, 1, H_i, W_i)."""
        pairs = zip(self.grids, latents, strict=True)
        return [latent[None, None] for grid, latent in pairs if not grid.hyper]

    def normalised(self, latents: Sequence[Tensor]) -> Tensor:
        """Normalised samples (1, C, H, W) from latents in the order of `self.grids`."""
        out: Tensor = self.synthesis(self.dense(latents))
        return out
