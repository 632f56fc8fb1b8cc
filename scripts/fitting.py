"""Runs a fit for the command line: a new one, or an earlier one carried on."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from givre.coder.fitting.progress import ProgressListener
from givre.errors import CheckpointError
from givre.scripts.progress_bar import ProgressBar

if TYPE_CHECKING:
    from givre.coder.fitting.checkpoint import Fit


def load_fit(path: Path | None) -> Fit | None:
    """The fit that an argument names, if one does.

    Raises:
        CheckpointError: it is missing or unreadable.
    """
    if path is None:
        return None
    if not path.is_file():
        raise CheckpointError(f"there is no fit at {path}, name a file that overfit has written")
    from givre.coder.fitting.checkpoint import Fit  # loads torch

    return Fit.load(path)


def command_line(*words: str | Path) -> str:
    """A command that can be pasted into a shell."""
    return shlex.join(str(word) for word in words)


@contextlib.contextmanager
def progress_listener(quiet: bool) -> Iterator[ProgressListener | None]:
    """A listener that shows progress on stderr; None where nothing shall be shown."""
    if quiet:
        yield None
        return
    with ProgressBar(sys.stderr) as bar:
        yield bar
