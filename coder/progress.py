"""What a long fit tells while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """State of a fit after a step.

    Attributes:
        step: steps done.
        steps: steps in all.
        bpp: bits per pixel of the best model so far, by the entropy model's estimate.
        psnr_db: its PSNR before the parameters are quantised.
        seconds: time spent, earlier runs of a resumed fit included.
        eta_seconds: estimate of the time left.
    """

    step: int
    steps: int
    bpp: float
    psnr_db: float
    seconds: float
    eta_seconds: float


ProgressListener = Callable[[Progress], None]
