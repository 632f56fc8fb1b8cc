"""What a user may ask of a fit: lambda, length, complexity, seed, threads and device."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import isfinite, log

from givre.errors import UsageError
from givre.models.architecture import NAMED_POINTS
from givre.models.filters.initial import INITIAL_KERNELS

EFFORT_STEPS = (25, 60, 125, 250, 500, 1000, 2000, 4000, 10_000, 30_000)
"""Steps of the effort levels 0 to 9."""

DEFAULT_EFFORT = 5

LMBDA_WORST, LMBDA_BEST = 0.05, 1e-5
"""Lambda of quality 0 and of quality 100."""

MAX_STEPS = 10_000_000

KERNELS = ("auto", "reference", "fused")
"""What may compute: `reference` is plain torch and NumPy, `fused` is compiled for the CPU, and
`auto` takes the fused kernels where they run."""


@dataclass(frozen=True)
class FitSettings:
    """Everything that decides the outcome of a fit, given the image.

    Attributes:
        lmbda: weight of the rate in the loss MSE + lmbda * bpp, with the MSE over samples in
            [0, 1]; 0.02, 0.004, 0.001, 0.0004 and 0.0001 span 0.1 to 1.4 bpp on photographs.
        steps: length of the fit, at least 1.
        complexity: named point of the decoder, `lop`, `mop`, `hop` or `vhop`.
        seed: of the start values and of the noise.
        threads: 0 for all cores. Two fits agree to the byte when the threads agree.
        device: where to fit, as torch names it.
        kernels: what computes, `reference` (plain torch), `fused` (compiled, CPU only) or `auto`.
            Only compiled kernels can move single latents after the fit.
        ups_init: interpolation that the upsampling filters start from, one of
            `initial_kernels.INITIAL_KERNELS`; None for the rule by their size. It only starts the
            fit: filters are learned, and the file holds the learned ones.
        prior: number of the prior that the networks start from and are coded against, 0 for
            none; None for the one that was learned at the closest lambda.

    Raises:
        UsageError: a value is out of range.
    """

    lmbda: float = 1e-3
    steps: int = EFFORT_STEPS[DEFAULT_EFFORT]
    complexity: str = "hop"
    seed: int = 0
    threads: int = 0
    device: str = "cpu"
    kernels: str = "auto"
    ups_init: str | None = None
    prior: int | None = None

    def __post_init__(self) -> None:
        if not (isfinite(self.lmbda) and 0 < self.lmbda <= 10):
            raise UsageError(f"lambda is {self.lmbda}, it must be above 0 and at most 10")
        if not 1 <= self.steps <= MAX_STEPS:
            raise UsageError(f"steps is {self.steps}, it must be 1 to {MAX_STEPS}")
        if self.complexity not in NAMED_POINTS:
            points = ", ".join(NAMED_POINTS)
            raise UsageError(f"complexity is {self.complexity!r}, it must be one of {points}")
        if not 0 <= self.seed < 1 << 32:
            raise UsageError(f"seed is {self.seed}, it must be 0 to {(1 << 32) - 1}")
        check_threads(self.threads)
        check_kernels(self.kernels)
        if self.ups_init is not None and self.ups_init not in INITIAL_KERNELS:
            names = ", ".join(INITIAL_KERNELS)
            raise UsageError(f"ups_init is {self.ups_init!r}, it must be one of {names}")
        if self.prior is not None and not 0 <= self.prior <= 15:
            raise UsageError(f"prior is {self.prior}, it must be 0 (none) to 15")


def check_threads(threads: int) -> None:
    """Raise UsageError unless `threads` is 0 (all cores) to 256."""
    if not 0 <= threads <= 256:
        raise UsageError(f"threads is {threads}, it must be 1 to 256, or 0 for all cores")


def check_kernels(kernels: str) -> None:
    """Raise UsageError unless `kernels` is one of KERNELS."""
    if kernels not in KERNELS:
        raise UsageError(f"kernels is {kernels!r}, it must be one of {', '.join(KERNELS)}")


def resolve_threads(threads: int) -> int:
    """Number of threads to use: `threads`, or the cores this process may run on when it is 0."""
    if threads:
        return threads
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def lmbda_for_quality(quality: float) -> float:
    """Lambda for a quality between 0 (smallest file) and 100, log-linear.

    Quality 50 is about lambda 0.0007. Raises UsageError when out of range.
    """
    if not (isfinite(quality) and 0 <= quality <= 100):
        raise UsageError(f"quality is {quality}, it must be 0 to 100")
    share = quality / 100
    if share in (0.0, 1.0):  # the ends exactly, whatever exp and log round to
        return LMBDA_BEST if share else LMBDA_WORST
    return float(LMBDA_WORST ** (1 - share) * LMBDA_BEST**share)


def quality_for_lmbda(lmbda: float) -> float:
    """Inverse of `lmbda_for_quality`, not limited to 0 .. 100."""
    return 100 * log(lmbda / LMBDA_WORST) / log(LMBDA_BEST / LMBDA_WORST)
