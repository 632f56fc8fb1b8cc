"""Where a fit with a target begins: its first lambda, and what the file needs beside latents."""

from __future__ import annotations

from dataclasses import replace

from givre.coder.fitting.context import FitContext, changed
from givre.coder.fitting.prior_choice import PRIOR_LMBDAS, learned_at
from givre.coder.fitting.screen_content import comparable_lmbda
from givre.coder.fitting.starting_point import starting_evaluation
from givre.coder.psnr import psnr_db
from givre.coder.quantisation.rounds import expected_saving
from givre.coder.rate_control.correction import Probe, first_lmbda, parameter_bits_guess
from givre.coder.rate_control.goal import Goal
from givre.models.architecture import tensor_specs

_HEADER_BITS = 190.0


def starting_lmbda(context: FitContext, asked: int | None, goal: Goal) -> float:
    """Lambda to begin with, from a look at where fits of several lambdas would begin.

    Args:
        context: of a fit with any lambda.
        asked: number of the prior that was asked for, None where it may be chosen.
        goal: what the file shall meet.
    """
    source, pixels = context.source, context.pixels
    probes: list[Probe] = []
    tried: set[int] = set()
    if asked != 0:
        for lmbda in PRIOR_LMBDAS.values():
            there = changed(context, replace(context.settings, lmbda=lmbda, prior=asked))
            number = there.prior.number
            if not number or number in tried:
                continue
            tried.add(number)
            found = starting_evaluation(there)
            quality = psnr_db(found.mse / source.seen)
            excess = goal.excess(found.bpp * pixels, other_bits(goal, there), quality, pixels)
            # Fits from this prior end as photographs do at its own lambda.
            suited = learned_at(number) * lmbda / comparable_lmbda(source, lmbda)
            probes.append(Probe(suited, excess, found.bpp))
    bpp = 8 * goal.value / pixels if goal.kind == "size" else goal.value
    return first_lmbda(goal, probes, bpp)


def other_bits(goal: Goal, context: FitContext, parameter_bits: float | None = None) -> float:
    """Guess of the bits of header and parameters in the file that the goal asks for.

    What is saved by moving single latents at the end is taken off.

    Args:
        goal: what to meet.
        context: of the fit.
        parameter_bits: of the parameters, if more is known of them than the goal tells.
    """
    total = 8 * goal.value if goal.kind == "size" else goal.value * context.pixels
    if parameter_bits is None:
        specs = tensor_specs(context.architecture)
        parameter_bits = parameter_bits_guess(total, sum(spec.size for spec in specs))
    other = _HEADER_BITS + parameter_bits
    saving = expected_saving(context.settings.steps, context.kernels)
    return other - saving * max(0.0, total - other)
