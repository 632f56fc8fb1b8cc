"""How much work may follow a fit: a table, in proportion to the fit itself.

All of it is decided by the steps and the pixels, never by a clock, so that a file does not depend
on how fast the machine is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from givre.coder.fitting.fit_kernels import FEWEST_STEPS_TO_MOVE
from givre.coder.fitting.prior_choice import FEW_PIXELS
from givre.coder.fitting.progress import Following
from givre.coder.quantisation.latent_descent import Descent


@dataclass(frozen=True)
class Spending:
    """What may be spent on what follows a fit.

    Attributes:
        latents: of each grid, that the curvature of the rate is taken from.
        pixels: that the curvature of the distortion is taken from.
        polishing: Newton steps before parameters are rounded.
        moves: most changes of steps whose true cost is found, between two roundings.
        trials: how often the integers are rounded anew on the steps that were found.
        improving: descents with the slope of the true cost, after that.
        passes_before: over the latents, before the parameters are quantised.
        passes_after: over the latents, after each quantisation.
        descent: how thorough these passes are.
        rounds: quantisations, of which the best is kept.
    """

    latents: int
    pixels: int
    polishing: int
    moves: int
    trials: int
    improving: int
    passes_before: int
    passes_after: int
    descent: Descent
    rounds: int


_QUICK = Descent(slack=1.0, silent=1.2, probes=2)
"""Two thirds of the time of the thorough descent, and 0.1 % of the loss."""

BRIEF = Spending(512, 1536, 8, 40, 1, 5, 0, 0, _QUICK, 1)
"""After a fit that is too short for its latents to be moved."""

MODERATE = replace(BRIEF, passes_after=1)
"""After a fit of some hundred steps, of whose time it is a good part already."""

CAREFUL_STEPS = 1000
"""Steps from which a little more is worth its time."""

CAREFUL = replace(MODERATE, passes_before=1, moves=120, trials=2, improving=8)
"""A seventh of a fit of 1,000 steps of 256x256 pixels. On six crops the files' loss was 0.2 % lower
than with `MODERATE`, which took a ninth, and 0.25 % higher than with `THOROUGH`, a quarter."""

THOROUGH = Spending(4096, 4096, 8, 400, 4, 8, 1, 1, Descent(), 1)
"""A tenth of a longer fit."""

_LARGE_PIXELS = 1 << 18
_LARGE_LATENTS, _LARGE_SAMPLE, _LARGE_MOVES = 1024, 4096, 20
"""A sample for images of so many pixels, next to which it takes no time."""

_HUGE_PIXELS = 1 << 20
_HUGE_POLISHING, _HUGE_MOVES, _HUGE_IMPROVING = 3, 6, 2
"""The steps that pass over the whole image, one by one a third of a second a megapixel: from so
many pixels on they are few after a short fit."""

_OVERHEAD_PIXELS = 6000
"""What a step takes besides, as pixels: it takes so many, plus those of the image."""

_THOROUGH_WORK, _THOROUGH_STEPS = 180_000_000, 300
"""The thorough way takes as long as a tenth of so many pixels times steps, and of so many steps."""

_ROUND_PIXELS = 3_400_000
"""What a round takes besides its passes over the image, as pixels of a step."""

_VISIT, _OTHER_VISITS = 1.4, 4
"""Time of a pass of the search over the image, in steps, and how many there are besides."""

_QUICK_PASS, _THOROUGH_PASS = 36.0, 70.0
"""Time of a pass that moves latents, in steps."""

_WRITING, _WRITING_PIXELS = 5.0, 200_000
"""Time of writing and checking a file, in steps, and what it takes besides."""

_ROUND_WORK = 32_000_000
"""A round takes as long as a tenth of so many pixels times steps."""

_MOST_ROUNDS, _MORE_ROUNDS_STEPS = 3, 1500
"""Rounds of images of few pixels, after fits of so many steps: the loss of the file falls by
0.45 %; that of a large image only by 0.05 %."""

_LONG_FIT = 4000
"""Steps from which a second pass over the latents takes little time next to the fit itself. The
loss falls by another 0.1 to 0.2 %; a third pass hardly changes it."""


def spending_for(steps: int, pixels: int) -> Spending:
    """What may be spent after a fit.

    Args:
        steps: of the fit.
        pixels: of the image.
    """
    work, rounds = steps * (pixels + _OVERHEAD_PIXELS), 1
    if pixels <= FEW_PIXELS and steps >= _MORE_ROUNDS_STEPS:
        rounds = min(_MOST_ROUNDS, 1 + work // _ROUND_WORK)
    if work >= rounds * (_THOROUGH_WORK + _THOROUGH_STEPS * pixels):
        found = THOROUGH
    elif steps >= CAREFUL_STEPS:
        found = CAREFUL
    elif steps >= FEWEST_STEPS_TO_MOVE:
        found = MODERATE
    else:
        found = BRIEF
    if found is not THOROUGH and pixels >= _LARGE_PIXELS:
        found = replace(found, latents=_LARGE_LATENTS, pixels=_LARGE_SAMPLE, moves=_LARGE_MOVES)
    if found is not THOROUGH and pixels >= _HUGE_PIXELS:
        found = replace(
            found, polishing=_HUGE_POLISHING, moves=_HUGE_MOVES, improving=_HUGE_IMPROVING
        )
    if steps >= _LONG_FIT:
        before, after = 2 * found.passes_before, 2 * found.passes_after
        found = replace(found, passes_before=before, passes_after=after)
    return replace(found, rounds=rounds)


def following(steps: int, pixels: int) -> Following:
    """How long what follows a fit takes, by rough figures of one machine.

    Args:
        steps: of the fit.
        pixels: of the image.
    """
    spending = spending_for(steps, pixels)
    by_samples = (
        _ROUND_PIXELS * (spending.latents + spending.pixels) / (BRIEF.latents + BRIEF.pixels)
    )
    visits = spending.polishing + spending.improving + _OTHER_VISITS
    of_round = by_samples + visits * _VISIT * pixels
    passes = spending.passes_before + spending.rounds * spending.passes_after
    of_pass = _QUICK_PASS if spending.descent == _QUICK else _THOROUGH_PASS
    quantising = spending.rounds * of_round + passes * of_pass * pixels
    step = pixels + _OVERHEAD_PIXELS
    return Following(quantising / step, (_WRITING * pixels + _WRITING_PIXELS) / step)
