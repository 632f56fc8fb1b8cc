"""Rate-distortion figures of other codecs, from the files in `anchors/`.

`anchors/README.md` says what each file is and where its figures come from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from bd_rate import Curve

FOLDER = Path(__file__).parent / "anchors"

DEFAULT_ANCHORS = (
    "coolchic-5.0",
    "coolchic-5.0.1-mop-2000",
    "vtm",
    "vvc-444-10bit",
    "hevc-444-10bit",
    "avif-10bit",
    "webp",
    "jpeg-xl",
    "jpeg-444",
)
"""Compared with unless others are asked for."""

_KEYS = {"name", "source", "licence", "convention", "dataset", "points", "per_image"}


@dataclass(frozen=True)
class Dataset:
    """Images that figures are known for: their names without suffix, and the pixels of each."""

    images: tuple[str, ...]
    n_pixels: int


DATASETS = {"kodak": Dataset(tuple(f"kodim{i:02}" for i in range(1, 25)), 768 * 512)}
"""By name; kodak is the Kodak Lossless True Color Image Suite."""


@dataclass(frozen=True)
class Anchor:
    """Figures of one codec.

    Attributes:
        key: name of its file without suffix.
        name: for tables and plots.
        source: where the figures come from.
        dataset: key of `DATASETS`.
        mean_psnr: over its images, means of rate and PSNR.
        mean_mse: over its images, mean rate and PSNR of the mean squared error; None if unknown.
        per_image: curve of each image, points in one order of settings; empty if unknown.
    """

    key: str
    name: str
    source: str
    dataset: str
    mean_psnr: Curve
    mean_mse: Curve | None
    per_image: Mapping[str, Curve]


def anchor_keys() -> list[str]:
    """Names under which anchors are found, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load_anchors(keys: Sequence[str]) -> list[Anchor]:
    """Anchors by name, each once; `all` stands for every one.

    Raises:
        ValueError: there is no such anchor, or its file is not valid.
    """
    known = anchor_keys()
    wanted = known if "all" in keys else list(dict.fromkeys(keys))
    for key in wanted:
        if key not in known:
            raise ValueError(f"there is no anchor {key!r}, there are: all, {', '.join(known)}")
    return [read_anchor(FOLDER / f"{key}.json") for key in wanted]


def read_anchor(path: Path) -> Anchor:
    """Read and check one file.

    Raises:
        ValueError: it is not of the form that the README describes.
    """
    try:
        return _parse(path.stem, json.loads(path.read_text(encoding="utf-8")))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name} is not a valid anchor: {error}") from error


def _parse(key: str, content: dict[str, Any]) -> Anchor:
    if set(content) != _KEYS:
        raise ValueError(f"it holds {sorted(content)}, it must hold {sorted(_KEYS)}")
    for field in _KEYS - {"points", "per_image"}:
        if not isinstance(content[field], str) or not content[field]:
            raise ValueError(f"{field} must be a text")
    if content["dataset"] not in DATASETS:
        raise ValueError(f"dataset is {content['dataset']!r}, it must be in {sorted(DATASETS)}")
    points, per_image = content["points"], content["per_image"]
    settings = [_setting(point) for point in points]
    if len(settings) < 2 or len(set(settings)) < len(settings):
        raise ValueError("there must be two points or more, each of another setting")
    of_mean_mse = [point["psnr_of_mean_mse"] for point in points]
    unknown = set(per_image) - set(DATASETS[content["dataset"]].images)
    if unknown:
        raise ValueError(f"the dataset has no {', '.join(sorted(unknown))}")
    for image, found in per_image.items():
        if [point["setting"] for point in found] != settings:
            raise ValueError(f"the settings of {image} are not those of the points")
    return Anchor(
        key=key,
        name=content["name"],
        source=content["source"],
        dataset=content["dataset"],
        mean_psnr=_curve(points, "psnr_rgb"),
        mean_mse=None if None in of_mean_mse else _curve(points, "psnr_of_mean_mse"),
        per_image={image: _curve(found, "psnr_db") for image, found in per_image.items()},
    )


def _setting(point: dict[str, Any]) -> str:
    """The setting as text; a lambda is a number above 0."""
    if ("lmbda" in point) == ("setting" in point):
        raise ValueError("a point must have either lmbda or setting")
    return str(_number(point, "lmbda")) if "lmbda" in point else str(point["setting"])


def _curve(points: Sequence[dict[str, Any]], field: str) -> Curve:
    return Curve(
        tuple(_number(point, "bpp") for point in points),
        tuple(_number(point, field) for point in points),
    )


def _number(point: dict[str, Any], field: str) -> float:
    value = point[field]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{field} is {value!r}, it must be a number")
    if not (isfinite(value) and value > 0):
        raise ValueError(f"{field} is {value}, it must be above 0")
    return float(value)
