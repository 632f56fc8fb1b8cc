"""Shows how a fit goes on: a line that rewrites itself on a terminal, else a line now and then."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from givre.coder.fitting.progress import COMPILING, FITTING, Progress
from givre.scripts.report import duration

TERMINAL_INTERVAL = 0.1
"""Seconds between two redraws on a terminal."""

LOG_INTERVAL = 10.0
"""Seconds between two lines in a file or a pipe."""

_BAR_WIDTH = 20
_CLEAR_TO_END = "\x1b[K"


class ProgressBar:
    """Progress listener that writes rate, PSNR and time left to a text stream.

    On a terminal one line is rewritten; elsewhere a line is written at most every
    `LOG_INTERVAL` seconds. Used as a context manager, it ends the line.

    Args:
        stream: where to write.
        clock: seconds from any origin, replaced in tests.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._on_terminal = stream.isatty()
        self._interval = TERMINAL_INTERVAL if self._on_terminal else LOG_INTERVAL
        self._last_shown: float | None = None
        self._last_stage: str | None = None
        self._line_open = False

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._line_open:
            self._stream.write("\n")
            self._stream.flush()
            self._line_open = False

    def __call__(self, progress: Progress) -> None:
        """Show the progress, unless the last one was shown a moment ago."""
        now = self._clock()
        if self._last_shown is None:
            # A fit that ends before the first interval is over needs no line in a log.
            self._last_shown = now - self._interval if self._on_terminal else now
        due = now - self._last_shown >= self._interval
        is_news = progress.stage != self._last_stage or progress.step >= progress.steps
        self._last_stage = progress.stage
        if not due and not (self._on_terminal and is_news):
            return
        self._last_shown = now
        if self._on_terminal:
            width = shutil.get_terminal_size().columns
            self._stream.write("\r" + line(progress)[: width - 1] + _CLEAR_TO_END)
            self._line_open = True
        else:
            self._stream.write(line(progress) + "\n")
        self._stream.flush()


def line(progress: Progress) -> str:
    """One line: a bar, the steps, the rate, the PSNR and the time left; or what is compiled."""
    filled = _BAR_WIDTH * progress.step // max(progress.steps, 1)
    bar = "#" * filled + "." * (_BAR_WIDTH - filled)
    count = f"{progress.step:>{len(str(progress.steps))}}/{progress.steps}"
    if progress.stage not in (COMPILING, FITTING):
        count = progress.stage
    if progress.stage == COMPILING:
        return f"[{bar}] {count}  compiling kernels for this machine, once"
    figures = f"{progress.bpp:.3f} bpp  {progress.psnr_db:.2f} dB"
    return f"[{bar}] {count}  {figures}  {duration(progress.eta_seconds)} left"
