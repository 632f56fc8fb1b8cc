"""From samples to what a fit aims at: each channel mapped from its own range to [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from givre.coder.fitting.source import Source


@dataclass(frozen=True)
class Target:
    """An image as the loss sees it.

    Attributes:
        low: smallest sample of each channel, 0 to 2^depth - 1.
        high: largest sample of each channel.
        normalised: (1, C, H, W) float32 in [0, 1]; a constant channel is 0.
        span: float32, factors of errors before they are squared: (C, 1, 1), (high - low) relative
            to the full range, or (C, H, W) where pixels count differently. The mean of the squares
            is then the error of what is seen, spread over all samples of the colours.
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


def make_target(source: Source) -> Target:
    """Normalise the samples of a source. What is never seen takes no part in a channel's range."""
    planes = np.ascontiguousarray(np.moveaxis(source.samples, 2, 0), np.float32)
    factors = source.factors
    weights = None if factors is None else np.moveaxis(factors, 2, 0)
    low, high = _ranges(planes, weights)
    scale = np.where(high > low, high - low, 1)[:, None, None]
    normalised = (planes - low[:, None, None]) / scale
    span = ((high - low) / source.largest)[:, None, None]
    if weights is None:
        mean = normalised.mean(axis=(1, 2))
    else:
        # Hidden samples may be anything; the mean colour of what is seen disturbs no filter.
        total = np.maximum(weights.sum(axis=(1, 2)), 1e-6)
        mean = (normalised * weights).sum(axis=(1, 2)) / total
        normalised = np.where(weights > 0, normalised, mean[:, None, None]).clip(0, 1)
        span = span * np.sqrt(weights * (len(planes) / source.colours))
    return Target(
        low=tuple(int(v) for v in low),
        high=tuple(int(v) for v in high),
        normalised=torch.from_numpy(np.ascontiguousarray(normalised, np.float32))[None],
        span=torch.from_numpy(np.ascontiguousarray(span, np.float32)),
        mean=torch.from_numpy(mean.astype(np.float32)),
    )


def _ranges(
    planes: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    weights: np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None,
) -> tuple[np.ndarray[tuple[int], np.dtype[np.float32]], ...]:
    """Smallest and largest sample (C,) of each channel among those that count."""
    if weights is None:
        return planes.min(axis=(1, 2)), planes.max(axis=(1, 2))
    counted = weights > 0
    low = np.where(counted, planes, np.inf).min(axis=(1, 2))
    high = np.where(counted, planes, -np.inf).max(axis=(1, 2))
    nothing = ~np.isfinite(low)
    return np.where(nothing, 0, low), np.where(nothing, 0, high)
