"""Overfitting: the loop that fits a decoder and its latents to one image."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from givre.coder.fitting.checkpoint import Fit, architecture_for, image_digest
from givre.coder.fitting.fit_kernels import choose_kernels
from givre.coder.fitting.normalisation import make_target
from givre.coder.fitting.prior_choice import (
    CLEARLY_BETTER,
    FEW_PIXELS,
    coarser_prior,
    prior_for,
    prior_for_any_size,
    prior_for_size,
)
from givre.coder.fitting.progress import ProgressListener, ProgressTeller
from givre.coder.fitting.schedule import Recipe, plan_step
from givre.coder.fitting.screen_content import comparable_lmbda
from givre.coder.fitting.settings import FitSettings, resolve_threads
from givre.coder.fitting.torch_context import torch_as_shipped, torch_threads
from givre.coder.fitting.trainer import Evaluation, Trainer
from givre.coder.psnr import psnr_db
from givre.errors import CheckpointError, UsageError

_log = logging.getLogger(__name__)

_CHECKPOINT_SECONDS = 30.0


@dataclass(frozen=True)
class _Best:
    """The best model seen at a validation."""

    evaluation: Evaluation
    parameters: dict[str, Tensor]
    latents: list[Tensor]


@torch_as_shipped()
def overfit(
    samples: NDArray[np.uint8],
    settings: FitSettings,
    *,
    recipe: Recipe = Recipe(),  # noqa: B008 (frozen)
    on_progress: ProgressListener | None = None,
    checkpoint: Path | None = None,
    resume: Fit | None = None,
) -> Fit:
    """Fit a decoder and its latents to an image.

    Args:
        samples: uint8 (H, W, C), 1 to 4 channels.
        settings: lambda, length, complexity, seed, threads, device.
        recipe: constants of the schedule.
        on_progress: called a few times a second.
        checkpoint: file that is rewritten about twice a minute, and when the fit is interrupted
            (the KeyboardInterrupt then goes on its way).
        resume: an earlier fit of this image to go on from; `settings.steps` counts from its very
            start, and may be more than it was made for.

    Returns:
        The best model seen with rounded latents.

    Raises:
        ImageError: the samples are of a kind that the codec does not take.
        CheckpointError: `resume` belongs to another image, or cannot be continued.
        UsageError: the device does not exist, or the kernels do not run on it.
    """
    with fitting_threads(settings):
        settings, trainer = start_fit(samples, settings, recipe)
        run = _Run(trainer, settings, samples, on_progress)
        if resume is not None:
            resume.check_image(samples)
            run.restore(resume)
        try:
            run.go(recipe, checkpoint)
        except KeyboardInterrupt:
            if checkpoint is not None and run.step:
                run.outcome().save(checkpoint)
            raise
        return run.outcome()


def start_fit(
    samples: NDArray[np.uint8], settings: FitSettings, recipe: Recipe
) -> tuple[FitSettings, Trainer]:
    """A fit before its first step, and its settings with the prior that was chosen for it.

    It is the nearest prior, but on small images a coarser one whose start is clearly better. To be
    called, and the trainer used, inside `fitting_threads`. Raises what `overfit` does.
    """
    chosen, trainer = nearest_start(samples, settings, recipe)
    pixels = samples.shape[0] * samples.shape[1]
    if settings.prior is not None or pixels > FEW_PIXELS:
        return chosen, trainer
    if comparable_lmbda(samples, settings.lmbda) != settings.lmbda:
        return chosen, trainer  # unlike photographs, for which the priors are ordered
    arch, first = trainer.model.arch, prior_for_any_size(chosen.prior or 0)
    if coarser_prior(arch, first) is None:
        return chosen, trainer
    general = chosen.prior == first
    loss = trainer.evaluate().loss if general else _starting_loss(samples, settings, recipe, first)
    number = first
    while (coarser := coarser_prior(arch, number)) is not None:
        before, loss = loss, _starting_loss(samples, settings, recipe, coarser)
        if not loss < CLEARLY_BETTER * before:
            break
        number = coarser
    if number == first:
        return chosen, trainer
    number = prior_for_size(arch, number, pixels)
    return nearest_start(samples, replace(settings, prior=number), recipe)


def _starting_loss(
    samples: NDArray[np.uint8], settings: FitSettings, recipe: Recipe, number: int
) -> float:
    """Loss of a fit before its first step."""
    _, trainer = nearest_start(samples, replace(settings, prior=number), recipe)
    return trainer.evaluate().loss


def nearest_start(
    samples: NDArray[np.uint8], settings: FitSettings, recipe: Recipe
) -> tuple[FitSettings, Trainer]:
    """The same from the prior asked for, or else from the nearest one, whatever the image."""
    target = make_target(samples).to(_device(settings.device))
    height, width, channels = samples.shape
    arch = architecture_for(settings, width, height, channels)
    device = target.normalised.device
    kernels = choose_kernels(settings.kernels, device, resolve_threads(settings.threads))
    like = replace(settings, lmbda=comparable_lmbda(samples, settings.lmbda))
    prior = prior_for(like, arch, width * height)
    # A later version may choose another one; this fit is coded against this one for good.
    settings = replace(settings, prior=prior.number)
    trainer = Trainer(
        arch, target, settings.lmbda, settings.seed, recipe, kernels, settings.ups_init, prior
    )
    return settings, trainer


def fitting_threads(settings: FitSettings) -> AbstractContextManager[None]:
    """Sets torch's threads for a fit.

    What is left to torch beside the fused kernels is tiny, and its waiting threads would take the
    cores from theirs.

    Raises:
        UsageError: the device does not exist, or the kernels do not run on it.
    """
    kernels = choose_kernels(settings.kernels, _device(settings.device), 1)
    return torch_threads(1 if kernels.name == "fused" else settings.threads)


class _Run:
    """One pass through the schedule, with best-model tracking and clock."""

    def __init__(
        self,
        trainer: Trainer,
        settings: FitSettings,
        samples: NDArray[np.uint8],
        on_progress: ProgressListener | None,
    ) -> None:
        self._trainer, self._settings, self._samples = trainer, settings, samples
        self._best: _Best | None = None
        self._teller = ProgressTeller(on_progress)
        self.step = 0

    def restore(self, fit: Fit) -> None:
        if not fit.state:
            raise CheckpointError("the checkpoint holds no optimiser state, it cannot be continued")
        keep = ("lmbda", "complexity", "seed", "prior")
        for name in keep:
            if getattr(fit.settings, name) != getattr(self._settings, name):
                value = getattr(fit.settings, name)
                raise CheckpointError(f"the checkpoint was made with {name} {value}; use the same")
        try:
            self._trainer.load_state_tensors(fit.state)
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"the checkpoint's state is damaged ({error})") from error
        self._teller = ProgressTeller(self._teller.listener, fit.steps, fit.seconds)
        self.step = fit.steps
        mse = 10 ** (-fit.psnr_db / 10)
        evaluation = Evaluation(mse + self._settings.lmbda * fit.bpp, fit.bpp, mse)
        latents = [latent.to(torch.float32) for latent in fit.latents]
        self._best = _Best(evaluation, fit.parameters, latents)

    def go(self, recipe: Recipe, checkpoint: Path | None) -> None:
        steps = self._settings.steps
        saved = perf_counter()
        while self.step < steps:
            plan = plan_step(recipe, self.step, steps)
            upcoming = plan_step(recipe, self.step + 1, steps) if self.step + 1 < steps else None
            self._trainer.step(self.step, plan, upcoming)
            self.step += 1
            if plan.validate or self._best is None:
                self._validate()
            assert self._best is not None  # validated after the first step
            best = self._best.evaluation
            self._teller.tell(self.step, steps, best.bpp, best.mse)
            if checkpoint and perf_counter() - saved > _CHECKPOINT_SECONDS:
                self.outcome().save(checkpoint)
                saved = perf_counter()

    def outcome(self) -> Fit:
        if self._best is None:
            self._validate()
        best = self._best
        assert best is not None  # a first validation always yields one
        height, width, channels = self._samples.shape
        return Fit(
            settings=self._settings,
            width=width,
            height=height,
            channels=channels,
            digest=image_digest(self._samples),
            parameters={name: p.cpu() for name, p in best.parameters.items()},
            latents=[latent.to("cpu", torch.int8) for latent in best.latents],
            bpp=best.evaluation.bpp,
            psnr_db=psnr_db(best.evaluation.mse),
            steps=self.step,
            seconds=self._teller.seconds(),
            state=self._trainer.state_tensors(),
            samples=self._samples,
        )

    def _validate(self) -> None:
        found = self._trainer.evaluate()
        _log.debug("step %d: loss %.6f", self.step, found.loss)
        if self._best is None or (isfinite(found.loss) and found.loss < self._best.evaluation.loss):
            self._best = _Best(found, self._trainer.parameters(), self._trainer.rounded())


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"device {name!r} cannot be used ({reason}); try cpu") from error
    return device
