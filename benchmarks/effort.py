"""What each effort costs and gives: crops fitted at every effort, real files, decoded again.

    python benchmarks/effort.py PHOTO... [--size 192] [--efforts 0 1 2 ... 9]

Each photograph gives its central square. BD-rates are those of each crop against the same crop at
the highest of the efforts, averaged; seconds are of one core, for a million pixels. Points are kept
in OUT/, and the same command goes on where it was interrupted. The table is OUT.tsv and .json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import tables
from bd_rate import bd_rate
from crops import central_square
from PIL import Image
from rd import do_all, plan
from rd_points import Point, measure, pending, read_point
from rd_report import image_curves

from givre.coder.execution import resolve_threads
from givre.coder.fitting.choices import FitChoices
from givre.coder.fitting.setting_table import EFFORT_STEPS


def crop(photo: Path, size: int, folder: Path) -> Path:
    """Write the central square of a photograph; returns its path."""
    path = folder / f"{photo.stem}.png"
    Image.fromarray(central_square(photo, size)).save(path)
    return path


def points_at(
    effort: int, images: Sequence[Path], lambdas: Sequence[float], folder: Path, processes: int
) -> list[Point]:
    """All points of an effort; those that are missing are made."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = plan(images, lambdas, FitChoices(effort=effort, threads=1), folder)
    missing = pending(jobs)
    if missing and do_all(missing, measure, processes):
        raise ValueError("some fits failed, see above")
    return [read_point(job.kept_in) for job in jobs]


def row(effort: int, points: Sequence[Point], best: Sequence[Point]) -> dict[str, object]:
    """The table's row of an effort."""
    found, wanted = image_curves(points), image_curves(best)
    rates = [bd_rate(wanted[name], found[name]) for name in found]
    megapixels = sum(point.n_pixels for point in points) / 1e6
    return {
        "effort": effort,
        "steps": points[0].settings.steps,
        "fit_cpu_s_per_mpx": sum(p.fit_cpu_seconds for p in points) / megapixels,
        "write_cpu_s": fmean(p.encode_cpu_seconds for p in points),
        "bd_rate_percent": fmean(rates),
        "parameter_bytes": fmean(p.parameter_bytes for p in points),
        "images": len(found),
    }


def main() -> int:
    """Make what is missing, print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--efforts", nargs="+", type=int, default=[*range(len(EFFORT_STEPS))])
    parser.add_argument("--lambdas", nargs="+", type=float, default=[0.02, 0.004, 0.001, 0.0004])
    parser.add_argument("--processes", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/effort"))
    args = parser.parse_args()
    processes = resolve_threads(args.processes)
    found: dict[int, list[Point]] = {}
    with TemporaryDirectory() as folder:
        images = [crop(photo, args.size, Path(folder)) for photo in args.photos]
        for effort in sorted(args.efforts):
            kept_in = args.out / f"{args.size}-{effort}"
            try:
                found[effort] = points_at(effort, images, args.lambdas, kept_in, processes)
            except ValueError as error:
                print(error, file=sys.stderr)
                return 1
    best = found[max(found)]
    rows = [row(effort, points, best) for effort, points in found.items()]
    tables.show(rows)
    tables.save(rows, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
