"""The synthesis: from the dense representation to samples, one small network for the whole image.

A per-pixel hidden layer, a few 3x3 residual layers on the output channels, and in parallel a
linear per-pixel branch (the stabiliser) that gives the fit a path without any non-linearity.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from givre.models.architecture import Architecture


class Synthesis(nn.Module):
    """Dense representation (B, L, H, W) to normalised samples (B, C, H, W).

    A normalised sample is 0 at the channel's minimum in the image and 1 at its maximum; the
    decoder maps it back with the two values that the file holds. The output is not clamped.
    """

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        channels = arch.n_channels
        self.hidden = nn.Conv2d(arch.n_levels, arch.synthesis_hidden, 1)
        self.output = nn.Conv2d(arch.synthesis_hidden, channels, 1)
        self.residual = nn.ModuleList(
            nn.Conv2d(channels, channels, 3) for _ in range(arch.n_residual)
        )
        self.stabiliser = nn.Conv2d(arch.n_levels, channels, 1, bias=False)

    def forward(self, dense: Tensor) -> Tensor:
        """Synthesise normalised samples (B, C, H, W) from the dense representation (B, L, H, W)."""
        h = self.output(F.relu(self.hidden(dense)))
        for i, layer in enumerate(self.residual):
            h = h + layer(F.pad(h, (1, 1, 1, 1), mode="replicate"))
            if i + 1 < len(self.residual):
                h = F.relu(h)
        out: Tensor = h + self.stabiliser(dense)
        return out


def straight_through_clamp(x: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Clamp to [low, high] in the forward pass, identity in the backward pass.

    A plain clamp has no gradient outside its range: an image that starts there (a bright
    screenshot, a document) never comes back and ends as a constant.
    """
    return x + (x.clamp(low, high) - x).detach()


def distortion(normalised: Tensor, target: Tensor, span: Tensor) -> Tensor:
    """Mean squared error over samples in [0, 1].

    Args:
        normalised: output of the synthesis, (B, C, H, W), not clamped.
        target: the image's normalised samples in [0, 1], (B, C, H, W).
        span: (C, 1, 1), a factor of each channel's errors before they are squared, or (C, H, W).

    Returns:
        Scalar; 0 dB of PSNR is a distortion of 1.
    """
    error = (straight_through_clamp(normalised) - target) * span
    return torch.mean(error.square())
