"""Where a fit with a target begins: its first lambda, and what the file needs beside latents."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from givre.coder.fitting.checkpoint import architecture_for
from givre.coder.fitting.overfit import nearest_start
from givre.coder.fitting.prior_choice import PRIOR_LMBDAS, learned_at
from givre.coder.fitting.schedule import Recipe
from givre.coder.fitting.screen_content import comparable_lmbda
from givre.coder.fitting.settings import FitSettings
from givre.coder.psnr import psnr_db
from givre.coder.quantisation.rounds import expected_saving
from givre.coder.rate_control.correction import Probe, first_lmbda, parameter_bits_guess
from givre.coder.rate_control.goal import Goal
from givre.models.architecture import tensor_specs

_HEADER_BITS = 190.0


def starting_lmbda(
    samples: NDArray[np.uint8], settings: FitSettings, goal: Goal, recipe: Recipe
) -> float:
    """Lambda to begin with, from a look at where fits of several lambdas would begin.

    To be called inside `fitting_threads`.
    """
    height, width, channels = samples.shape
    pixels = height * width
    probes: list[Probe] = []
    tried: set[int] = set()
    if channels == 3 and settings.prior != 0:
        for lmbda in PRIOR_LMBDAS.values():
            chosen, trainer = nearest_start(samples, replace(settings, lmbda=lmbda), recipe)
            if not chosen.prior or chosen.prior in tried:
                continue
            tried.add(chosen.prior)
            found = trainer.evaluate()
            other = other_bits(goal, chosen, samples)
            excess = goal.excess(found.bpp * pixels, other, psnr_db(found.mse), pixels)
            # Fits from this prior end as photographs do at its own lambda.
            suited = learned_at(chosen.prior) * lmbda / comparable_lmbda(samples, lmbda)
            probes.append(Probe(suited, excess, found.bpp))
    bpp = 8 * goal.value / pixels if goal.kind == "size" else goal.value
    return first_lmbda(goal, probes, bpp)


def other_bits(
    goal: Goal,
    settings: FitSettings,
    samples: NDArray[np.uint8],
    parameter_bits: float | None = None,
) -> float:
    """Guess of the bits of header and parameters in the file that the goal asks for.

    What is saved by moving single latents at the end is taken off.

    Args:
        goal: what to meet.
        settings: of the fit.
        samples: the image, uint8 (H, W, C).
        parameter_bits: of the parameters, if more is known of them than the goal tells.
    """
    height, width, channels = samples.shape
    total = 8 * goal.value if goal.kind == "size" else goal.value * height * width
    if parameter_bits is None:
        specs = tensor_specs(architecture_for(settings, width, height, channels))
        parameter_bits = parameter_bits_guess(total, sum(spec.size for spec in specs))
    other = _HEADER_BITS + parameter_bits
    return other - expected_saving(settings) * max(0.0, total - other)
