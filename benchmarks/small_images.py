"""Small images: photographs made as small as thumbnails, real files, what of them is overhead.

    python benchmarks/small_images.py PHOTO... [--steps 2000] [--lambda 0.001]

Each photograph is made smaller until it just covers W x H pixels, and its centre is taken. It is
encoded once with the defaults, and once as codecs without a prior do it best at this size: with the
smallest decoder. The loss is 1000 (MSE + lambda * bpp) of the whole file, from the pixels that the
decoder gives back. Every file's row is saved in OUT.tsv and .json; geometric means are printed too.
"""

from __future__ import annotations

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from math import exp, log
from pathlib import Path

import tables
from crops import thumbnail

from givre.coder.fitting.choices import FitChoices, new_settings

_WAYS = {
    "defaults": FitChoices(),
    "lop without a prior": FitChoices(complexity="lop", prior=0),
}


@dataclass(frozen=True)
class Job:
    """One file to make."""

    path: Path
    size: tuple[int, int]
    way: str
    lmbda: float
    steps: int


def run(job: Job) -> dict[str, object]:
    """Fit, write, decode, and report one file."""
    from givre.coder.encoder import fit_and_write
    from givre.coder.files.picture import Picture

    choices = replace(_WAYS[job.way], lmbda=job.lmbda, steps=job.steps, threads=1)
    picture = Picture(thumbnail(job.path, *job.size))
    report = fit_and_write(picture, new_settings(choices)).report
    return {
        "picture": job.path.stem,
        "way": job.way,
        "loss_1000": 1000 * report.loss,
        "psnr_db": report.psnr_db,
        "bytes": report.bytes,
        "header_bytes": report.header_bytes,
        "parameter_bytes": report.parameter_bytes,
        "latent_bytes": report.latent_bytes,
        "seconds": report.seconds,
    }


def main() -> None:
    """Encode all images in both ways, print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--size", type=int, nargs=2, default=(192, 128), metavar=("W", "H"))
    parser.add_argument("--lambda", dest="lmbda", type=float, default=0.001)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("results/small_images"))
    args = parser.parse_args()
    size = (args.size[0], args.size[1])
    jobs = [Job(path, size, way, args.lmbda, args.steps) for way in _WAYS for path in args.photos]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.processes, mp_context=spawn) as pool:
        rows = list(pool.map(run, jobs))
    tables.save(rows, args.out)
    tables.show(rows)
    for way in _WAYS:
        losses = [float(str(row["loss_1000"])) for row in rows if row["way"] == way]
        mean = exp(sum(map(log, losses)) / len(losses))
        print(f"{way}: geometric mean of the loss {mean:.4f}")


if __name__ == "__main__":
    main()
