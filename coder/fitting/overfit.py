"""Overfitting: the loop that fits a decoder and its latents to one image."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor

from givre.coder.fitting.checkpoint import Fit
from givre.coder.fitting.context import FitContext, fit_context
from givre.coder.fitting.evaluation import Evaluation
from givre.coder.fitting.progress import (
    CompilingTeller,
    Following,
    ProgressListener,
    ProgressTeller,
)
from givre.coder.fitting.schedule import Recipe, plan_step
from givre.coder.fitting.settings import FitSettings
from givre.coder.fitting.source import Source
from givre.coder.fitting.starting_point import choose_start
from givre.coder.fitting.torch_context import torch_as_shipped, torch_threads
from givre.coder.fitting.trainer import Trainer
from givre.coder.psnr import psnr_db
from givre.errors import CheckpointError

_log = logging.getLogger(__name__)

_CHECKPOINT_SECONDS = 30.0


@dataclass(frozen=True)
class _Best:
    """The best model seen at a validation."""

    evaluation: Evaluation
    parameters: dict[str, Tensor]
    latents: list[Tensor]


def overfit(
    source: Source,
    settings: FitSettings,
    *,
    recipe: Recipe = Recipe(),  # noqa: B008 (frozen)
    on_progress: ProgressListener | None = None,
    checkpoint: Path | None = None,
    resume: Fit | None = None,
) -> Fit:
    """Fit a decoder and its latents to an image.

    Args:
        source: the image.
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
        CheckpointError: `resume` belongs to another image, or cannot be continued.
        UsageError: the device does not exist, or the kernels do not run on it.
    """
    context = fit_context(source, settings)
    return overfit_in(
        context,
        settings.prior,
        recipe=recipe,
        on_progress=on_progress,
        checkpoint=checkpoint,
        resume=resume,
    )


@torch_as_shipped()
def overfit_in(
    context: FitContext,
    asked: int | None,
    *,
    recipe: Recipe = Recipe(),  # noqa: B008 (frozen)
    on_progress: ProgressListener | None = None,
    checkpoint: Path | None = None,
    resume: Fit | None = None,
    following: Following = Following(),  # noqa: B008 (frozen)
) -> Fit:
    """`overfit` in a context that is made already.

    Args:
        context: the image and what it is fitted with.
        asked: number of the prior that was asked for, None where it may be chosen.
        recipe: constants of the schedule.
        on_progress: called a few times a second.
        checkpoint: file that is rewritten about twice a minute, and when the fit is interrupted.
        resume: an earlier fit of this image to go on from.
        following: what comes after the fit, for the estimate of the time left.

    Returns:
        The best model seen with rounded latents; `resume` itself, if it has all the steps.

    Raises:
        CheckpointError: `resume` belongs to another image, or cannot be continued.
    """
    if resume is not None:
        resume.check_image(context.source)
        if resume.steps >= context.settings.steps:
            # Which prior would be chosen matters to a fit that goes on.
            prior = resume.settings.prior if asked is None else context.settings.prior
            _check_continues(resume, replace(context.settings, prior=prior))
            return resume
    with torch_threads(context.kernels.torch_threads):
        prepare_kernels(context, on_progress)
        run = _Run(choose_start(context, asked), recipe, on_progress, following)
        if resume is not None:
            run.restore(resume)
        try:
            run.go(checkpoint)
        except KeyboardInterrupt:
            if checkpoint is not None and run.step:
                run.outcome().save(checkpoint)
            raise
        return run.outcome()


def prepare_kernels(context: FitContext, on_progress: ProgressListener | None) -> None:
    """Compile what the fit needs, if that is not done yet; its time is not the fit's."""
    teller = CompilingTeller(on_progress)
    context.kernels.prepare(context.settings.steps, teller.tell)


class _Run:
    """One pass through the schedule, with best-model tracking and clock."""

    def __init__(
        self,
        context: FitContext,
        recipe: Recipe,
        on_progress: ProgressListener | None,
        following: Following,
    ) -> None:
        self._context, self._recipe = context, recipe
        self._settings, self._source = context.settings, context.source
        self._trainer = Trainer(context, recipe)
        self._best: _Best | None = None
        self._teller = ProgressTeller(on_progress, following=following)
        self.step = 0

    def restore(self, fit: Fit) -> None:
        _check_continues(fit, self._settings)
        if not fit.state:
            raise CheckpointError("the checkpoint holds no optimiser state, it cannot be continued")
        try:
            self._trainer.load_state_tensors(fit.state)
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"the checkpoint's state is damaged ({error})") from error
        self._teller = ProgressTeller(
            self._teller.listener, fit.steps, fit.seconds, self._teller.following
        )
        self.step = fit.steps
        mse = 10 ** (-fit.psnr_db / 10) * self._source.seen
        evaluation = Evaluation(mse + self._settings.lmbda * fit.bpp, fit.bpp, mse)
        latents = [latent.to(torch.float32) for latent in fit.latents]
        self._best = _Best(evaluation, fit.parameters, latents)

    def go(self, checkpoint: Path | None) -> None:
        steps, recipe = self._settings.steps, self._recipe
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
            self._teller.tell(self.step, steps, best.bpp, best.mse / self._source.seen)
            if checkpoint and perf_counter() - saved > _CHECKPOINT_SECONDS:
                self.outcome().save(checkpoint)
                saved = perf_counter()

    def outcome(self) -> Fit:
        if self._best is None:
            self._validate()
        best = self._best
        assert best is not None  # a first validation always yields one
        height, width, channels = self._source.samples.shape
        return Fit(
            settings=self._settings,
            width=width,
            height=height,
            channels=channels,
            digest=self._source.digest,
            parameters={name: p.cpu() for name, p in best.parameters.items()},
            latents=[latent.to("cpu", torch.int8) for latent in best.latents],
            bpp=best.evaluation.bpp,
            psnr_db=psnr_db(best.evaluation.mse / self._source.seen),
            steps=self.step,
            seconds=self._teller.seconds(),
            state=self._trainer.state_tensors(),
            source=self._source,
        )

    def _validate(self) -> None:
        found = self._trainer.evaluate()
        _log.debug("step %d: loss %.6f", self.step, found.loss)
        if self._best is None or (isfinite(found.loss) and found.loss < self._best.evaluation.loss):
            self._best = _Best(found, self._trainer.parameters(), self._trainer.rounded())


def _check_continues(fit: Fit, settings: FitSettings) -> None:
    """Raise CheckpointError where a fit was made with other settings than it shall go on with."""
    for name in ("lmbda", "complexity", "seed", "prior"):
        value = getattr(fit.settings, name)
        if value != getattr(settings, name):
            raise CheckpointError(f"the checkpoint was made with {name} {value}; use the same")
