"""The schedule of a fit: learning rate, softness of the rounding and noise at every step."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi


@dataclass(frozen=True)
class Recipe:
    """Constants of the fit. The schedule stretches with the number of steps.

    Attributes:
        learning_rate: of the latents at the start.
        final_learning_rate: at the end.
        decay_power: of the cosine in between; below 1 the rate stays high for longer.
        temperature: of the soft rounding, from the start to the end.
        noise: standard deviation added between the two soft rounds, likewise.
        clip_norm: largest norm of the networks' gradient.
        warmup_steps: over which the learning rate rises, at most a tenth of the steps.
        validation_interval: steps between two evaluations with rounded latents.
        network_pace: the networks' learning rate relative to that of the latents.
        parameter_weight: of the parameters' rate in the loss, relative to that of the latents.
        rate_start: weight of all rate at the first step, relative to lambda.
        rate_share: part of the steps, from the first on, over which it falls to 1.
    """

    learning_rate: float = 2e-2
    final_learning_rate: float = 1e-5
    decay_power: float = 0.7
    temperature: tuple[float, float] = (0.5, 0.08)
    noise: tuple[float, float] = (0.27, 0.15)
    clip_norm: float = 0.1
    warmup_steps: int = 20
    validation_interval: int = 50
    network_pace: float = 0.5
    parameter_weight: float = 1.0
    rate_start: float = 1.4
    rate_share: float = 0.5


@dataclass(frozen=True)
class StepPlan:
    """What one step does.

    Attributes:
        learning_rate: of the latents; the networks' is `Recipe.network_pace` times that.
        temperature: of the soft rounding.
        noise: standard deviation between the two soft rounds.
        rate: weight of all rate, relative to lambda.
        validate: evaluate the model with rounded latents after the step.
    """

    learning_rate: float
    temperature: float
    noise: float
    rate: float
    validate: bool


def plan_step(recipe: Recipe, step: int, steps: int) -> StepPlan:
    """Plan of step `step` (0-based) of a fit of `steps` steps.

    After a short warm-up the learning rate falls from `learning_rate` towards
    `final_learning_rate` as a power of a cosine; temperature and noise are linear. The weight of
    the rate falls linearly, then stays at 1.
    """
    share = step / steps
    warmup = min(recipe.warmup_steps, steps // 10)
    left = _decay(recipe, share)
    rate = _linear(recipe.final_learning_rate, recipe.learning_rate, left)
    return StepPlan(
        learning_rate=rate * min(1.0, (step + 1) / (warmup + 1)),
        temperature=_linear(*recipe.temperature, share),
        noise=_linear(*recipe.noise, share),
        rate=_linear(recipe.rate_start, 1.0, min(1.0, share / recipe.rate_share)),
        validate=(step + 1) % recipe.validation_interval == 0 or step + 1 == steps,
    )


def learning_left(recipe: Recipe, share: float) -> float:
    """Sum of the learning rates from a share of the schedule to its end.

    In units of the first one times the number of steps: 0.5 for all of a plain cosine.
    """
    ends = [share + (1 - share) * i / _INTERVALS for i in range(_INTERVALS + 1)]
    heights = [_decay(recipe, end) for end in ends]
    return (sum(heights) - 0.5 * (heights[0] + heights[-1])) * (1 - share) / _INTERVALS


_INTERVALS = 64


def _decay(recipe: Recipe, share: float) -> float:
    return float((0.5 * (1 + cos(pi * min(share, 1.0)))) ** recipe.decay_power)


def _linear(start: float, end: float, share: float) -> float:
    return start + (end - start) * share


def gain_for_lmbda(lmbda: float) -> float:
    """Encoder gain: what the fitted latents are multiplied by before rounding.

    The gain is the effective learning rate of the latents. High rates need larger latents.
    """
    if lmbda < 2e-4:
        return 24.0
    return 20.0 if lmbda < 5e-4 else 16.0
