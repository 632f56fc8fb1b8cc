"""Where the latents of a fit start: a linear analysis of the image, learned with the prior.

A prior's synthesis fixes what a latent means, so a good deal of it can be read off the image: for
each pyramid level, 5x5 filters over the image averaged to that level predict the latents that long
fits find. The file holds nothing of it; a fit from any other start is as valid.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from io import BytesIO

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from givre.errors import UnsupportedError
from givre.models.geometry import Grid

FILTER_SIZE = 5
"""Rows and columns of an analysis filter."""

N_LEVELS = 7
"""Pyramid levels that have a filter; latents of coarser levels start at zero."""


ANALYSIS_HASHES: dict[tuple[str, int], str] = {
    ("hop", 1): "41d2becfcb5cf1776083bbb9e72676bbe563d7266245e387563cfc8041d46961",
    ("hop", 2): "73d373a155728e0b238da9c74f77e96c4461078f054547018630617ad44095ff",
    ("hop", 3): "03f7c38f50a030520fcb65c3e289b836d1615d0c43d95b66ed9d39e92109a930",
    ("hop", 4): "e4c71071a9c9291d0d5f2bd708356af0aab288437c2546c3434b67a6403ba36a",
    ("hop", 5): "0d1dc8c5ffd0214bf3c537bd5ceddcbad2b3c51223e320ea7dcb142016358596",
    ("lop", 1): "8eee9891a29753f986cf2d152896c2e6d138bb5b09668a18814acb3e4bcf8a0f",
    ("lop", 2): "feefbdd6ed320de11ad5b09ffb8795b22272be1e936fbd819b158e0322df79e2",
    ("lop", 3): "a837eff1e5492622032bd9b5e594cd85eff13d9485ae7b46e06cd7e4b30fdc5a",
    ("lop", 4): "ca7fcafd96e3a236715b6d8f0f927c48383a512220a8270c58294a8f26a3cc97",
    ("mop", 2): "b42c9081de7ff865be9df57fc96333d6c6d1b89a05ac18dd79e18483829f2422",
    ("mop", 3): "bf52f8f25a891f0218fc2176fa3e7d2c4df4bd7de95b77c4eab8adae571fc03c",
}
"""(named point, prior's number) to the SHA-256 of the file of the filters, in hexadecimal."""


@cache
def load_analysis(point: str, number: int) -> Tensor:
    """Filters (N_LEVELS, 3 * 25 + 1) that belong to a prior, the last column being the bias.

    Args:
        point: name of the prior's architecture.
        number: of the prior; every prior of `PRIOR_HASHES` has filters.

    Raises:
        UnsupportedError: the filters that were installed are damaged.
    """
    path = files("givre.coder.fitting") / "analysis_filters" / f"{point}-{number}.npy"
    content = path.read_bytes() if path.is_file() else b""
    if sha256(content).hexdigest() != ANALYSIS_HASHES[point, number]:
        # Other filters would give another file from the same image, without a word.
        raise UnsupportedError(
            f"the analysis filters {path.name} are missing or damaged: install givre again"
        )
    return torch.from_numpy(np.load(BytesIO(content), allow_pickle=False).astype(np.float32))


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
