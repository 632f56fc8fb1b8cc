"""Which of the files that were written for a goal is the result, or why none is."""

from __future__ import annotations

from collections.abc import Sequence

from givre.coder.rate_control.goal import Goal
from givre.coder.report import Encoded


def admitted(goal: Goal, found: Sequence[Encoded]) -> list[Encoded]:
    """The files that may be the result, in their order."""
    return [e for e in found if goal.admits(e.report.bytes, e.report.psnr_db, _pixels(e))]


def meets(goal: Goal, encoded: Encoded) -> bool:
    """Whether a file is as close to the goal as it shall be."""
    return goal.meets(encoded.report.bytes, encoded.report.psnr_db, _pixels(encoded))


def filled(goal: Goal, found: Sequence[Encoded]) -> float:
    """Largest part of a size that a file which keeps it fills, 0 if there is none."""
    return max((e.report.bytes for e in admitted(goal, found)), default=0) / goal.value


def best(goal: Goal, found: Sequence[Encoded]) -> Encoded | None:
    """The file to return: the largest for a size, else the latest; None if the goal admits none."""
    candidates = admitted(goal, found)
    if candidates and goal.kind == "size":
        return max(candidates, key=lambda e: e.report.bytes)
    return candidates[-1] if candidates else None


def out_of_reach(goal: Goal, steps: int, found: Sequence[Encoded]) -> str:
    """Message that none of the files, at least one, will do.

    Args:
        goal: what they should meet.
        steps: of the fit.
        found: all files that were written.
    """
    closest = min(
        found, key=lambda e: abs(goal.miss(e.report.bytes, e.report.psnr_db, _pixels(e)))
    ).report
    return (
        f"{goal} cannot be reached in {steps} steps: the closest file has"
        f" {closest.bytes} bytes, {closest.bpp:.4f} bpp and {closest.psnr_db:.2f} dB;"
        " ask for that, or change the steps or the complexity"
    )


def _pixels(encoded: Encoded) -> int:
    return encoded.report.width * encoded.report.height
