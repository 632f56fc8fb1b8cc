"""Analysis filters: least squares from the image to the latents that a joint fit found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from joint_fit import JointFit
from numpy.typing import NDArray
from torch import Tensor

from givre.coder.fitting.analysis import FILTER_SIZE, N_LEVELS, image_pyramid
from givre.coder.fitting.normalisation import make_target
from givre.coder.fitting.source import Source
from givre.models.geometry import grids

RIDGE = 1e-6
"""Added to the diagonal, relative to the number of equations."""


def solve_filters(fit: JointFit, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Filters (N_LEVELS, 3 * 25 + 1) of `givre.coder.fitting.analysis`, the bias last."""
    height, width, _ = crops[0].shape
    pyramids = [image_pyramid(make_target(Source(crop)).normalised, N_LEVELS) for crop in crops]
    rows = []
    for i, grid in enumerate(grids(fit.arch, width, height)):
        if grid.hyper:
            continue
        normal, right = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
        for pyramid, latents in zip(pyramids, fit.latents, strict=True):
            inputs = _patches(pyramid[grid.level])
            normal = normal + inputs.t() @ inputs
            right = right + inputs.t() @ latents[i].reshape(-1).double()
        equations = len(crops) * grid.height * grid.width
        ridge = RIDGE * equations * torch.eye(len(normal), dtype=torch.float64)
        rows.append(torch.linalg.solve(normal + ridge, right))
    return torch.stack(rows).float().numpy()


def _patches(level: Tensor) -> Tensor:
    """Every 5x5 patch of (1, 3, h, w) and a one, float64 (h * w, 76)."""
    padded = F.pad(level, (FILTER_SIZE // 2,) * 4, mode="replicate")
    columns = F.unfold(padded, FILTER_SIZE)[0].t().double()
    return torch.cat([columns, torch.ones(len(columns), 1, dtype=torch.float64)], dim=1)
