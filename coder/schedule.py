"""The schedule of a fit: learning rate, softness of the rounding and noise at every step."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi


@dataclass(frozen=True)
class Recipe:
    """Constants of the fit. The schedule stretches with the number of steps.

    Attributes:
        learning_rate: of the latents at the start of the main phase.
        final_learning_rate: at its end.
        temperature: of the soft rounding, from the start to the end of the main phase.
        noise: standard deviation added between the two soft rounds, likewise.
        hard_share: part of the steps at the end that see latents truly rounded.
        hard_learning_rate: at the start of that tail.
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
    temperature: tuple[float, float] = (0.5, 0.08)
    noise: tuple[float, float] = (0.27, 0.15)
    hard_share: float = 0.05
    hard_learning_rate: float = 1e-4
    clip_norm: float = 0.1
    warmup_steps: int = 20
    validation_interval: int = 50
    network_pace: float = 0.5
    parameter_weight: float = 1.0
    rate_start: float = 2.0
    rate_share: float = 0.5


@dataclass(frozen=True)
class StepPlan:
    """What one step does.

    Attributes:
        hard: latents are rounded, with a straight-through gradient.
        learning_rate: of the latents; the networks' is `Recipe.network_pace` times that.
        temperature: of the soft rounding.
        noise: standard deviation between the two soft rounds.
        rate: weight of all rate, relative to lambda.
        validate: evaluate the model with rounded latents after the step.
    """

    hard: bool
    learning_rate: float
    temperature: float
    noise: float
    rate: float
    validate: bool


def hard_steps(recipe: Recipe, steps: int) -> int:
    """Number of steps in the hard-rounding tail."""
    return int(steps * recipe.hard_share)


def plan_step(recipe: Recipe, step: int, steps: int) -> StepPlan:
    """Plan of step `step` (0-based) of a fit of `steps` steps.

    The main phase has a short warm-up, then a cosine from `learning_rate` to
    `final_learning_rate`; temperature and noise are linear. The tail has a cosine of its own. The
    weight of the rate falls linearly, then stays at 1.
    """
    tail = hard_steps(recipe, steps)
    main = steps - tail
    last = step + 1 == steps
    fallen = min(1.0, step / (recipe.rate_share * steps))
    weight = _linear(recipe.rate_start, 1.0, fallen)
    if step >= main:
        share = (step - main) / tail
        rate = _cosine(recipe.hard_learning_rate, recipe.final_learning_rate, share)
        due = (step + 1 - main) % recipe.validation_interval == 0
        return StepPlan(True, rate, recipe.temperature[1], 0.0, weight, due or last)
    share = step / main
    warmup = min(recipe.warmup_steps, steps // 10)
    rate = _cosine(recipe.learning_rate, recipe.final_learning_rate, share)
    rate *= min(1.0, (step + 1) / (warmup + 1))
    due = (step + 1) % recipe.validation_interval == 0 or step + 1 == main
    return StepPlan(
        hard=False,
        learning_rate=rate,
        temperature=_linear(*recipe.temperature, share),
        noise=_linear(*recipe.noise, share),
        rate=weight,
        validate=due or last,
    )


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1 + cos(pi * share))


def _linear(start: float, end: float, share: float) -> float:
    return start + (end - start) * share


def gain_for_lmbda(lmbda: float) -> float:
    """Encoder gain: what the fitted latents are multiplied by before rounding.

    The gain is the effective learning rate of the latents. High rates need larger latents.
    """
    if lmbda < 2e-4:
        return 24.0
    return 20.0 if lmbda < 5e-4 else 16.0
