from __future__ import annotations

import io
from dataclasses import replace

from givre.coder.fitting.progress import QUANTISING, Progress
from givre.scripts.progress_bar import LOG_INTERVAL, ProgressBar
from givre.scripts.report import duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def progress_at(step: int) -> Progress:
    return Progress(step, 100, bpp=0.25, psnr_db=31.5, seconds=step, eta_seconds=100.0 - step)


def test_progress_on_a_terminal_rewrites_one_line() -> None:
    stream, times = Terminal(), iter([0.0, 0.01, 0.2, 0.21])
    with ProgressBar(stream, clock=lambda: next(times)) as bar:
        for step in (1, 2, 50, 100):
            bar(progress_at(step))
    shown = stream.getvalue().split("\r")
    assert [part.partition("]")[2].split("/")[0].strip() for part in shown[1:]] == [
        "1",
        "50",
        "100",
    ]
    assert "0.250 bpp  31.50 dB  50.0 s left" in shown[2]
    assert stream.getvalue().count("\n") == 1


def test_progress_elsewhere_is_a_line_now_and_then() -> None:
    stream, times = io.StringIO(), iter([0.0, 1.0, LOG_INTERVAL, LOG_INTERVAL + 1])
    with ProgressBar(stream, clock=lambda: next(times)) as bar:
        for step in (1, 2, 50, 100):
            bar(progress_at(step))
    assert stream.getvalue().splitlines() == [
        "[##########..........]  50/100  0.250 bpp  31.50 dB  50.0 s left"
    ]


def test_durations() -> None:
    assert duration(0.0204) == "20 ms"
    assert duration(8.34) == "8.3 s"
    assert duration(59.97) == "1 min 00 s"
    assert duration(245) == "4 min 05 s"
    assert duration(2 * 3600 + 7 * 60) == "2 h 07 min"


def test_a_new_stage_is_shown_at_once_on_a_terminal() -> None:
    stream, times = Terminal(), iter([0.0, 0.01, 0.02])
    with ProgressBar(stream, clock=lambda: next(times)) as bar:
        bar(progress_at(100))
        bar(replace(progress_at(30), stage=QUANTISING, eta_seconds=4.0))
        bar(replace(progress_at(40), stage=QUANTISING, eta_seconds=3.0))
    shown = stream.getvalue().split("\r")
    assert len(shown) == 3
    assert "[######..............] quantising  0.250 bpp  31.50 dB  4.0 s left" in shown[2]
