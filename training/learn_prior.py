"""Learn the priors of a complexity point from a folder of photographs.

    python training/learn_prior.py PHOTOS hop --exclude city girl grass

One decoder is fitted jointly to random crops of all photographs; `PLANS` says for how long. The
result is `bitstream/priors/<point>-<number>.bin`, and with the filters that start the latents of a
fit `coder/fitting/analysis_filters/<point>-<number>.npy`. The hashes printed at the end go into
`bitstream/priors.py` and `docs/FORMAT.md`: a prior is part of the format.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from givre.coder.fitting.analysis import analyse
from givre.coder.fitting.normalisation import make_target
from givre.coder.fitting.prior_choice import PRIOR_LMBDAS
from givre.coder.fitting.source import Source
from givre.models.architecture import tensor_specs
from givre.models.geometry import grids

ROOT = Path(__file__).parents[1]
FINEST_EXPONENT = 10


@dataclass(frozen=True)
class Crops:
    """Which parts of the photographs a prior is learned from.

    Attributes:
        count: how many.
        width: in pixels.
        height: in pixels.
        scales: the photographs are made smaller by these factors, in turn.
        turned: half of them have rows and columns exchanged.
        seed: of the choice.
    """

    count: int
    width: int
    height: int
    scales: tuple[float, ...] = (1.0,)
    turned: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Plan:
    """How one prior is learned.

    Attributes:
        name: of the plan; that of its prior if there is one.
        number: of the prior; None for a step on the way to one.
        lmbda: weight of the rate.
        follows: name of the plan whose outcome it goes on from, None for random numbers.
        crops: None for those of the plan it follows.
        pace: of the joint fit.
    """

    name: str
    number: int | None
    lmbda: float
    follows: str | None
    crops: Crops | None
    pace: Pace


_LARGE = Pace(visits=800, batch=4, networks=0.5, balanced=True)
_SMALL = Crops(136, 192, 128, (1.0, 1.5, 2.0, 3.0))
_SMALL_TURNED = Crops(204, 192, 128, (1.0, 1.25, 1.5, 2.0, 2.5, 3.0), turned=True, seed=7)

PLANS = (
    Plan("1", 1, PRIOR_LMBDAS[1], None, Crops(16, 512, 512), _LARGE),
    Plan("2", 2, PRIOR_LMBDAS[2], None, Crops(16, 512, 512), _LARGE),
    Plan("3", 3, PRIOR_LMBDAS[3], None, Crops(51, 256, 256), Pace(300, 3, 1.0, balanced=False)),
    Plan("4", 4, PRIOR_LMBDAS[4], "3", None, Pace(160, 3, 0.5, balanced=False)),
    Plan("small", None, 0.001, None, _SMALL, Pace(800, 4, 1.0, balanced=False, ramped=True)),
    Plan("5", 5, 0.001, "small", _SMALL_TURNED, Pace(600, 4, 0.5, balanced=False, ramped=True)),
)
"""Plans in the order in which they are carried out."""


_Outcome = tuple[list[NDArray[np.uint8]], JointFit]
"""Crops, and the joint fit of them."""


def random_crops(paths: list[Path], crops: Crops) -> list[NDArray[np.uint8]]:
    """Crops (H, W, 3) of all photographs in turn in random order, half of them mirrored."""
    rng = np.random.default_rng(crops.seed)
    order = rng.permutation(len(paths))
    found = []
    for i in range(crops.count):
        # Every photograph comes once a round, and in the next round at the next scale.
        scale = crops.scales[(i // len(paths) + i) % len(crops.scales)]
        with Image.open(paths[order[i % len(paths)]]) as image:
            size = (round(image.width / scale), round(image.height / scale))
            small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        photo = np.asarray(small)
        if crops.turned and rng.integers(2):
            photo = photo.transpose(1, 0, 2)
        y = rng.integers(0, photo.shape[0] - crops.height + 1)
        x = rng.integers(0, photo.shape[1] - crops.width + 1)
        crop = photo[y : y + crops.height, x : x + crops.width]
        found.append(np.ascontiguousarray(crop[:, ::-1] if rng.integers(2) else crop))
    return found


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
    numbers = [plan.number for plan in PLANS if plan.number]
    parser.add_argument("--numbers", type=int, nargs="+", choices=numbers, default=numbers)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(args.threads)
    paths = [p for p in sorted(args.photos.glob("*.png")) if p.stem not in args.exclude]
    done: dict[str, _Outcome] = {}
    for plan in plans_for(args.numbers):
        crops, start = setting_out(plan, paths, done[plan.follows] if plan.follows else None)
        fit = fit_jointly(crops, args.point, plan.lmbda, plan.pace, start, args.threads)
        done[plan.name] = crops, fit
        if plan.number is not None and plan.number in args.numbers:
            write(fit, crops, args.point, plan.number)


def setting_out(
    plan: Plan, paths: list[Path], before: _Outcome | None
) -> tuple[list[NDArray[np.uint8]], JointFit | None]:
    """The crops of a plan, and what its fit starts from; `before` is what the plan follows."""
    if plan.crops is None:
        assert before is not None  # such a plan follows another
        return before
    crops = random_crops(paths, plan.crops)
    if before is None:
        return crops, None
    earlier, fit = before
    return crops, moved_to(fit, solve_filters(fit, earlier), crops)


def moved_to(
    fit: JointFit, filters: NDArray[np.float32], crops: Sequence[NDArray[np.uint8]]
) -> JointFit:
    """A fit's networks with latents for other crops, those that its analysis filters predict."""
    height, width, _ = crops[0].shape
    places = grids(fit.arch, width, height)
    rows = torch.from_numpy(filters)
    latents = [analyse(rows, make_target(Source(crop)).normalised, places) for crop in crops]
    return replace(fit, latents=latents)


def plans_for(numbers: Sequence[int]) -> list[Plan]:
    """Plans of these priors and of those that they follow."""
    needed = {plan.name for plan in PLANS if plan.number in numbers}
    for plan in reversed(PLANS):
        if plan.name in needed and plan.follows:
            needed.add(plan.follows)
    return [plan for plan in PLANS if plan.name in needed]


def write(fit: JointFit, crops: list[NDArray[np.uint8]], point: str, number: int) -> None:
    """Write a prior and its analysis filters, and print the prior's hash."""
    section = write_parameters(fit.arch, quantised(fit))
    priors, filters = ROOT / "bitstream" / "priors", ROOT / "coder" / "fitting" / "analysis_filters"
    priors.mkdir(exist_ok=True)
    filters.mkdir(exist_ok=True)
    (priors / f"{point}-{number}.bin").write_bytes(section)
    np.save(filters / f"{point}-{number}.npy", solve_filters(fit, crops).astype(np.float16))
    print(f'    ("{point}", {number}): "{sha256(section).hexdigest()}",  # {len(section)} bytes')


if __name__ == "__main__":
    main()
