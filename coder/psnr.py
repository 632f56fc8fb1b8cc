"""Quality of decoded samples."""

from __future__ import annotations

from math import inf, log10

import numpy as np
from numpy.typing import NDArray


def mean_squared_error(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Mean squared error of two images of 8-bit samples, relative to the full range: 0 to 1."""
    difference = a.astype(np.float64) - b.astype(np.float64)
    return float(np.mean(difference * difference)) / 255.0**2


def psnr_db(mse: float) -> float:
    """Peak signal-to-noise ratio in dB of a relative mean squared error; infinite for 0."""
    return -10 * log10(mse) if mse > 0 else inf


def constant_error(samples: NDArray[np.uint8]) -> float:
    """Mean squared error of the best constant image, whose samples are the channels' means."""
    mean = np.round(samples.mean(axis=(0, 1)))
    return mean_squared_error(samples, np.broadcast_to(mean, samples.shape).astype(np.uint8))
