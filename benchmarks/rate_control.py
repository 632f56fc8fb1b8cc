"""How well a fit meets a rate, a quality or a size, and what that costs.

    python benchmarks/rate_control.py PHOTO... [--steps 250 500]

Each photograph gives its central square. Every target is met by an encode of its own, whose file
is compared with the target. CPU time is relative to a plain encode of the same crop, of as many
steps, at the lambda closest to the one found. For a rate the plain encode is at that very lambda,
and the losses (MSE + lambda * bpp of the files) are compared as well. The table is printed, and
saved in results/rate_control.tsv and .json.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import numpy as np
import tables
import torch
from crops import central_square
from numpy.typing import NDArray

from givre.coder.encoder import fit_and_write
from givre.coder.files.picture import Picture
from givre.coder.fitting.settings import FitSettings
from givre.coder.rate_control.goal import Goal
from givre.coder.rate_control.targeted_encode import encode_to_goal
from givre.coder.report import EncodeReport
from givre.errors import TargetError


@dataclass(frozen=True)
class Timed:
    """A file's report and the CPU seconds that it took."""

    report: EncodeReport
    cpu_s: float


def measure(
    samples: NDArray[np.uint8], name: str, settings: FitSettings, goals: Sequence[Goal]
) -> list[dict[str, object]]:
    """Rows of one crop and one number of steps; the rates have to come first."""
    plain: list[Timed] = []
    rows: list[dict[str, object]] = []
    for goal in goals:
        started = process_time()
        try:
            report = encode_to_goal(Picture(samples), settings, goal).report
        except TargetError as error:
            print(f"{name}: {error}")
            continue
        cpu_s = process_time() - started
        if goal.kind == "bpp":
            started = process_time()
            same = FitSettings(lmbda=report.lmbda, steps=settings.steps, threads=settings.threads)
            found = fit_and_write(Picture(samples), same).report
            plain.append(Timed(found, process_time() - started))
        nearest = min(plain, key=lambda p: abs(math.log(p.report.lmbda / report.lmbda)))
        rows.append(
            {"picture": name, "steps": settings.steps, "kind": goal.kind, "target": goal.value}
            | {"bytes": report.bytes, "bpp": report.bpp, "psnr_db": report.psnr_db}
            | {"lambda": report.lmbda, "steps_done": report.steps}
            | errors(goal, report)
            | {"cpu_s": cpu_s, "time_ratio": cpu_s / nearest.cpu_s}
            | {"loss_ratio": loss_ratio(report, nearest.report)}
        )
    return rows


def errors(goal: Goal, report: EncodeReport) -> dict[str, object]:
    """How far the file is from the goal; for a size what is over it, and what is left."""
    miss = goal.miss(report.bytes, report.psnr_db, report.width * report.height)
    over = max(0, report.bytes - int(goal.value)) if goal.kind == "size" else ""
    return {
        "error_percent": "" if goal.is_quality else 100 * miss,
        "error_db": miss if goal.is_quality else "",
        "bytes_over": over,
    }


def loss_ratio(report: EncodeReport, plain: EncodeReport) -> object:
    """Loss relative to a plain encode at the same lambda; empty if the lambdas differ."""
    return report.loss / plain.loss if report.lmbda == plain.lmbda else ""


def main() -> None:
    """Run all encodes, print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--size", type=int, default=256, help="side of the crops, in pixels")
    parser.add_argument("--steps", type=int, nargs="+", default=[250, 500])
    parser.add_argument("--bpp", type=float, nargs="+", default=[0.3, 1.0])
    parser.add_argument("--psnr", type=float, nargs="+", default=[31.0, 36.0])
    parser.add_argument("--bytes", type=int, nargs="+", default=[3000, 10000])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("results/rate_control"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    goals = [Goal("bpp", x) for x in args.bpp] + [Goal("psnr", x) for x in args.psnr]
    goals += [Goal("size", x) for x in args.bytes]
    rows: list[dict[str, object]] = []
    warm = FitSettings(steps=1, complexity="hop", threads=args.threads)
    fit_and_write(Picture(central_square(args.photos[0], 64)), warm)  # the kernels are compiled
    for steps in args.steps:
        for path in args.photos:
            settings = FitSettings(steps=steps, threads=args.threads)
            rows += measure(central_square(path, args.size), path.stem, settings, goals)
            tables.save(rows, args.out)
    tables.show(rows)


if __name__ == "__main__":
    main()
