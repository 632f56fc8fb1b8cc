"""How a fit answers to lambda: what is still to come at a share of its schedule.

The constants are measured on photographs: fits of 250 and 500 steps at lambdas from 0.02 to
0.0002, and copies of them that went on from a share of the schedule with another lambda.
`docs/RECIPE.md` tells how far single pictures stray from them. They only make the search quick:
what is promised is checked on the file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import exp, log
from typing import ClassVar

from givre.coder.fitting.schedule import Recipe, learning_left


def susceptibility(share: float) -> float:
    """Part of a change of lambda at a share of the schedule that still takes effect, 0 to 1.

    It goes with the learning rates that are left.
    """
    left = learning_left(Recipe(), share) / learning_left(Recipe(), 0.0)
    return float(left ** (1 / 3))


class FitResponse(ABC):
    """How one quantity of a fit, which falls as lambda rises, answers to it.

    Attributes:
        elasticity: fall for a rise of log(lambda) by 1, in a fit from its start.
        lag: share of the schedule after which half of the answer to a change of lambda is there.
        chance: how much of a change may be chance: small files move in leaps.
    """

    elasticity: ClassVar[float]
    lag: ClassVar[float]
    chance: ClassVar[float]

    @abstractmethod
    def start_change(self, lmbda: float, bpp: float) -> float:
        """Fall of the quantity from a prior's start to the end of the fit.

        Args:
            lmbda: of the fit; the prior is the one for it.
            bpp: of the latents at the start.
        """

    @abstractmethod
    def pending_change(self, share: float, lmbda: float, bpp: float, steps: int) -> float:
        """The same from a share of the schedule on, if lambda stays as it is and was.

        Args:
            share: of the schedule that is done, from a tenth on.
            lmbda: of the fit.
            bpp: of the latents now.
            steps: of the whole fit.
        """

    def settled(self, elapsed: float) -> float:
        """Part of the effect of a change of lambda that is there some time later, 0 to 1.

        Args:
            elapsed: share of the schedule since the change.
        """
        return elapsed / (elapsed + self.lag)


class RateResponse(FitResponse):
    """The logarithm of the latents' bits."""

    elasticity = 0.47
    lag = 0.065
    chance = 0.01

    def start_change(self, lmbda: float, bpp: float) -> float:
        """Less where the rate is high; lambda makes no difference."""
        return 0.58 * exp(-0.3 * bpp)

    def pending_change(self, share: float, lmbda: float, bpp: float, steps: int) -> float:
        """Less where the rate is high; neither lambda nor the steps make a difference."""
        return float(0.58 * exp(-0.6 * bpp) * (1 - share) ** 1.7)


class QualityResponse(FitResponse):
    """The PSNR in dB. It rises in a fit, so its fall is below 0."""

    elasticity = 2.7
    lag = 0.05
    chance = 0.05

    def start_change(self, lmbda: float, bpp: float) -> float:
        """More at a small lambda, whatever the rate."""
        return -4.4 - 2.1 * max(0.0, log(0.02 / lmbda))

    def pending_change(self, share: float, lmbda: float, bpp: float, steps: int) -> float:
        """More at a small lambda and in a short fit, whatever the rate."""
        first = 1 + 10 * exp(-23 * share)  # up to a fifth of the steps far more is to come
        short = (250 / max(steps, 100)) ** 0.3
        return float(-0.62 * min((0.02 / lmbda) ** 0.3, 6.0) * first * short * (1 - share) ** 2)
