"""The whole way from samples and wishes to a fit or a file, for Python and the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from givre.bitstream.tiling import Tiling
from givre.coder.encoder import fit_and_write
from givre.coder.files.picture import Picture
from givre.coder.fitting.checkpoint import Fit
from givre.coder.fitting.choices import FitChoices, continued_settings, new_settings
from givre.coder.fitting.overfit import overfit
from givre.coder.fitting.progress import ProgressListener
from givre.coder.fitting.settings import FitSettings
from givre.coder.fitting.source import source_of
from givre.coder.rate_control.goal import goal_of
from givre.coder.rate_control.targeted_encode import encode_to_goal
from givre.coder.report import Encoded
from givre.coder.tile_choice import square_tiling, usual_tiling
from givre.coder.tiled_encode import fit_and_write_tiles
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
        tile: side of the tiles in pixels, a multiple of 64; 0 for one piece whatever the size, None
            for tiles where the picture is large.
    """

    choices: FitChoices
    checkpoint: Path | None = None
    resume: Fit | None = None
    on_progress: ProgressListener | None = None
    on_fit: Callable[[Fit], None] | None = None
    tile: int | None = None

    def settings(self) -> FitSettings:
        """Settings of the fit.

        Raises:
            UsageError: a choice is out of range, or contradicts the fit to resume.
        """
        if self.resume is None:
            return new_settings(self.choices)
        return continued_settings(self.choices, self.resume.settings, self.resume.steps)

    def tiling(self, picture: Picture) -> Tiling | None:
        """Tiles of a picture, None where it is fitted in one piece.

        Raises:
            UsageError: the side asked for is not allowed.
        """
        height, width = picture.samples.shape[:2]
        if self.tile is None:
            return usual_tiling(width, height)
        return square_tiling(width, height, self.tile) if self.tile else None


def encode_whole(picture: Picture, job: EncodeJob) -> Encoded:
    """Fit an image and write its file.

    Args:
        picture: samples, their depth and metadata.
        job: what is asked for.

    Raises:
        GivreError: for the reasons that `fit_and_write` names; TargetError where a
            target is out of reach.
    """
    goal, tiling = goal_of(job.choices), job.tiling(picture)
    if tiling is not None:
        if goal is not None or job.resume is not None:
            raise UsageError(
                "a picture in tiles is fitted anew and without a target, as with a quality;"
                " tile 0 fits it in one piece"
            )
        return fit_and_write_tiles(picture, tiling, job.settings(), job.on_progress)
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
