"""How far fits with fused kernels end from the same fits in plain torch.

    python benchmarks/agreement.py PHOTO... [--size 256] [--steps 200] [--points lop hop]

Each photograph gives its central square. Both fits have the same seed; they differ by the order of
their sums alone, and that by as much as a chaotic process makes of it. The loss is MSE + lambda *
bpp of the best rounded latents, before the networks are quantised. The table is printed, and saved
in results/agreement.tsv and .json.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from time import process_time

import numpy as np
import tables
from crops import central_square
from numpy.typing import NDArray

from givre.coder.files.picture import Picture
from givre.coder.fitting.overfit import overfit
from givre.coder.fitting.settings import FitSettings
from givre.coder.fitting.source import source_of


def final_loss(samples: NDArray[np.uint8], settings: FitSettings) -> tuple[float, float]:
    """Fit; returns 1000 (MSE + lambda * bpp), and the processor seconds that it took."""
    started = process_time()
    fit = overfit(source_of(Picture(samples)), settings)
    loss = 10 ** (-fit.psnr_db / 10) + settings.lmbda * fit.bpp
    return 1000 * loss, process_time() - started


def compare(photo: Path, size: int, settings: FitSettings) -> dict[str, object]:
    """One photograph fitted with both kinds of kernels."""
    samples = central_square(photo, size)
    reference, reference_s = final_loss(samples, replace(settings, kernels="reference"))
    fused, fused_s = final_loss(samples, replace(settings, kernels="fused"))
    return {
        "picture": photo.stem,
        "size": size,
        "point": settings.complexity,
        "lmbda": settings.lmbda,
        "steps": settings.steps,
        "reference_loss_1000": reference,
        "fused_loss_1000": fused,
        "difference_percent": 100 * (fused / reference - 1),
        "reference_cpu_s": reference_s,
        "fused_cpu_s": fused_s,
    }


def main() -> None:
    """Compare all photographs at all points, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")
    parser.add_argument("--size", type=int, default=256, help="side of the crops, in pixels")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--points", nargs="+", default=["lop", "hop"])
    parser.add_argument("--lmbda", type=float, default=1e-3)
    parser.add_argument("--out", type=Path, default=Path("results/agreement"))
    args = parser.parse_args()
    settings = FitSettings(lmbda=args.lmbda, steps=args.steps, threads=1)
    rows = []
    for photo in args.photos:
        for point in args.points:
            rows.append(compare(photo, args.size, replace(settings, complexity=point)))
            tables.show(rows[-1:])
            tables.save(rows, args.out)


if __name__ == "__main__":
    main()
