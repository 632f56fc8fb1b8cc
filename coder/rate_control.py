"""What lambda a fit needs so that its file meets a rate, a size or a quality.

Pure arithmetic: from what was measured to the lambda to try next. Everything is judged by one
number, the *excess*, which is above zero where the file is too large or too good, so that lambda
has to rise. A rate's excess is the logarithm of the latents' bits over those that may be spent; a
quality's is the difference in dB.

The constants describe how fits behave on photographs. They only make the search quick: what is
promised is checked on the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, isfinite, log, sqrt

from givre.coder.schedule import Recipe, learning_left
from givre.errors import UsageError

LMBDA_LOWEST, LMBDA_HIGHEST = 1e-6, 10.0
"""Range of lambda within which a target is looked for."""

BPP_TOLERANCE = 0.02
"""Largest relative error of a rate, and how far below its limit a size should stay at most."""

PSNR_TOLERANCE = 0.1
"""Largest error of a quality, in dB."""

CHECKS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
"""Shares of the schedule at which lambda is adjusted in the fit."""

REWINDS = (0.3, 0.5, 0.65, 0.8, 0.88)
"""Shares of the schedule to which the latents can go back after it."""

_SIZE_AIM = 0.99
"""A size may not be exceeded, so the aim lies below it."""

_RATE_ELASTICITY = 0.55
"""Fall of log(latent bits) for a rise of log(lambda) by 1, in a fit from its start."""

_PSNR_ELASTICITY = 2.8
"""Fall of the PSNR in dB, likewise."""

_PERFECT_DB = 120.0
"""Stands for an infinite PSNR."""

_LARGEST_CHANGE = 1.2
"""Of log(lambda), from one pass to the next, unless more than twice as much is needed."""

_LARGEST_CHANGES_IN_FIT = (0.5, 0.8)
"""The same at the first check of a fit, when little has settled yet, and at the later ones."""

_MILD_CHANGE = 0.4
"""Change of log(lambda) that latents can follow at next to no loss after going back a little."""

_LEAST_SHARE_FOR_LATENTS = 0.05
"""Part of the bits that are thought to be left for latents, however large all else is."""


@dataclass(frozen=True)
class Goal:
    """What the file shall meet.

    Attributes:
        kind: `bpp` (bits a pixel of the whole file), `psnr` (dB) or `size` (bytes, not exceeded).
        value: above 0.

    Raises:
        UsageError: the kind is unknown or the value out of range.
    """

    kind: str
    value: float

    def __post_init__(self) -> None:
        if self.kind not in ("bpp", "psnr", "size"):
            raise UsageError(f"the target is {self.kind!r}, it must be bpp, psnr or size")
        if not (isfinite(self.value) and self.value > 0):
            raise UsageError(f"the target {self.kind} is {self.value}, it must be above 0")

    def __str__(self) -> str:
        unit = {"bpp": "bpp", "psnr": "dB", "size": "bytes"}[self.kind]
        return f"{self.value:g} {unit}" if self.kind != "size" else f"{self.value:.0f} {unit}"

    @property
    def is_quality(self) -> bool:
        """Whether it is a PSNR and not a rate."""
        return self.kind == "psnr"

    def admits(self, size: int, psnr_db: float, pixels: int) -> bool:
        """Whether a file of `size` bytes and this quality may be the result."""
        if self.kind == "size":
            return size <= self.value
        if self.kind == "bpp":
            return abs(8 * size / pixels / self.value - 1) <= BPP_TOLERANCE
        return abs(psnr_db - self.value) <= PSNR_TOLERANCE

    def meets(self, size: int, psnr_db: float, pixels: int) -> bool:
        """Whether such a file is as close as it shall be; never without `admits`."""
        close = self.kind != "size" or size >= (1 - BPP_TOLERANCE) * self.value
        return close and self.admits(size, psnr_db, pixels)

    def excess(self, latent_bits: float, other_bits: float, psnr_db: float, pixels: int) -> float:
        """How much too large or too good, of log(bits) or in dB.

        Args:
            latent_bits: of the latents.
            other_bits: of everything else in the file.
            psnr_db: of the decoded image.
            pixels: of the image.
        """
        if self.is_quality:
            return min(psnr_db, _PERFECT_DB) - self.value
        total = self.value * pixels if self.kind == "bpp" else _SIZE_AIM * 8 * self.value
        spendable = max(total - other_bits, _LEAST_SHARE_FOR_LATENTS * total)
        return log(max(latent_bits, 1.0) / spendable)

    def miss(self, size: int, psnr_db: float, pixels: int) -> float:
        """How far a file is from the goal, of the rate or in dB; above 0: too large or too good."""
        if self.is_quality:
            return min(psnr_db, _PERFECT_DB) - self.value
        return 8 * size / pixels / self.value - 1 if self.kind == "bpp" else size / self.value - 1

    @property
    def elasticity(self) -> float:
        """Fall of the excess for a rise of log(lambda) by 1, over a whole fit."""
        return _PSNR_ELASTICITY if self.is_quality else _RATE_ELASTICITY


@dataclass(frozen=True)
class Probe:
    """What a start of a fit gives before its first step.

    Attributes:
        lmbda: that the start was made for.
        excess: of it.
        bpp: of its latents.
    """

    lmbda: float
    excess: float
    bpp: float


def first_lmbda(goal: Goal, probes: Sequence[Probe], bpp: float) -> float:
    """Lambda to begin with.

    Args:
        goal: what to meet.
        probes: starts for several lambdas; none where the start says nothing about the image.
        bpp: that the goal asks for, if it is a rate.
    """
    if not probes:
        if goal.is_quality:
            return clamp_lmbda(log(0.004) - (goal.value - 32) / _PSNR_ELASTICITY)
        return clamp_lmbda(log(0.0015) - log(bpp / 0.5) / _RATE_ELASTICITY)
    points = sorted(
        (log(p.lmbda), p.excess - pending_fall(goal, 0.0, p.lmbda, p.bpp, 250)) for p in probes
    )
    low, high = points[0], points[-1]
    if low[1] <= 0:
        return clamp_lmbda(low[0] + low[1] / goal.elasticity)
    for left, right in pairwise(points):
        if right[1] <= 0:  # the sign changes between these two
            share = left[1] / (left[1] - right[1])
            return clamp_lmbda(left[0] + share * (right[0] - left[0]))
    return clamp_lmbda(high[0] + high[1] / goal.elasticity)


def clamp_lmbda(log_lmbda: float) -> float:
    """Lambda from its logarithm, within the range."""
    return min(max(exp(min(log_lmbda, 5.0)), LMBDA_LOWEST), LMBDA_HIGHEST)


def pending_fall(goal: Goal, share: float, lmbda: float, bpp: float, steps: int) -> float:
    """By how much the excess will still fall from here to the end of the fit at this lambda.

    A rate falls, a quality rises, by what goes with the square of the share that is left.

    Args:
        goal: whose excess.
        share: of the schedule that is done.
        lmbda: of the fit.
        bpp: of the latents now.
        steps: of the whole fit.
    """
    short = sqrt(150 / max(steps, 150))
    if goal.is_quality:
        if share == 0.0:  # the start is far worse than what the first steps make of it
            return -3.0 - 4.0 * max(0.0, log(0.02 / lmbda)) / log(50) * 2.5
        return -short * (1 - share) ** 2 * min(exp(-0.4 * log(lmbda / 0.004)), 5.0)
    if share == 0.0:
        return 0.25 + 0.06 * max(0.0, log(lmbda / 4e-4)) ** 2
    sparse = min(1 + 0.37 * max(0.0, log(lmbda / 0.004)), 2.2)
    return 1.6 * sparse * short * exp(-0.9 * bpp) * (1 - share) ** 2


def susceptibility(share: float) -> float:
    """Part of a change of lambda at a share of the schedule that still takes effect, 0 to 1.

    It goes with the learning rates that are left. Late changes have more effect than these alone
    would give, for single latents are moved after the fit.
    """
    left = learning_left(Recipe(), share)
    return min(1.0, max(1.25 * sqrt(left), 0.84 * sqrt(sqrt(left))))


def adjusted_lmbda(
    goal: Goal, lmbda: float, excess: float, share: float, bpp: float, steps: int
) -> float:
    """Lambda for the rest of a fit, from what is measured at a share of the schedule.

    Args:
        goal: what to meet.
        lmbda: so far.
        excess: now, with rounded latents.
        share: of the schedule that is done.
        bpp: of the latents now.
        steps: of the whole fit.
    """
    final = excess - pending_fall(goal, share, lmbda, bpp, steps)
    change = final / (goal.elasticity * susceptibility(share))
    largest = _LARGEST_CHANGES_IN_FIT[share > CHECKS[0]]
    return clamp_lmbda(log(lmbda) + min(max(change, -largest), largest))


@dataclass(frozen=True)
class Return:
    """Go back to a share of the schedule and on from there with another lambda."""

    share: float
    lmbda: float


@dataclass
class Search:
    """Corrections after the fit: where to go back to, and with what lambda.

    Attributes:
        goal: what to meet.
        responsiveness: of this image, relative to the constants; learned from every correction.
    """

    goal: Goal
    responsiveness: float = 1.0

    def next(
        self, lmbda: float, excess: float, affordable: float, shares: Sequence[float] = REWINDS
    ) -> Return:
        """The next correction.

        Args:
            lmbda: of the last pass.
            excess: that it ended with.
            affordable: share of the schedule that may be done again.
            shares: to which it is possible to go back, at least one.
        """
        known = sorted(shares)
        allowed = [s for s in known if 1 - s <= affordable + 1e-9] or known[-1:]
        mild = [s for s in allowed if abs(self._change(excess, s)) <= _mild_change(s)]
        share = mild[-1] if mild else allowed[0]
        change = self._change(excess, share)
        # A goal that is very far off, and perhaps out of reach, is to be found out soon.
        largest = max(_LARGEST_CHANGE, 0.5 * abs(change))
        change = min(max(change, -largest), largest)
        return Return(share, clamp_lmbda(log(lmbda) + change))

    def learn(self, lmbda: float, excess: float, done: Return, found: float) -> None:
        """Take in what a correction did: from `lmbda` and `excess`, it ended at `found`."""
        change = log(done.lmbda / lmbda)
        if abs(change) < 0.02:
            return
        expected = self.goal.elasticity * susceptibility(done.share) * change
        seen = (excess - found) / expected
        # Half of it is chance: small files move in leaps.
        self.responsiveness = sqrt(self.responsiveness * min(max(seen, 0.25), 3.0))

    def _change(self, excess: float, share: float) -> float:
        slope = self.goal.elasticity * susceptibility(share) * self.responsiveness
        return excess / slope


def first_responsiveness(goal: Goal, bpp: float) -> float:
    """What `Search.responsiveness` begins with: few bits answer to lambda more than many do."""
    return 1.0 if goal.is_quality else 1.5 - 0.5 * min(max(bpp - 0.5, 0.0), 1.0)


def _mild_change(share: float) -> float:
    """Change of log(lambda) that is mild enough from a share of the schedule on."""
    return _MILD_CHANGE + 0.5 * max(0.0, 0.8 - share)


def at_limit(lmbda: float, excess: float) -> bool:
    """Whether lambda would have to leave its range."""
    if excess > 0:
        return lmbda >= LMBDA_HIGHEST
    return lmbda <= LMBDA_LOWEST


def parameter_bits_guess(total_bits: float, n_parameters: int) -> float:
    """Bits of the parameters in a file of so many bits, before they are quantised.

    An eighth of a small file; beyond some 4,000 bytes they grow more slowly.
    """
    relative = total_bits / 34_000
    return 1.7 * n_parameters * min(relative, exp(0.4 * log(relative)))
