"""From what a person asks for (a quality, an effort) to the settings of a fit.

The Python functions and the command line share this, so that they have the same defaults and
refuse the same contradictions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from givre.coder.fitting.setting_table import (
    AUTO_COMPLEXITY,
    EFFORT_STEPS,
    LENGTH,
    SETTINGS,
    SIZE,
)
from givre.coder.fitting.settings import FitSettings, lmbda_for_quality
from givre.errors import UsageError

LARGEST_HOP_LMBDA = 0.06
"""Above it there is no prior for large images, and without one the parameters of a large decoder
are not worth their bytes."""


@dataclass(frozen=True)
class FitChoices:
    """What was asked for; None where nothing was.

    Raises:
        UsageError: a value is out of range, or two exclude each other.

    Attributes:
        quality: 0 to 100, higher is better; excludes `lmbda` and the targets.
        lmbda: weight of the rate (bits a pixel) against the distortion, above 0; higher is
            smaller.
        effort: 0 to 9, stands for a number of steps; excludes `steps`.
        steps: optimisation steps, at least 1.
        complexity: named point of the decoder, "lop", "mop", "hop" or "vhop", or "auto" for the
            one that suits lambda.
        seed: seed of the fit's noise and initial parameters.
        threads: CPU threads, 0 for all cores.
        device: where torch fits, as "cpu" or "cuda".
        kernels: what computes, "auto", "reference" or "fused".
        ups_init: interpolation that the upsampling filters start from, "bilinear", "bicubic" or
            "kaiser".
        prior: number of the prior to start from and to code against, 0 for none.
        target_bpp: bits a pixel that the file shall have; the targets exclude one another.
        target_psnr: its quality in dB.
        target_size: bytes that it may have at most.
    """

    quality: float | None = None
    lmbda: float | None = None
    effort: int | None = None
    steps: int | None = None
    complexity: str | None = None
    seed: int | None = None
    threads: int | None = None
    device: str | None = None
    kernels: str | None = None
    ups_init: str | None = None
    prior: int | None = None
    target_bpp: float | None = None
    target_psnr: float | None = None
    target_size: int | None = None

    def __post_init__(self) -> None:
        for group in (SIZE, LENGTH):
            members = [setting for setting in SETTINGS.values() if setting.group == group]
            given = [s.shown for s in members if getattr(self, s.name) is not None]
            if len(given) > 1:
                raise UsageError(f"{' and '.join(given)} exclude each other, give one of them")
        for setting in SETTINGS.values():
            setting.check(getattr(self, setting.name))

    @property
    def wanted_lmbda(self) -> float | None:
        """The lambda that was asked for, itself or as a quality."""
        return self.lmbda if self.quality is None else lmbda_for_quality(self.quality)

    @property
    def has_target(self) -> bool:
        """Whether a size, a rate or a PSNR was asked for."""
        targets = (setting.name for setting in SETTINGS.values() if setting.is_target)
        return any(getattr(self, name) is not None for name in targets)

    @property
    def wanted_steps(self) -> int | None:
        """The steps that were asked for, themselves or as an effort.

        Raises:
            UsageError: the effort is not an index of `EFFORT_STEPS`.
        """
        return self.steps if self.effort is None else steps_for_effort(self.effort)


def steps_for_effort(effort: int) -> int:
    """Optimisation steps that an effort stands for.

    Raises:
        UsageError: the effort is out of range.
    """
    SETTINGS["effort"].check(effort)
    return EFFORT_STEPS[effort]


def new_settings(choices: FitChoices) -> FitSettings:
    """Settings of a fresh fit; what was not asked for takes its default.

    With a target, lambda is only a start.

    Raises:
        UsageError: a value is out of range.
    """
    settings = replace(FitSettings(), **_given(choices))  # type: ignore[arg-type]  # names and types as above
    if choices.complexity in (None, AUTO_COMPLEXITY):
        return replace(settings, complexity=complexity_for(settings.lmbda))
    return settings


def complexity_for(lmbda: float) -> str:
    """The named point that gives the best files at a lambda, `lop` or `hop`."""
    return "lop" if lmbda > LARGEST_HOP_LMBDA else "hop"


def continued_settings(choices: FitChoices, earlier: FitSettings, done: int) -> FitSettings:
    """Settings that carry an earlier fit on, perhaps with more steps.

    Args:
        choices: what is asked for now. Threads, device and kernels may differ from the earlier
            ones; `ups_init` is ignored, since it only starts a fit.
        earlier: the settings that the fit began with.
        done: steps that the fit has made.

    Raises:
        UsageError: the choices contradict what the fit began with, or ask for fewer steps than
            it has made.
    """
    if choices.has_target:
        raise UsageError("a fit that is carried on keeps its lambda; leave out the target")
    wanted = _given(replace(choices, ups_init=None))
    fixed = {"lmbda": "lambda", "complexity": "complexity", "seed": "seed", "prior": "prior"}
    for name, label in fixed.items():
        before = getattr(earlier, name)
        if wanted.get(name, before) != before:
            raise UsageError(
                f"{label} {wanted[name]} contradicts the fit, which began with {before};"
                " leave it out or start a new fit"
            )
    if choices.wanted_steps is not None and choices.wanted_steps < done:
        raise UsageError(f"the fit has made {done} steps already, ask for at least as many")
    return replace(earlier, **wanted)  # type: ignore[arg-type]  # names and types as above


def _given(choices: FitChoices) -> dict[str, float | int | str]:
    """The settings that were asked for, under their names in `FitSettings`."""
    found = {
        "lmbda": choices.wanted_lmbda,
        "steps": choices.wanted_steps,
        "complexity": None if choices.complexity == AUTO_COMPLEXITY else choices.complexity,
        "seed": choices.seed,
        "threads": choices.threads,
        "device": choices.device,
        "kernels": choices.kernels,
        "ups_init": choices.ups_init,
        "prior": choices.prior,
    }
    return {name: value for name, value in found.items() if value is not None}
