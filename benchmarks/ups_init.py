"""What the initial upsampling filter is worth: loss of real files, by initialisation.

    python benchmarks/ups_init.py PHOTO [PHOTO ...] [--steps 500 2000] [--seeds 0 1] [--jobs 1]

Fits the middle of every photograph from each initial filter with each seed. The loss is that of
the finished file, MSE + lambda * bpp, with the MSE of what the decoder makes of it. A ratio
compares two fits that differ in their initial filter alone. The initial filter disturbs a fit as
any change does, so the ratios scatter; what other seeds do with the same filter says how much.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import combinations, product
from math import exp, log, sqrt
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import tables
from PIL import Image

from givre.coder.encoder import fit_and_write
from givre.coder.files.picture import Picture
from givre.coder.fitting.settings import FitSettings
from givre.models.filters.initial import INITIAL_KERNELS

_BASE = "bicubic"  # what the ratios are to; the default of every named point


def crop(path: Path, size: int) -> np.ndarray:
    """The middle `size` x `size` pixels of a photograph, uint8 (size, size, 3)."""
    with Image.open(path) as image:
        left, top = (image.width - size) // 2, (image.height - size) // 2
        return np.asarray(image.convert("RGB").crop((left, top, left + size, top + size)))


def fit(path: Path, size: int, settings: FitSettings) -> dict[str, object]:
    """One fit, written and decoded, as a row."""
    report = fit_and_write(Picture(crop(path, size)), settings).report
    return {
        "crop": path.stem,
        "lambda": settings.lmbda,
        "steps": settings.steps,
        "seed": settings.seed,
        "ups_init": settings.ups_init,
        "bytes": report.bytes,
        "bpp": report.bpp,
        "psnr_db": report.psnr_db,
        "loss": report.loss,
    }


def summarise(rows: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """For each length, lambda and filter, and over all lambdas: ratios of the loss to bicubic's.

    `seeds_percent` is the standard deviation of a loss between seeds, nothing else differing. The
    seeds of a crop count as repetitions; the standard error of the mean is over all pairs.
    """
    logs = {
        (r["steps"], r["lambda"], r["ups_init"], r["crop"], r["seed"]): log(float(str(r["loss"])))
        for r in rows
    }
    found: list[dict[str, object]] = []
    lmbdas = list(dict.fromkeys(r["lambda"] for r in rows))
    groups = [[lmbda] for lmbda in lmbdas] + ([lmbdas] if len(lmbdas) > 1 else [])
    for steps, group in product(dict.fromkeys(r["steps"] for r in rows), groups):
        inside = {k[1:]: v for k, v in logs.items() if k[0] == steps and k[1] in group}
        for name in INITIAL_KERNELS:
            mine = {k: v for k, v in inside.items() if k[1] == name}
            ratios = [v - inside[k[0], _BASE, *k[2:]] for k, v in mine.items()]
            pairs = [
                mine[a] - mine[b] for a, b in combinations(mine, 2) if a[:-1] == b[:-1]
            ]  # two seeds
            error = stdev(ratios) / sqrt(len(ratios)) if len(ratios) > 1 else 0.0
            found.append(
                {
                    "steps": steps,
                    "lambda": group[0] if len(group) == 1 else "all",
                    "ups_init": name,
                    "fits": len(ratios),
                    "loss_ratio": exp(fmean(ratios)),
                    "standard_error_percent": 100 * error,
                    "better": sum(r < 0 for r in ratios),
                    "seeds_percent": 100 * sqrt(fmean(d * d for d in pairs) / 2) if pairs else "",
                }
            )
    return found


def main() -> None:
    """Run every fit, print the summary, save both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photographs", nargs="+", type=Path)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--complexity", default="lop")
    parser.add_argument("--lambdas", nargs="+", type=float, default=[0.004, 0.0004])
    parser.add_argument("--steps", nargs="+", type=int, default=[500, 2000])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--jobs", type=int, default=1, help="fits at a time, a thread each")
    parser.add_argument("--out", type=Path, default=Path("results/ups_init"))
    args = parser.parse_args()
    plain = FitSettings(complexity=args.complexity, threads=1, prior=0)
    plan = list(product(args.steps, args.seeds, args.photographs, args.lambdas, INITIAL_KERNELS))
    rows: list[dict[str, object]] = []
    with ProcessPoolExecutor(args.jobs, get_context("spawn")) as pool:
        waiting = [
            pool.submit(
                fit,
                path,
                args.size,
                replace(plain, steps=steps, seed=seed, lmbda=lmbda, ups_init=name),
            )
            for steps, seed, path, lmbda, name in plan
        ]
        for number, future in enumerate(waiting, 1):
            rows.append(future.result())
            print(f"\r{number} of {len(plan)} fits", end="", flush=True)
            tables.save(rows, args.out)
    print()
    summary = summarise(rows)
    tables.show(summary)
    tables.save(summary, args.out.with_name(args.out.name + "_summary"))


if __name__ == "__main__":
    main()
