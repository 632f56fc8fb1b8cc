"""Learn the priors of a complexity point from a folder of photographs.

    python training/learn_prior.py PHOTOS hop --exclude city girl grass

One decoder is fitted jointly to random crops of all photographs; `PLANS` says for how long. The
result is `bitstream/priors/<point>-<number>.bin`, and with the filters that start the latents of a
fit `coder/analysis_filters/<point>-<number>.npy`. The hashes printed at the end go into
`bitstream/priors.py` and `docs/FORMAT.md`: a prior is part of the format.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from analysis_filters import solve_filters
from joint_fit import JointFit, Pace, fit_jointly
from numpy.typing import NDArray
from PIL import Image

from givre.bitstream.parameters import QuantisedParameters, write_parameters
from givre.bitstream.rangecoder import PARAMETER_MAX
from givre.coder.prior import PRIOR_LMBDAS
from givre.models.architecture import tensor_specs

ROOT = Path(__file__).parents[1]
FINEST_EXPONENT = 10


@dataclass(frozen=True)
class Plan:
    """How one prior is learned.

    Attributes:
        number: of the prior.
        follows: the prior whose joint fit it goes on from, None for random numbers.
        n_crops: crops that it is learned from; those of the prior it follows if there is one.
        crop_size: their side in pixels.
        pace: of the joint fit.
    """

    number: int
    follows: int | None
    n_crops: int
    crop_size: int
    pace: Pace


_LARGE = Pace(visits=800, batch=4, networks=0.5, balanced=True)

PLANS = (
    Plan(1, None, 16, 512, _LARGE),
    Plan(2, None, 16, 512, _LARGE),
    Plan(3, None, 51, 256, Pace(visits=300, batch=3, networks=1.0, balanced=False)),
    Plan(4, 3, 51, 256, Pace(visits=160, batch=3, networks=0.5, balanced=False)),
)
"""Priors in the order in which they are learned."""


def random_crops(paths: list[Path], n: int, size: int) -> list[NDArray[np.uint8]]:
    """`n` crops (size, size, 3), of all photographs in turn in random order, half mirrored."""
    rng = np.random.default_rng(0)
    order = rng.permutation(len(paths))
    crops = []
    for i in range(n):
        photo = np.asarray(Image.open(paths[order[i % len(paths)]]).convert("RGB"))
        y, x = (rng.integers(0, side - size + 1) for side in photo.shape[:2])
        crop = photo[y : y + size, x : x + size]
        crops.append(np.ascontiguousarray(crop[:, ::-1] if rng.integers(2) else crop))
    return crops


def quantised(fit: JointFit) -> QuantisedParameters:
    """The parameters on the finest step up to 2^-FINEST_EXPONENT that holds each group."""
    integers, exponents = {}, {}
    largest: dict[str, float] = {}
    for spec in tensor_specs(fit.arch):
        magnitude = float(fit.parameters[spec.name].abs().max())
        largest[spec.group] = max(largest.get(spec.group, 0.0), magnitude)
    for group, magnitude in largest.items():
        q = FINEST_EXPONENT
        while q and magnitude * 2**q > PARAMETER_MAX:
            q -= 1
        exponents[group] = q
    for spec in tensor_specs(fit.arch):
        scaled = np.ldexp(fit.parameters[spec.name].double().numpy(), exponents[spec.group])
        integers[spec.name] = np.rint(scaled).astype(np.int32)
    return QuantisedParameters(integers, exponents)


def main() -> None:
    """Learn and write the priors of one point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photos", type=Path, help="folder of PNG files, 512x512 or larger")
    parser.add_argument("point", choices=("lop", "mop", "hop", "vhop"))
    parser.add_argument("--exclude", nargs="*", default=[], help="names that are kept for testing")
    parser.add_argument(
        "--numbers", type=int, nargs="+", choices=sorted(PRIOR_LMBDAS), default=[1, 2, 3, 4]
    )
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(args.threads)
    paths = [p for p in sorted(args.photos.glob("*.png")) if p.stem not in args.exclude]
    crops: dict[int, list[NDArray[np.uint8]]] = {}
    fits: dict[int, JointFit] = {}
    for plan in plans_for(args.numbers):
        number, before = plan.number, plan.follows
        crops[number] = (
            crops[before] if before else random_crops(paths, plan.n_crops, plan.crop_size)
        )
        start = fits[before] if before else None
        lmbda = PRIOR_LMBDAS[number]
        fits[number] = fit_jointly(crops[number], args.point, lmbda, plan.pace, start, args.threads)
        if number in args.numbers:
            write(fits[number], crops[number], args.point, number)


def plans_for(numbers: Sequence[int]) -> list[Plan]:
    """Plans of these priors and of those that they follow."""
    needed = set(numbers)
    for plan in reversed(PLANS):
        if plan.number in needed and plan.follows:
            needed.add(plan.follows)
    return [plan for plan in PLANS if plan.number in needed]


def write(fit: JointFit, crops: list[NDArray[np.uint8]], point: str, number: int) -> None:
    """Write a prior and its analysis filters, and print the prior's hash."""
    section = write_parameters(fit.arch, quantised(fit))
    priors, filters = ROOT / "bitstream" / "priors", ROOT / "coder" / "analysis_filters"
    priors.mkdir(exist_ok=True)
    filters.mkdir(exist_ok=True)
    (priors / f"{point}-{number}.bin").write_bytes(section)
    np.save(filters / f"{point}-{number}.npy", solve_filters(fit, crops).astype(np.float16))
    print(f'    ("{point}", {number}): "{sha256(section).hexdigest()}",  # {len(section)} bytes')


if __name__ == "__main__":
    main()
