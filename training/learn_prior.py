"""Learn the priors of a complexity point from a folder of photographs.

    python training/learn_prior.py PHOTOS hop --exclude city girl grass

One decoder is fitted jointly to random crops of all photographs, at lambda 0.001 first, then from
`coder/analysis_filters/<point>-<number>.npy`, where the latents of a fit start. The hashes printed
at the end go into `bitstream/priors.py` and `docs/FORMAT.md`: a prior is part of the format.
"""

from __future__ import annotations

import argparse
import logging
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from analysis_filters import solve_filters
from joint_fit import JointFit, fit_jointly
from numpy.typing import NDArray
from PIL import Image

from givre.bitstream.parameters import QuantisedParameters, write_parameters
from givre.bitstream.rangecoder import PARAMETER_MAX
from givre.coder.prior import PRIOR_LMBDAS
from givre.models.architecture import tensor_specs

ROOT = Path(__file__).parents[1]
CROP_SIZE, CROPS_PER_PHOTO = 256, 3
VISITS, FOLLOWER_VISITS = 300, 160
FINEST_EXPONENT = 10
ORDER = ((3, None), (2, 3), (1, 2), (4, 3))
"""Priors in the order in which they are learned, and which one each starts from."""


def random_crops(paths: list[Path]) -> list[NDArray[np.uint8]]:
    """CROPS_PER_PHOTO crops of each photograph, half of them mirrored."""
    rng, crops = np.random.default_rng(0), []
    for path in paths:
        photo = np.asarray(Image.open(path).convert("RGB"))
        for _ in range(CROPS_PER_PHOTO):
            y, x = (rng.integers(0, side - CROP_SIZE + 1) for side in photo.shape[:2])
            crop = photo[y : y + CROP_SIZE, x : x + CROP_SIZE]
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
    parser.add_argument("photos", type=Path, help="folder of PNG files, 256x256 or larger")
    parser.add_argument("point", choices=("lop", "mop", "hop", "vhop"))
    parser.add_argument("--exclude", nargs="*", default=[], help="names that are kept for testing")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(args.threads)
    paths = [p for p in sorted(args.photos.glob("*.png")) if p.stem not in args.exclude]
    crops = random_crops(paths)
    fits: dict[int, JointFit] = {}
    for number, before in ORDER:
        start = fits[before] if before else None
        visits = FOLLOWER_VISITS if start else VISITS
        lmbda = PRIOR_LMBDAS[number]
        fits[number] = fit_jointly(crops, args.point, lmbda, visits, start, args.threads)
        write(fits[number], crops, args.point, number)


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
