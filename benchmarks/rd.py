"""Rate-distortion: fits images at several lambdas and compares the real files with other codecs.

    python benchmarks/rd.py IMAGE [IMAGE ...] [--lambdas 0.02 0.004 0.001 0.0004] [--steps 2000]
    python benchmarks/rd.py IMAGE [IMAGE ...] --rewrite
    python benchmarks/rd.py --name NAME --report-only

One process a core does a fit at a time, each on one thread. Every finished point is kept in
OUT/NAME/, and the same command goes on where it was interrupted: it fits only what is missing, or
was made of another image or with other settings. It does not know whether the codec has changed
since: that asks for another --name. Fits are kept beside the points, and --rewrite makes the files
from them again, which is all it takes when only what comes after a fit has changed. The
report is OUT/NAME.tsv, .json and .png.

BD-rates are given in three ways, which differ by several percent: of each image and then averaged;
of the averaged curves by mean PSNR; and of these by the PSNR of the mean squared error. Images
count as known to an anchor by their name and size, so the Kodak images keep their names kodim01
to kodim24.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

import numpy as np
from anchors import DEFAULT_ANCHORS, Anchor, load_anchors
from rd_plot import plot_averages, plot_images
from rd_points import Job, Point, find_points, measure, pending, point_path, read_point, rewrite
from rd_report import (
    anchor_averages,
    average,
    by_image,
    compare,
    image_curves,
    known_points,
    show_report,
    write_json,
    write_tsv,
)

import givre
from givre.coder.execution import resolve_threads
from givre.coder.fitting.choices import FitChoices, new_settings
from givre.coder.fitting.settings import FitSettings
from givre.errors import GivreError

_DEFAULT_STEPS = 2000
_INTERRUPTED = 130


def plan(
    images: Sequence[Path], lambdas: Sequence[float], choices: FitChoices, folder: Path
) -> list[Job]:
    """A job for each image and lambda.

    Raises:
        UsageError: a setting is out of range.
        ValueError: two images have one name, so that their points would be kept in one file.
    """
    names = [image.stem for image in images]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"there are {names.count(name)} images named {name}, rename them")
    settings = {lmbda: new_settings(replace(choices, lmbda=lmbda)) for lmbda in lambdas}
    return [
        Job(image, one, point_path(folder, image.stem, lmbda))
        for image in images
        for lmbda, one in settings.items()
    ]


def warm_up(complexity: str) -> None:
    """Load or compile the kernels, so that no measured fit has to."""
    ramp = np.arange(16 * 16 * 3, dtype=np.uint16).reshape(16, 16, 3) // 4
    fit = givre.overfit(ramp.astype(np.uint8), lmbda=1.0, steps=1, complexity=complexity, threads=1)
    givre.decode(fit.to_bytes(), threads=1)


def do_all(jobs: Sequence[Job], work: Callable[[Job], Point], processes: int) -> int:
    """Do the jobs, `processes` at a time, and return how many failed; each is kept when it is done.

    KeyboardInterrupt ends the fits under way and goes on its way.
    """
    failed = 0
    workers = min(processes, len(jobs))
    with ProcessPoolExecutor(
        workers,
        multiprocessing.get_context("spawn"),
        initializer=warm_up,
        initargs=(jobs[0].settings.complexity,),
    ) as pool:
        try:
            futures = {pool.submit(work, job): job for job in jobs}
            for number, future in enumerate(as_completed(futures), 1):
                job = futures[future]
                label = f"{number} of {len(jobs)}: {job.image.stem}, lambda {job.settings.lmbda}"
                try:
                    print(f"{label}: {_summary(future.result())}", flush=True)
                except GivreError as error:
                    failed += 1
                    print(f"{label}: failed, {error}", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise
    return failed


def report(
    name: str, points: Sequence[Point], anchors: Sequence[Anchor], target: Path, per_image: bool
) -> None:
    """Print the tables; write them and the plots as `target` with a suffix each.

    Raises:
        ValueError: the settings of the points differ in more than lambda and complexity.
    """
    if len({_common(point.settings) for point in points}) > 1:
        raise ValueError(f"{target} holds points of several settings, give each a --name")
    found = [comparison for anchor in anchors if (comparison := compare(points, anchor))]
    show_report(points, found)
    write_tsv(points, _with_suffix(target, ".tsv"))
    write_json(name, points, found, _with_suffix(target, ".json"))
    if importlib.util.find_spec("matplotlib") is None:
        print("no plots: they need matplotlib, pip install 'givre[plot]'", file=sys.stderr)
        return
    settings, images = points[0].settings, by_image(points)
    # Averages can be compared only where they are over the same images.
    covering = [a for a in anchors if set(by_image(known_points(points, a))) == set(images)]
    complexities = "/".join(sorted({point.settings.complexity for point in points}))
    title = f"{len(images)} images, {complexities}, {settings.steps} steps"
    plot_averages(
        _with_suffix(target, ".png"),
        f"Mean of {title}",
        name,
        average(points).mean_psnr,
        {anchor.name: anchor_averages(anchor, images)[0] for anchor in covering},
    )
    if per_image:
        curves = {
            anchor.name: {image: anchor.per_image[image] for image in by_image(known)}
            for anchor in anchors
            if anchor.per_image and (known := known_points(points, anchor))
        }
        path = _with_suffix(target, "_images.png")
        plot_images(path, title, name, image_curves(points), curves)


def _common(settings: FitSettings) -> FitSettings:
    """What all points of a report share: `auto` gives each lambda its own complexity."""
    return replace(settings, lmbda=1.0, complexity="hop")


def run(args: argparse.Namespace) -> int:
    """Fit what is missing and report; the exit code is 1 if a fit failed.

    Raises:
        GivreError: an image or a setting is not valid.
        ValueError: an anchor, a kept point or the names of the images are not valid.
    """
    anchors = load_anchors(args.anchor)
    steps = _DEFAULT_STEPS if args.steps is None and args.effort is None else args.steps
    choices = FitChoices(steps=steps, effort=args.effort, complexity=args.complexity, threads=1)
    settings = new_settings(choices)
    name = args.name or f"{args.complexity}-{settings.steps}"
    target = args.out / name
    failed = 0
    if args.report_only:
        wanted = {image.stem for image in args.images}
        points = [p for p in find_points(target) if not wanted or p.seq_name in wanted]
    else:
        jobs = plan(args.images, args.lambdas, choices, target)
        waiting = pending(jobs)
        print(f"{len(jobs) - len(waiting)} of {len(jobs)} points are there already", flush=True)
        target.mkdir(parents=True, exist_ok=True)
        if args.rewrite:
            kept = [job for job in jobs if job not in waiting]
            failed += do_all(kept, rewrite, args.processes) if kept else 0
        failed += do_all(waiting, measure, args.processes) if waiting else 0
        points = finished(jobs)
    if not points:
        raise ValueError(f"there are no points in {target} to report on")
    report(name, points, anchors, target, args.per_image)
    return 1 if failed else 0


def finished(jobs: Sequence[Job]) -> list[Point]:
    """The points of the jobs that did not fail, by image and then rising rate."""
    stale = {job.kept_in for job in pending(jobs)}
    points = [read_point(job.kept_in) for job in jobs if job.kept_in not in stale]
    return sorted(points, key=lambda point: (point.seq_name, -point.lmbda))


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and run; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("images", nargs="*", type=Path, metavar="IMAGE")
    parser.add_argument("--lambdas", nargs="+", type=float, default=[0.02, 0.004, 0.001, 0.0004])
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help=f"of each fit (default {_DEFAULT_STEPS})")
    length.add_argument("--effort", type=int, help="0 to 9, instead of the steps")
    parser.add_argument("--complexity", default="auto")
    parser.add_argument("--processes", type=int, default=resolve_threads(0))
    parser.add_argument("--name", help="of the results (default COMPLEXITY-STEPS)")
    parser.add_argument(
        "--anchor", nargs="+", default=DEFAULT_ANCHORS, metavar="NAME", help="or all"
    )
    parser.add_argument("--out", type=Path, default=Path("results/rd"))
    parser.add_argument(
        "--rewrite", action="store_true", help="quantise, write and decode the kept fits again"
    )
    parser.add_argument("--per-image", action="store_true", help="plot each image as well")
    parser.add_argument(
        "--report-only", action="store_true", help="fit nothing, take the points that are there"
    )
    args = parser.parse_args(arguments)
    if not args.images and not args.report_only:
        parser.error("name images, or give --report-only")
    if args.processes < 1:
        parser.error(f"--processes is {args.processes}, it must be at least 1")
    try:
        return run(args)
    except (GivreError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except BrokenExecutor:
        parser.exit(1, "a process died, perhaps of memory; the same command goes on\n")
    except KeyboardInterrupt:
        parser.exit(_INTERRUPTED, "interrupted; the same command goes on\n")


def _summary(point: Point) -> str:
    return f"{point.rate_bpp:.4f} bpp, {point.psnr_db:.2f} dB, {point.fit_seconds:.0f} s"


def _with_suffix(path: Path, suffix: str) -> Path:
    """Unlike `Path.with_suffix`, a dot in the name stays."""
    return path.with_name(path.name + suffix)


if __name__ == "__main__":
    sys.exit(main())
