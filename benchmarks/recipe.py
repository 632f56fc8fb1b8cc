"""What the choices of the recipe give: the same crops fitted in several ways, real files compared.

    python benchmarks/recipe.py PHOTO... [--steps 500] [--lambdas 0.004 0.001] [--processes 2]

Each photograph gives its central square. The loss is 1000 (MSE + lambda * bpp) of the whole file,
from the pixels that the decoder gives back. Means over the photographs are printed, and every
single file is saved in results/recipe.tsv and .json.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time

import numpy as np
import tables
from crops import central_square

from givre.coder.fitting.schedule import Recipe
from givre.coder.fitting.settings import FitSettings

_RECIPE = Recipe()


@dataclass(frozen=True)
class Variant:
    """One way to fit.

    Attributes:
        recipe: of the fit.
        prior: as in `FitSettings`; -1 stands for the one nearest in lambda, whatever the size.
    """

    recipe: Recipe = _RECIPE
    prior: int = -1


VARIANTS = {
    "no prior": Variant(prior=0),
    "no prior, colder and slower": Variant(
        replace(
            _RECIPE,
            learning_rate=1e-2,
            temperature=(0.35, 0.08),
            noise=(0.22, 0.15),
            network_pace=1.0,
        ),
        prior=0,
    ),
    "prior": Variant(),
    "prior, parameters' rate not in the loss": Variant(replace(_RECIPE, parameter_weight=0.0)),
    "prior, parameters' rate x 4": Variant(
        replace(_RECIPE, parameter_weight=4 * _RECIPE.parameter_weight)
    ),
    "prior, networks at half the pace": Variant(
        replace(_RECIPE, network_pace=0.5 * _RECIPE.network_pace)
    ),
}
"""Names of the variants, as the table shows them."""


@dataclass(frozen=True)
class Job:
    """One file to make."""

    path: Path
    size: int
    variant: str
    lmbda: float
    steps: int
    point: str


def run(job: Job) -> dict[str, object]:
    """Fit, write, decode, and report one file."""
    import torch

    from givre.coder.encoder import encode_fit
    from givre.coder.files.picture import Picture
    from givre.coder.fitting.overfit import overfit
    from givre.coder.fitting.prior_choice import PRIOR_LMBDAS, nearest_prior
    from givre.coder.fitting.source import source_of

    torch.set_num_threads(1)
    picture = Picture(central_square(job.path, job.size))
    variant = VARIANTS[job.variant]
    settings = FitSettings(
        lmbda=job.lmbda,
        steps=job.steps,
        complexity=job.point,
        threads=1,
        prior=nearest_prior(PRIOR_LMBDAS, job.lmbda) if variant.prior < 0 else variant.prior,
    )
    started = process_time()
    fit = overfit(source_of(picture), settings, recipe=variant.recipe)
    fitted = process_time()
    report = encode_fit(fit, picture).report
    return {
        "variant": job.variant,
        "lmbda": job.lmbda,
        "picture": job.path.stem,
        "point": job.point,
        "size": job.size,
        "steps": job.steps,
        "loss_1000": 1000 * report.loss,
        "bytes": report.bytes,
        "parameter_bytes": report.parameter_bytes,
        "latent_bytes": report.latent_bytes,
        "psnr_db": report.psnr_db,
        "fit_cpu_s": fitted - started,
        "write_cpu_s": process_time() - fitted,
    }


def means(rows: Iterable[dict[str, object]]) -> list[dict[str, object]]:
    """One row for each variant and lambda, with means over the pictures."""
    groups: dict[tuple[object, object], list[dict[str, object]]] = {}
    for row in rows:
        groups.setdefault((row["variant"], row["lmbda"]), []).append(row)
    columns = ("loss_1000", "bytes", "parameter_bytes", "psnr_db")
    return [
        {"variant": variant, "lmbda": lmbda}
        | {c: float(np.mean([float(str(row[c])) for row in found])) for c in columns}
        for (variant, lmbda), found in groups.items()
    ]


def main() -> None:
    """Run the comparison, print and save it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--size", type=int, default=256, help="side of the crops, in pixels")
    parser.add_argument("--lambdas", type=float, nargs="+", default=[0.004, 0.001])
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--point", default="hop")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("results/recipe"))
    args = parser.parse_args()
    jobs = [
        Job(path, args.size, variant, lmbda, args.steps, args.point)
        for lmbda in args.lambdas
        for variant in VARIANTS
        for path in args.photos
    ]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.processes, mp_context=spawn) as pool:
        rows = list(pool.map(run, jobs))
    tables.save(rows, args.out)
    tables.show(means(rows))


if __name__ == "__main__":
    main()
