"""What a pixel of a training step costs on images of several sizes, with the fused kernels.

    python benchmarks/pixel_cost.py [--sizes 256x256 768x512 2268x1512] [--points lop hop]

The sizes take turns in one process, so that the machine's moods meet them all. Medians of the
rounds are printed and saved, and of the ratios of one round: the cost of a pixel relative to that
of the last size.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median

import tables
from step_time import as_in_a_fit, make_trainer, picture, run_steps, size_of

from givre.coder.execution import resolve_threads

_ROUND_PIXELS = 1 << 24
"""Pixels whose steps make up a round of one size: about as much time for each of them."""

_REFRESH = 10
"""Rounds have multiples of so many steps: every tenth renews SOAP's bases."""


def costs(
    point: str, sizes: list[tuple[int, int]], rounds: int, threads: int
) -> list[dict[str, object]]:
    """A row for each size."""
    trainers = [make_trainer("fused", point, picture(*size), threads) for size in sizes]
    pixels = [width * height for width, height in sizes]
    counts = [_REFRESH * max(1, round(_ROUND_PIXELS / n / _REFRESH)) for n in pixels]
    found: list[list[float]] = []
    with as_in_a_fit("fused", threads):
        for i in range(rounds + 1):
            seconds = [
                run_steps(trainer, count * i, count)
                for trainer, count in zip(trainers, counts, strict=True)
            ]
            if i:  # the first round warms up
                found.append([1e9 * s / n for s, n in zip(seconds, pixels, strict=True)])
    return [
        {
            "point": point,
            "size": f"{width}x{height}",
            "ns_per_pixel": median(row[i] for row in found),
            "ratio": median(row[i] / row[-1] for row in found),
        }
        for i, (width, height) in enumerate(sizes)
    ]


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", nargs="+", default=["256x256", "768x512", "2268x1512"])
    parser.add_argument("--points", nargs="+", default=["lop", "hop"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/pixel_cost"))
    args = parser.parse_args()
    sizes = [size_of(text) for text in args.sizes]
    rows: list[dict[str, object]] = []
    for point in args.points:
        rows += costs(point, sizes, args.rounds, resolve_threads(args.threads))
    tables.show(rows)
    tables.save(rows, args.out)


if __name__ == "__main__":
    main()
