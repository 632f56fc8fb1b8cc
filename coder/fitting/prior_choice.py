"""Which prior a fit starts from and is coded against."""

from __future__ import annotations

from collections.abc import Iterable
from math import log

from givre.bitstream.priors import NO_PRIOR, PRIOR_HASHES, Prior, load_prior
from givre.coder.fitting.settings import FitSettings
from givre.errors import UsageError
from givre.models.architecture import Architecture, architecture_name, tensor_specs

PRIOR_LMBDAS = {1: 0.02, 2: 0.004, 3: 0.001, 4: 0.0004}
"""Prior's number to the lambda that it was learned at, for every complexity point."""

SMALL_PRIORS = {3: 5}
"""Prior's number to that of one which was learned at the same lambda on small pictures. Where a
complexity point has it, it takes the other's place on images of up to `FEW_PIXELS` pixels."""

FARTHEST = 3.0
"""A prior serves lambdas up to so many times its own, whatever the size of the image."""

SMALL_PIXELS = 1 << 17
"""Up to so many pixels it serves every lambda: its parameters are a large part of the file.

A large image at a far higher lambda is better off with a decoder of its own: one that was learned
for more bits keeps too many latents alive.
"""

FEW_PIXELS = 1 << 15
"""Up to so many pixels the parameters weigh most, and what is done for them differs: the groups of
`HELD_GROUPS` stay at the prior while a fit goes on, `SMALL_PRIORS` serve, a coarser prior is tried,
and parameters are quantised more than once. Larger images gained nothing by it, or it was not tried
there."""

HELD_GROUPS = {"hop": ("synthesis.hidden",)}
"""By complexity point: what they could gain on a small image costs more in the file. Smaller points
have no such group."""

CLEARLY_BETTER = 2 / 3
"""Loss of a coarser prior's start, relative to the nearest one's, below which it is taken. Smooth
images need fewer bits than those that the nearest one was learned on: below 2/3, files of 500 steps
were 8 to 10 % better at lambda 0.001; above, from 4 % better to 10 % worse. The losses are those of
`PRIOR_LMBDAS`' own priors: a start from one of `SMALL_PRIORS` does not tell."""


def prior_for(settings: FitSettings, arch: Architecture, pixels: int) -> Prior:
    """The prior of a fit: the one asked for, or the one that suits lambda and size.

    Args:
        settings: lambda, and the number of a prior if one is asked for.
        arch: of the decoder.
        pixels: of the image.

    Returns:
        The prior that was learned at the closest lambda; `NO_PRIOR` where the fit is better
        without, or where there is none for the architecture.

    Raises:
        UsageError: the prior asked for does not exist for the architecture.
        UnsupportedError: the installed prior is damaged.
    """
    point = architecture_name(arch)
    known_numbers = sorted(number for name, number in PRIOR_HASHES if name == point)
    if settings.prior is not None:
        if settings.prior not in (NO_PRIOR.number, *known_numbers):
            known = ", ".join(map(str, known_numbers)) or "none"
            raise UsageError(
                f"prior is {settings.prior}, those of this decoder are {known}; 0 is no prior"
            )
        return load_prior(arch, settings.prior)
    numbers = [number for number in known_numbers if number in PRIOR_LMBDAS]
    if not numbers:
        return NO_PRIOR
    nearest = nearest_prior(numbers, settings.lmbda)
    if settings.lmbda > FARTHEST * PRIOR_LMBDAS[nearest] and pixels > SMALL_PIXELS:
        return NO_PRIOR
    return load_prior(arch, prior_for_size(arch, nearest, pixels))


def nearest_prior(numbers: Iterable[int], lmbda: float) -> int:
    """The one of several priors that was learned at the lambda closest by ratio."""
    return min(numbers, key=lambda number: abs(log(PRIOR_LMBDAS[number] / lmbda)))


def learned_at(number: int) -> float:
    """The lambda that a prior of 1 to 15 was learned at."""
    return PRIOR_LMBDAS[prior_for_any_size(number)]


def coarser_prior(arch: Architecture, number: int) -> int | None:
    """The prior of `PRIOR_LMBDAS` with the next larger lambda; None if there is none, as for 0."""
    coarser = number - 1
    return coarser if (architecture_name(arch), coarser) in PRIOR_HASHES else None


def prior_for_size(arch: Architecture, number: int, pixels: int) -> int:
    """The prior that takes the place of one of `PRIOR_LMBDAS` on images of so many pixels."""
    small = SMALL_PRIORS.get(number)
    if small is None or pixels > FEW_PIXELS or (architecture_name(arch), small) not in PRIOR_HASHES:
        return number
    return small


def prior_for_any_size(number: int) -> int:
    """The prior of `PRIOR_LMBDAS` whose place this one may take."""
    return next((general for general, small in SMALL_PRIORS.items() if small == number), number)


def held_tensors(arch: Architecture, prior: Prior, pixels: int) -> frozenset[str]:
    """Names of the tensors that stay at the prior while an image of so many pixels is fitted."""
    if pixels > FEW_PIXELS:
        return frozenset()
    groups = HELD_GROUPS.get(architecture_name(arch) or "", ())
    specs = tensor_specs(arch)
    return frozenset(s.name for s in specs if s.group in groups and s.name in prior.integers)
