"""Where the latents of a fit start: a linear analysis of the image, learned with the prior.

A prior's synthesis fixes what a latent means, so a good deal of it can be read off the image: for
each pyramid level, 5x5 filters over the image averaged to that level predict the latents that long
fits find. The file holds nothing of it; a fit from any other start is as valid.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from givre.models.geometry import Grid

FILTER_SIZE = 5
"""Rows and columns of an analysis filter."""

N_LEVELS = 7
"""Pyramid levels that have a filter; latents of coarser levels start at zero."""


@cache
def load_analysis(point: str, number: int) -> Tensor:
    """Filters (N_LEVELS, 3 * 25 + 1) that belong to a prior, the last column being the bias.

    Raises FileNotFoundError if the prior has none.
    """
    path = files("givre.coder.fitting") / "analysis_filters" / f"{point}-{number}.npy"
    with path.open("rb") as file:
        return torch.from_numpy(np.load(file, allow_pickle=False).astype(np.float32))


def analyse(filters: Tensor, normalised: Tensor, grids: Sequence[Grid]) -> list[Tensor]:
    """Predict the latents of an image.

    Args:
        filters: those of `load_analysis`.
        normalised: (1, 3, H, W), samples in [0, 1].
        grids: of the latents.

    Returns:
        (H_i, W_i) for each grid, not rounded; zeros for hyper grids and levels without a filter.
    """
    pyramid = image_pyramid(normalised, N_LEVELS)
    found = []
    for grid in grids:
        if grid.hyper or grid.level >= N_LEVELS:
            found.append(torch.zeros(grid.height, grid.width))
            continue
        row = filters[grid.level].to(normalised.device)
        kernel = row[:-1].reshape(1, 3, FILTER_SIZE, FILTER_SIZE)
        padded = F.pad(pyramid[grid.level], (FILTER_SIZE // 2,) * 4, mode="replicate")
        found.append(F.conv2d(padded, kernel, row[-1:])[0, 0])
    return found


def image_pyramid(image: Tensor, n_levels: int) -> list[Tensor]:
    """An image (1, C, H, W) and its averages over 2x2, 4x4, ... pixels, sizes rounded up.

    An odd last row or column is repeated before it is averaged.
    """
    pyramid = [image]
    for _ in range(n_levels - 1):
        height, width = pyramid[-1].shape[2:]
        even = F.pad(pyramid[-1], (0, width % 2, 0, height % 2), mode="replicate")
        pyramid.append(F.avg_pool2d(even, 2))
    return pyramid
