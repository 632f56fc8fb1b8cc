"""How a fit answers to lambda: what is still to come at a share of its schedule.

The constants are measured on photographs: fits of 250 and 500 steps at lambdas from 0.02 to
0.0002, and copies of them that went on from a share of the schedule with another lambda.
`docs/RECIPE.md` tells how far single pictures stray from them. They only make the search quick:
what is promised is checked on the file.
"""

from __future__ import annotations

from math import exp, log

from givre.coder.schedule import Recipe, learning_left

RATE_ELASTICITY = 0.47
"""Fall of log(latent bits) for a rise of log(lambda) by 1, in a fit from its start."""

PSNR_ELASTICITY = 2.7
"""Fall of the PSNR in dB, likewise."""

_RATE_LAG, _PSNR_LAG = 0.065, 0.05
"""Shares of the schedule after which half of the answer to a change of lambda is there."""


def start_change(is_quality: bool, lmbda: float, bpp: float) -> float:
    """Fall of log(latent bits), or of the PSNR in dB, from a prior's start to the end of the fit.

    Args:
        is_quality: the PSNR is meant; it rises, so its fall is below 0.
        lmbda: of the fit; the prior is the one for it.
        bpp: of the latents at the start.
    """
    if is_quality:
        return -4.4 - 2.1 * max(0.0, log(0.02 / lmbda))
    return 0.58 * exp(-0.3 * bpp)


def pending_change(is_quality: bool, share: float, lmbda: float, bpp: float, steps: int) -> float:
    """The same from a share of the schedule on, if lambda stays as it is and was.

    Args:
        is_quality: as above.
        share: of the schedule that is done, from a tenth on.
        lmbda: of the fit.
        bpp: of the latents now.
        steps: of the whole fit.
    """
    if not is_quality:
        return float(0.58 * exp(-0.6 * bpp) * (1 - share) ** 1.7)
    first = 1 + 10 * exp(-23 * share)  # up to a fifth of the steps far more is to come
    short = (250 / max(steps, 100)) ** 0.3
    return float(-0.62 * min((0.02 / lmbda) ** 0.3, 6.0) * first * short * (1 - share) ** 2)


def susceptibility(share: float) -> float:
    """Part of a change of lambda at a share of the schedule that still takes effect, 0 to 1.

    It goes with the learning rates that are left.
    """
    left = learning_left(Recipe(), share) / learning_left(Recipe(), 0.0)
    return float(left ** (1 / 3))


def settled(is_quality: bool, elapsed: float) -> float:
    """Part of the effect of a change of lambda that is there some time later, 0 to 1.

    Args:
        is_quality: of the effect on the PSNR, not on the rate.
        elapsed: share of the schedule since the change.
    """
    return elapsed / (elapsed + (_PSNR_LAG if is_quality else _RATE_LAG))
