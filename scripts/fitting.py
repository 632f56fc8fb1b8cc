"""Runs a fit for the command line: a new one, or an earlier one carried on."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from givre.coder.files.images import Samples
from givre.coder.fitting.choices import FitChoices, continued_settings, new_settings
from givre.coder.fitting.progress import ProgressListener
from givre.errors import CheckpointError, UsageError
from givre.scripts.progress_bar import ProgressBar

if TYPE_CHECKING:
    from givre.coder.encoder import Encoded
    from givre.coder.fitting.checkpoint import Fit


def run_fit(
    samples: Samples,
    choices: FitChoices,
    *,
    checkpoint: Path | None,
    resume: Path | None,
    quiet: bool,
) -> Fit:
    """Fit an image, showing progress on stderr.

    Args:
        samples: uint8 (H, W, C).
        choices: what was asked for.
        checkpoint: kept up to date as the fit goes on.
        resume: a fit to carry on; it is returned as it is when it has the steps already.
        quiet: show no progress.

    Raises:
        UsageError: the choices are out of range or contradict the earlier fit.
        CheckpointError: the earlier fit is missing, unreadable or of another image.
    """
    if resume is not None and not resume.is_file():
        raise CheckpointError(f"there is no fit at {resume}, name a file that overfit has written")
    settings = None if resume else new_settings(choices)

    from givre.coder.fitting.checkpoint import (
        Fit,  # torch loads only once the arguments are known to be right
    )
    from givre.coder.fitting.overfit import overfit

    earlier = None
    if resume is not None:
        earlier = Fit.load(resume)
        earlier.check_image(samples)
        settings = continued_settings(choices, earlier.settings, earlier.steps)
        if earlier.steps >= settings.steps:
            return earlier
    assert settings is not None  # set on either way
    with _listener(quiet) as listener:
        return overfit(
            samples, settings, on_progress=listener, checkpoint=checkpoint, resume=earlier
        )


def run_to_goal(samples: Samples, choices: FitChoices, *, quiet: bool) -> Encoded:
    """Encode an image to the target among the choices, showing progress on stderr.

    Args:
        samples: uint8 (H, W, C).
        choices: what was asked for, with a target.
        quiet: show no progress.

    Raises:
        UsageError: the choices are out of range, or there is no target.
        TargetError: the target is out of reach.
    """
    settings, goal = new_settings(choices), choices.goal
    if goal is None:
        raise UsageError("no target is given, name a rate, a PSNR or a size")

    from givre.coder.rate_control.targeted_encode import encode_to_goal

    with _listener(quiet) as listener:
        return encode_to_goal(samples, settings, goal, on_progress=listener)


def command_line(*words: str | Path) -> str:
    """A command that can be pasted into a shell."""
    return shlex.join(str(word) for word in words)


@contextlib.contextmanager
def _listener(quiet: bool) -> Iterator[ProgressListener | None]:
    if quiet:
        yield None
        return
    with ProgressBar(sys.stderr) as bar:
        yield bar
