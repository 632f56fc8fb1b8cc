"""Screenshots and drawings among the images: their pixels repeat, those of photographs do not."""

from __future__ import annotations

from givre.coder.fitting.source import Source

REPEATING = 0.75
"""Part of the pixels that equal their left neighbour, from which on an image is no photograph.
Windows and terminals have 0.84 to 0.97 of them, photographs at most 0.55."""

BUSIER = 3.0
"""What is sharp has more bits and less error than a photograph at the same lambda. Fits of it are
like those of photographs at a lambda that is so many times smaller."""

BUSIEST = 1e-3
"""But not at a smaller one than this: what was learned from photographs there does not help."""


def comparable_lmbda(source: Source, lmbda: float) -> float:
    """The lambda at which photographs are fitted about as this image is at its own.

    Args:
        source: the image.
        lmbda: weight of the rate.
    """
    if _repeats(source) <= REPEATING:
        return lmbda
    return min(lmbda, max(lmbda / BUSIER, BUSIEST))


def _repeats(source: Source) -> float:
    """Part of the pixels seen that are as their left neighbours; 0 for an image of one column."""
    samples = source.samples
    if samples.shape[1] < 2:
        return 0.0
    repeats = (samples[:, 1:] == samples[:, :-1]).all(axis=2)
    if source.opacity is None:
        return float(repeats.mean())
    seen = source.opacity[:, 1:]
    return float((repeats * seen).sum() / max(float(seen.sum()), 1.0))
