"""What a user may ask of a fit: lambda, length, complexity, seed, threads and device."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import log

from givre.coder.fitting.setting_table import (
    DEFAULT_EFFORT,
    DEFAULT_LMBDA,
    EFFORT_STEPS,
    SETTINGS,
)
from givre.errors import UsageError
from givre.models.architecture import (
    FIRST_HYPER_LEVEL,
    NAMED_POINTS,
    Architecture,
    default_grids,
)

LMBDA_WORST, LMBDA_BEST = 0.05, 1e-5
"""Lambda of quality 0 and of quality 100."""


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
            `models.filters.initial.INITIAL_KERNELS`; None for the rule by their size. It only
            starts the fit: filters are learned, and the file holds the learned ones.
        prior: number of the prior that the networks start from and are coded against, 0 for
            none; None for the one that was learned at the closest lambda.
        n_levels: main grids; None for as many as are usual for the size of the image. All tiles of
            a picture have the same number.

    Raises:
        UsageError: a value is out of range.
    """

    lmbda: float = DEFAULT_LMBDA
    steps: int = EFFORT_STEPS[DEFAULT_EFFORT]
    complexity: str = "hop"
    seed: int = 0
    threads: int = 0
    device: str = "cpu"
    kernels: str = "auto"
    ups_init: str | None = None
    prior: int | None = None
    n_levels: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name not in SETTINGS:  # not a user's choice
                continue
            SETTINGS[field.name].check(getattr(self, field.name))
        if self.complexity not in NAMED_POINTS:
            raise UsageError(f"complexity is {self.complexity!r}, it must be a named point here")


def architecture_for(settings: FitSettings, width: int, height: int, channels: int) -> Architecture:
    """Architecture of a fit: the named point, with the grids that the image's size asks for."""
    n_levels, n_hyper = default_grids(width, height)
    if settings.n_levels is not None:
        n_levels, n_hyper = settings.n_levels, settings.n_levels - FIRST_HYPER_LEVEL
    point = NAMED_POINTS[settings.complexity]
    return replace(point, n_levels=n_levels, n_hyper=n_hyper, n_channels=channels)


def lmbda_for_quality(quality: float) -> float:
    """Lambda for a quality between 0 (smallest file) and 100, log-linear.

    Quality 50 is about lambda 0.0007. Raises UsageError when out of range.
    """
    SETTINGS["quality"].check(quality)
    share = quality / 100
    if share in (0.0, 1.0):  # the ends exactly, whatever exp and log round to
        return LMBDA_BEST if share else LMBDA_WORST
    return float(LMBDA_WORST ** (1 - share) * LMBDA_BEST**share)


def quality_for_lmbda(lmbda: float) -> float:
    """Inverse of `lmbda_for_quality`, not limited to 0 .. 100."""
    return 100 * log(lmbda / LMBDA_WORST) / log(LMBDA_BEST / LMBDA_WORST)
