"""Inter-feature context extractor (IFCE): what the coarser grids tell about a fine one.

For each of the finest grids, a private linear map turns all grids decoded before it (hyper-latents
included) into F features, at half the grid's size; each feature then serves 2 x 2 latents.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from givre.models.architecture import Architecture
from givre.models.geometry import Grid


class Ifce(nn.ModuleList):
    """One linear layer (n_in -> F) for each of the grids 0 .. `arch.n_ifce` - 1."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__(
            nn.Linear(arch.n_levels - level - 1 + arch.n_hyper, arch.n_features)
            for level in range(arch.n_ifce)
        )


def nearest_stack(grids: Sequence[Grid], latents: Sequence[Tensor], level: int) -> Tensor:
    """Grids stacked at the size of a pyramid level by nearest-neighbour upsampling.

    Args:
        grids: geometry of each grid, all of `level` or coarser.
        latents: (H_i, W_i) each.
        level: pyramid level whose size the stack gets, the level of the finest grid.

    Returns:
        (len(grids), H, W).
    """
    height, width = latents[0].shape
    planes = []
    for grid, latent in zip(grids, latents, strict=True):
        factor = 1 << (grid.level - level)
        dense = latent.repeat_interleave(factor, dim=0).repeat_interleave(factor, dim=1)
        planes.append(dense[:height, :width])
    return torch.stack(planes)


def feature_maps(
    ifce: Ifce, grids: Sequence[Grid], latents: Sequence[Tensor]
) -> list[Tensor | None]:
    """Inter-feature contexts of every grid.

    Args:
        ifce: the linear maps.
        grids: all grids from fine to coarse, `geometry.grids`.
        latents: their values (H_i, W_i), in the same order.

    Returns:
        For each grid, features (F, ceil(H/2), ceil(W/2)), or None where the ARM sees zeros
        (hyper grids, and levels without an extractor).
    """
    maps: list[Tensor | None] = []
    for i, grid in enumerate(grids):
        if grid.hyper or grid.level >= len(ifce):
            maps.append(None)
            continue
        layer = ifce[grid.level]
        stack = nearest_stack(grids[i + 1 :], latents[i + 1 :], grid.level + 1)
        weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
        maps.append(torch.einsum("fn,nhw->fhw", weight, stack) + bias[:, None, None])
    return maps
