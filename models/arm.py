"""The autoregressive module (ARM): from the context of a latent to its Laplace distribution.

One small network serves every grid. Its input is the context of a latent pixel: causal neighbours
in the same grid and, on the finest grids, inter-feature contexts (`givre.models.ifce`).
Idea: COOL-CHIC (Ladune et al., ICCV 2023), with the linear stabiliser of later versions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from givre.models.architecture import Architecture
from givre.models.context import CONTEXT_REACH, context_offsets

LOG_SCALE_SHIFT = 4.0
"""Subtracted from the network's second output, so that a zero output means a narrow Laplace."""

LOG_SCALE_LIMIT = 5.0
"""The log of the Laplace scale is clamped to [-LOG_SCALE_LIMIT, LOG_SCALE_LIMIT]."""

MAX_BITS = 16.0
"""A symbol never counts for more than this in the rate that is minimised."""


class Arm(nn.Module):
    """Residual multilayer perceptron of the context's width, plus a linear stabiliser.

    `forward` maps contexts (n, D) to (mean, log_scale), each (n,), where D is
    `arch.context_width`, the mean is in latent units and the log of the scale is clamped.
    """

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        width = arch.context_width
        self.offsets = context_offsets(arch.n_spatial)
        self.n_features = arch.n_features
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(arch.n_arm_hidden))
        self.output = nn.Linear(width, 2)
        self.stabiliser = nn.Linear(width, 2, bias=False)

    def forward(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Predict (mean, log_scale), each (n,), from contexts (n, D)."""
        h = context
        for layer in self.hidden:
            h = F.relu(layer(h) + h)
        out = self.output(h) + self.stabiliser(context)
        log_scale = (out[:, 1] - LOG_SCALE_SHIFT).clamp(-LOG_SCALE_LIMIT, LOG_SCALE_LIMIT)
        return out[:, 0], log_scale


def gather_contexts(
    grid: Tensor, feature_map: Tensor | None, offsets: Sequence[tuple[int, int]], n_features: int
) -> Tensor:
    """Contexts of every latent of a grid.

    Args:
        grid: latents (H, W); outside of it the context is zero.
        feature_map: inter-feature contexts (F, ceil(H/2), ceil(W/2)) that each serve 2 x 2
            latents, or None for zeros.
        offsets: (dy, dx) of the spatial neighbours, `models.context.context_offsets`.
        n_features: F.

    Returns:
        (H * W, len(offsets) + F), rows in raster order.
    """
    height, width = grid.shape
    padded = F.pad(grid, (CONTEXT_REACH, CONTEXT_REACH, CONTEXT_REACH, 0))
    columns = [padded[_shifted(dy, height), _shifted(dx, width)].reshape(-1) for dy, dx in offsets]
    spatial = torch.stack(columns, dim=1)
    if not n_features:
        return spatial
    if feature_map is None:
        features = grid.new_zeros(height * width, n_features)
    else:
        dense = feature_map.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
        features = dense[:, :height, :width].reshape(n_features, -1).t()
    return torch.cat([spatial, features], dim=1)


def laplace_bits(symbols: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Cost in bits of integer (or noisy) latents under an integrated Laplace distribution.

    The probability of y is the Laplace mass of [y - 1/2, y + 1/2]. Below the median and above it
    the two cumulative values are close to 0 or to 1; by symmetry the difference is always taken
    on the side of the small values, where float32 keeps its precision.

    Args:
        symbols: any shape, latent units.
        mean: as `symbols`.
        log_scale: natural logarithm of the scale, as `symbols`.

    Returns:
        Bits per symbol, as `symbols`, at most MAX_BITS each.
    """
    inverse = torch.exp(-log_scale)
    distance = (symbols - mean).abs()
    far = torch.exp(-(distance + 0.5) * inverse)
    inner = distance - 0.5
    near = torch.exp(-inner.abs() * inverse)
    mass = torch.where(inner > 0, 0.5 * (near - far), 1 - 0.5 * (near + far))
    return -torch.log2(mass.clamp_min(2.0**-MAX_BITS))


def grid_bits(arm: Arm, grid: Tensor, feature_map: Tensor | None) -> Tensor:
    """Rate of one latent grid.

    Args:
        arm: the entropy model.
        grid: latents (H, W), quantised or a differentiable proxy of it.
        feature_map: (F, ceil(H/2), ceil(W/2)) or None, as in `gather_contexts`.

    Returns:
        Bits of every latent, (H, W).
    """
    context = gather_contexts(grid, feature_map, arm.offsets, arm.n_features)
    mean, log_scale = arm(context)
    return laplace_bits(grid.reshape(-1), mean, log_scale).reshape(grid.shape)


def _shifted(by: int, length: int) -> slice:
    """Where the neighbours of a row or column of latents lie in a padded grid."""
    return slice(CONTEXT_REACH + by, CONTEXT_REACH + by + length)
