"""What lambda a fit needs so that its file meets a goal.

Pure arithmetic: from an excess that was measured (see `givre.coder.rate_control.goal`) to the
lambda to try next. How fits answer to lambda is known from
`givre.coder.rate_control.lmbda_response`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import exp, log

from givre.coder.rate_control.goal import Goal
from givre.coder.rate_control.lmbda_response import susceptibility

LMBDA_LOWEST, LMBDA_HIGHEST = 1e-6, 10.0
"""Range of lambda within which a target is looked for."""

CHECKS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
"""Shares of the schedule at which lambda is adjusted in the fit."""

REWINDS = (0.3, 0.5, 0.65, 0.8, 0.88)
"""Shares of the schedule to which the latents can go back after it."""

_LARGEST_CHANGE = 1.2
"""Of log(lambda), from one pass to the next, unless more than twice as much is needed."""

_LARGEST_CHANGES_IN_FIT = (0.5, 0.8)
"""The same at the first check of a fit, when little has settled yet, and at the later ones."""

_MILD_CHANGE = 0.4
"""Change of log(lambda) that latents can follow at next to no loss after going back a little."""


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
    response = goal.response
    if not probes:
        if goal.is_quality:
            return clamp_lmbda(log(0.004) - (goal.value - 32) / response.elasticity)
        return clamp_lmbda(log(0.0015) - log(bpp / 0.5) / response.elasticity)
    points = sorted(
        (log(p.lmbda), p.excess - response.start_change(p.lmbda, p.bpp)) for p in probes
    )
    low, high = points[0], points[-1]
    if low[1] <= 0:
        return clamp_lmbda(low[0] + low[1] / response.elasticity)
    for left, right in pairwise(points):
        if right[1] <= 0:  # the sign changes between these two
            share = left[1] / (left[1] - right[1])
            return clamp_lmbda(left[0] + share * (right[0] - left[0]))
    return clamp_lmbda(high[0] + high[1] / response.elasticity)


def clamp_lmbda(log_lmbda: float) -> float:
    """Lambda from its logarithm, within the range."""
    return min(max(exp(min(log_lmbda, 5.0)), LMBDA_LOWEST), LMBDA_HIGHEST)


@dataclass
class Steering:
    """Adjusts lambda while a fit goes on.

    The answer to a change comes slowly: what earlier changes have not yet brought about is not
    asked for again, or lambda would swing to and fro.

    Attributes:
        goal: what to meet.
        steps: of the whole fit.
    """

    goal: Goal
    steps: int
    _changes: list[tuple[float, float]] = field(default_factory=list)

    def next(self, lmbda: float, excess: float, share: float, bpp: float) -> float:
        """Lambda from here on.

        Args:
            lmbda: so far.
            excess: now, with rounded latents.
            share: of the schedule that is done.
            bpp: of the latents now.
        """
        response = self.goal.response
        pending = response.pending_change(share, lmbda, bpp, self.steps)
        for earlier, change in self._changes:
            unsettled = 1 - response.settled(share - earlier)
            pending += response.elasticity * susceptibility(earlier) * change * unsettled
        largest = _LARGEST_CHANGES_IN_FIT[share > CHECKS[0]]
        wanted = (excess - pending) / (response.elasticity * susceptibility(share))
        found = clamp_lmbda(log(lmbda) + min(max(wanted, -largest), largest))
        self._changes.append((share, log(found / lmbda)))
        return found


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
        responsiveness: of the latents alone, relative to that of a whole fit; learned for the
            image from every correction.
    """

    goal: Goal
    responsiveness: float = 0.85

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
        response = self.goal.response
        expected = response.elasticity * susceptibility(done.share) * change
        seen = min(max((excess - found) / expected, 0.25), 3.0)
        trust = expected**2 / (expected**2 + response.chance**2)
        self.responsiveness *= (seen / self.responsiveness) ** trust

    def _change(self, excess: float, share: float) -> float:
        slope = self.goal.response.elasticity * susceptibility(share) * self.responsiveness
        return excess / slope


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

    With hop an eighth of a small file; beyond some 4,000 bytes they grow more slowly.
    """
    relative = total_bits / 34_000
    return 2.3 * n_parameters * min(relative, exp(0.4 * log(relative)))
