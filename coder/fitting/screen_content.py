"""Screenshots and drawings among the images: their pixels repeat, those of photographs do not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

REPEATING = 0.75
"""Part of the pixels that equal their left neighbour, from which on an image is no photograph.
Windows and terminals have 0.84 to 0.97 of them, photographs at most 0.55."""

BUSIER = 3.0
"""What is sharp has more bits and less error than a photograph at the same lambda. Fits of it are
like those of photographs at a lambda that is so many times smaller."""

BUSIEST = 1e-3
"""But not at a smaller one than this: what was learned from photographs there does not help."""


def comparable_lmbda(samples: NDArray[np.uint8], lmbda: float) -> float:
    """The lambda at which photographs are fitted about as these samples are at theirs.

    Args:
        samples: uint8 (H, W, C).
        lmbda: weight of the rate.
    """
    if _repeats(samples) <= REPEATING:
        return lmbda
    return min(lmbda, max(lmbda / BUSIER, BUSIEST))


def _repeats(samples: NDArray[np.uint8]) -> float:
    """Part of the pixels that are as their left neighbours; 0 for an image of one column."""
    if samples.shape[1] < 2:
        return 0.0
    return float((samples[:, 1:] == samples[:, :-1]).all(axis=2).mean())
