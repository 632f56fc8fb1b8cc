"""Quality of decoded samples."""

from __future__ import annotations

from math import inf, log10

import numpy as np
from numpy.typing import NDArray

from givre.coder.files.picture import AnySamples

_ROWS_AT_A_TIME = 256


def mean_squared_error(
    a: AnySamples, b: AnySamples, largest: int = 255, opacity: NDArray[np.float32] | None = None
) -> float:
    """Mean squared error of two images, relative to the full range: 0 to 1.

    Args:
        a: (H, W, C) of grey or colours.
        b: the same of the other image.
        largest: sample that stands for the full range.
        opacity: (H, W) in [0, 1], how much each pixel counts; None if all count alike.

    Returns:
        0 if nothing is seen.
    """
    total, weight = 0.0, 0.0
    for first in range(0, len(a), _ROWS_AT_A_TIME):
        rows = slice(first, first + _ROWS_AT_A_TIME)
        difference = a[rows].astype(np.float64) - b[rows].astype(np.float64)
        squares = difference * difference
        if opacity is None:
            total, weight = total + float(squares.sum()), weight + squares.size
        else:
            counts = opacity[rows].astype(np.float64)
            total += float((squares * counts[:, :, None]).sum())
            weight += float(counts.sum()) * a.shape[2]
    return total / weight / largest**2 if weight else 0.0


def psnr_db(mse: float) -> float:
    """Peak signal-to-noise ratio in dB of a relative mean squared error; infinite for 0."""
    return -10 * log10(mse) if mse > 0 else inf


def constant_error(
    samples: AnySamples, largest: int = 255, opacity: NDArray[np.float32] | None = None
) -> float:
    """Mean squared error of the best constant image; arguments are those of the function above."""
    total, weight = np.zeros(samples.shape[2]), 0.0
    for first in range(0, len(samples), _ROWS_AT_A_TIME):
        rows = samples[first : first + _ROWS_AT_A_TIME].astype(np.float64)
        counts = np.ones(rows.shape[:2])
        if opacity is not None:
            counts = opacity[first : first + _ROWS_AT_A_TIME].astype(np.float64)
        total += np.einsum("yxc,yx->c", rows, counts)
        weight += float(counts.sum())
    mean = np.round(total / max(weight, 1.0))
    constant = np.empty_like(samples)
    constant[:] = mean
    return mean_squared_error(samples, constant, largest, opacity)
