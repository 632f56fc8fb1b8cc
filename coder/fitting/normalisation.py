"""From samples to what a fit aims at: each channel mapped from its own range to [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from givre.errors import ImageError

FULL_RANGE = 255


@dataclass(frozen=True)
class Target:
    """An image as the loss sees it.

    Attributes:
        low: smallest sample of each channel, 0 to 255.
        high: largest sample of each channel.
        normalised: (1, C, H, W) float32 in [0, 1]; a constant channel is 0.
        span: (C,) float32, (high - low) / 255.
        mean: (C,) float32, mean of `normalised`.
    """

    low: tuple[int, ...]
    high: tuple[int, ...]
    normalised: Tensor
    span: Tensor
    mean: Tensor

    def to(self, device: torch.device) -> Target:
        """The same on another device."""
        moved = (t.to(device) for t in (self.normalised, self.span, self.mean))
        return Target(self.low, self.high, *moved)


def make_target(samples: NDArray[np.uint8]) -> Target:
    """Normalise samples (H, W, C) of type uint8; ImageError for any other kind of array."""
    check_samples(samples)
    planes = np.ascontiguousarray(np.moveaxis(samples, 2, 0), np.float32)
    low, high = planes.min(axis=(1, 2)), planes.max(axis=(1, 2))
    scale = np.where(high > low, high - low, 1)
    normalised = (planes - low[:, None, None]) / scale[:, None, None]
    return Target(
        low=tuple(int(v) for v in low),
        high=tuple(int(v) for v in high),
        normalised=torch.from_numpy(normalised)[None],
        span=torch.from_numpy((high - low) / FULL_RANGE),
        mean=torch.from_numpy(normalised.mean(axis=(1, 2))),
    )


def check_samples(samples: NDArray[np.uint8]) -> None:
    """Raise ImageError unless `samples` is uint8 (H, W, C) with 1 to 4 channels and no side 0."""
    if samples.dtype != np.uint8:
        raise ImageError(f"samples are of type {samples.dtype}, they must be uint8")
    if samples.ndim != 3 or not 1 <= samples.shape[2] <= 4 or 0 in samples.shape:
        raise ImageError(f"samples have shape {samples.shape}, it must be (H, W, 1 to 4)")
