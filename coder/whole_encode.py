"""The whole way from samples and wishes to a fit or a file, for Python and the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from givre.coder.encoder import Encoded, fit_and_write
from givre.coder.files.picture import Picture
from givre.coder.fitting.checkpoint import Fit
from givre.coder.fitting.choices import FitChoices, continued_settings, new_settings
from givre.coder.fitting.overfit import overfit
from givre.coder.fitting.progress import ProgressListener
from givre.coder.fitting.settings import FitSettings
from givre.coder.fitting.source import source_of
from givre.coder.rate_control.goal import goal_of
from givre.coder.rate_control.targeted_encode import encode_to_goal
from givre.errors import UsageError


@dataclass(frozen=True)
class EncodeJob:
    """What is asked for.

    Attributes:
        choices: quality, effort and the like.
        checkpoint: a file that is kept up to date while the fit goes on.
        resume: a fit of the image that is carried on.
        on_progress: called a few times a second.
        on_fit: told the fit before it is written.
    """

    choices: FitChoices
    checkpoint: Path | None = None
    resume: Fit | None = None
    on_progress: ProgressListener | None = None
    on_fit: Callable[[Fit], None] | None = None

    def settings(self) -> FitSettings:
        """Settings of the fit.

        Raises:
            UsageError: a choice is out of range, or contradicts the fit to resume.
        """
        if self.resume is None:
            return new_settings(self.choices)
        return continued_settings(self.choices, self.resume.settings, self.resume.steps)


def encode_whole(picture: Picture, job: EncodeJob) -> Encoded:
    """Fit an image and write its file.

    Args:
        picture: samples, their depth and metadata.
        job: what is asked for.

    Raises:
        GivreError: for the reasons that `fit_and_write` names; TargetError where a
            target is out of reach.
    """
    goal = goal_of(job.choices)
    if goal is None:
        return fit_and_write(
            picture,
            job.settings(),
            on_progress=job.on_progress,
            checkpoint=job.checkpoint,
            resume=job.resume,
            on_fit=job.on_fit,
        )
    if job.resume is not None or job.checkpoint is not None:
        raise UsageError("a fit with a target keeps no checkpoint and carries no fit on")
    return encode_to_goal(picture, job.settings(), goal, on_progress=job.on_progress)


def fit_whole(picture: Picture, job: EncodeJob) -> Fit:
    """Fit an image, or carry a fit on.

    Args:
        picture: samples, their depth and metadata.
        job: what is asked for, without a target.

    Returns:
        The fit; the one to resume itself, if it has all its steps.

    Raises:
        UsageError: a choice is out of range, or contradicts the fit to resume.
        CheckpointError: the fit to resume belongs to another image.
    """
    if job.choices.has_target:
        raise UsageError("a fit without a file has no target, ask for a quality or a lambda")
    return overfit(
        source_of(picture),
        job.settings(),
        on_progress=job.on_progress,
        checkpoint=job.checkpoint,
        resume=job.resume,
    )
