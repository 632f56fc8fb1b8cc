"""Tables of rate-distortion points: every point, averages for each lambda, BD-rates to anchors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite, isnan, nan
from pathlib import Path

import tables
from anchors import DATASETS, Anchor
from bd_rate import (
    Curve,
    bd_rate,
    bd_rates,
    common_range,
    finite_mean,
    mean_mse_curve,
    mean_psnr_curve,
)
from rd_points import Point

_DIGITS = {"psnr_db": 4, "rate_bpp": 6, "mac_per_pixel": 1}


@dataclass(frozen=True)
class Averages:
    """Averages over images, point by point at the lambdas that all of them have.

    Attributes:
        lmbdas: from the lowest rate to the highest.
        mean_psnr: means of rate and PSNR.
        mean_mse: mean rate, and the PSNR of the mean squared error.
    """

    lmbdas: tuple[float, ...]
    mean_psnr: Curve
    mean_mse: Curve


@dataclass(frozen=True)
class Comparison:
    """BD-rates to one anchor in percent, negative where fewer bits are needed; nan if unknown.

    Attributes:
        anchor: its name.
        images: how many images both know.
        per_image: BD-rate of each of them, averaged.
        without_overlap: those among them whose curves have no PSNR in common.
        mean_psnr: BD-rate of the curves averaged over them, by means of PSNR.
        mean_mse: the same by the PSNR of the mean squared error.
        range_db: lowest and highest mean PSNR that both averaged curves cover, None if none.
    """

    anchor: str
    images: int
    per_image: float
    without_overlap: int
    mean_psnr: float
    mean_mse: float
    range_db: tuple[float, float] | None


def point_row(point: Point) -> dict[str, object]:
    """A point under the column names that the field uses, then under this project's own."""
    return {
        "seq_name": point.seq_name,
        "lmbda": point.lmbda,
        "n_pixels": point.n_pixels,
        "psnr_db": point.psnr_db,
        "rate_bpp": point.rate_bpp,
        "bytes": point.bytes,
        "header_bytes": point.header_bytes,
        "parameter_bytes": point.parameter_bytes,
        "latent_bytes": point.latent_bytes,
        "steps": point.settings.steps,
        "complexity": point.settings.complexity,
        "mac_per_pixel": point.mac_per_pixel,
        "fit_seconds": point.fit_seconds,
        "fit_cpu_seconds": point.fit_cpu_seconds,
        "encode_seconds": point.encode_seconds,
        "encode_cpu_seconds": point.encode_cpu_seconds,
        "decode_seconds": point.decode_seconds,
        "decode_cpu_seconds": point.decode_cpu_seconds,
        "processor": point.processor,
    }


def by_image(points: Iterable[Point]) -> dict[str, dict[float, Point]]:
    """Points by image and lambda."""
    found: dict[str, dict[float, Point]] = {}
    for point in points:
        found.setdefault(point.seq_name, {})[point.lmbda] = point
    return found


def curve(points: Iterable[Point]) -> Curve:
    """Curve of one image's points."""
    pairs = [(point.rate_bpp, point.psnr_db) for point in points]
    return Curve(tuple(rate for rate, _ in pairs), tuple(psnr for _, psnr in pairs))


def image_curves(points: Iterable[Point]) -> dict[str, Curve]:
    """Curve of every image."""
    return {image: curve(found.values()) for image, found in by_image(points).items()}


def average(points: Iterable[Point]) -> Averages:
    """Averages over all images of the points, at least one."""
    images = list(by_image(points).values())
    lmbdas = tuple(sorted(set.intersection(*(set(found) for found in images)), reverse=True))
    curves = [curve(found[lmbda] for lmbda in lmbdas) for found in images]
    return Averages(lmbdas, mean_psnr_curve(curves), mean_mse_curve(curves))


def known_points(points: Iterable[Point], anchor: Anchor) -> list[Point]:
    """The points of images that the anchor has figures for, by name and number of pixels.

    An anchor without figures for each image is good for its whole dataset only: without all of
    the dataset's images there are no such points.
    """
    dataset = DATASETS[anchor.dataset]
    names = anchor.per_image or dataset.images
    found = [p for p in points if p.seq_name in names and p.n_pixels == dataset.n_pixels]
    whole = {point.seq_name for point in found} == set(dataset.images)
    return found if anchor.per_image or whole else []


def anchor_averages(anchor: Anchor, images: Iterable[str]) -> tuple[Curve, Curve | None]:
    """The anchor averaged over the images, as mean PSNR and as PSNR of the mean squared error."""
    if not anchor.per_image:
        return anchor.mean_psnr, anchor.mean_mse
    curves = [anchor.per_image[image] for image in images]
    return mean_psnr_curve(curves), mean_mse_curve(curves)


def compare(points: Iterable[Point], anchor: Anchor) -> Comparison | None:
    """BD-rates to an anchor over the images that both know; None if there are none."""
    shared = known_points(points, anchor)
    if not shared:
        return None
    ours = image_curves(shared)
    each = bd_rates(anchor.per_image, ours)
    averages = average(shared)
    mean_psnr, mean_mse = anchor_averages(anchor, ours)
    return Comparison(
        anchor=anchor.name,
        images=len(ours),
        per_image=finite_mean(list(each.values())),
        without_overlap=sum(isnan(value) for value in each.values()),
        mean_psnr=bd_rate(mean_psnr, averages.mean_psnr),
        mean_mse=nan if mean_mse is None else bd_rate(mean_mse, averages.mean_mse),
        range_db=common_range(mean_psnr, averages.mean_psnr),
    )


def average_rows(averages: Averages) -> list[dict[str, object]]:
    """A row for each lambda."""
    return [
        {
            "lmbda": lmbda,
            "bpp": f"{averages.mean_psnr.bpp[i]:.4f}",
            "mean PSNR": f"{averages.mean_psnr.psnr_db[i]:.3f}",
            "PSNR of mean MSE": f"{averages.mean_mse.psnr_db[i]:.3f}",
        }
        for i, lmbda in enumerate(averages.lmbdas)
    ]


def comparison_row(found: Comparison) -> dict[str, object]:
    """A row for people: percent with sign, a dash for what is not known."""
    low_high = found.range_db
    return {
        "BD-rate to": found.anchor,
        "images": found.images,
        "per image": _percent(found.per_image),
        "no overlap": found.without_overlap,
        "mean PSNR": _percent(found.mean_psnr),
        "PSNR of mean MSE": _percent(found.mean_mse),
        "dB": f"{low_high[0]:.1f} to {low_high[1]:.1f}" if low_high else "-",
    }


def write_tsv(points: Sequence[Point], path: Path) -> None:
    """Every point as a line under the names of `point_row`."""
    rows = [point_row(point) for point in points]
    lines = ["\t".join(rows[0])]
    lines += ["\t".join(_cell(name, value) for name, value in row.items()) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_json(
    name: str, points: Sequence[Point], comparisons: Sequence[Comparison], path: Path
) -> None:
    """The averages in the form of CompressAI's result files, then the comparisons and all points.

    What is infinite or unknown becomes null.
    """
    averages, settings = average(points), points[0].settings
    n_images = len(by_image(points))
    content = {
        "name": name,
        "description": f"givre, {settings.complexity}, {settings.steps} steps; real files, decoded;"
        f" means over {n_images} images",
        "results": {
            "bpp": averages.mean_psnr.bpp,
            "psnr": averages.mean_psnr.psnr_db,
            "psnr-rgb": averages.mean_psnr.psnr_db,  # its later name
            "psnr_of_mean_mse": averages.mean_mse.psnr_db,
            "lmbda": averages.lmbdas,
        },
        "bd_rates": [asdict(found) for found in comparisons],
        "points": [point_row(point) for point in points],
    }
    path.write_text(json.dumps(_finite(content), indent=1) + "\n", encoding="utf-8")


def show_report(points: Sequence[Point], comparisons: Sequence[Comparison]) -> None:
    """Print the averages and the BD-rates."""
    images, averages = by_image(points), average(points)
    print(f"Averages over {len(images)} images")
    if averages.lmbdas:
        tables.show(average_rows(averages))
    partial = {point.lmbda for point in points} - set(averages.lmbdas)
    for lmbda in sorted(partial, reverse=True):
        have = sum(lmbda in found for found in images.values())
        print(f"lambda {lmbda} is left out: {have} of {len(images)} images have it")
    print()
    if comparisons:
        print("BD-rate over the images that both know; negative: fewer bits than the anchor")
        tables.show([comparison_row(found) for found in comparisons])
    else:
        print("No BD-rates: no anchor has figures for these images")


def _percent(value: float) -> str:
    return f"{value:+.2f} %" if isfinite(value) else "-"


def _cell(name: str, value: object) -> str:
    return f"{value:.{_DIGITS.get(name, 3)}f}" if _rounded(name, value) else str(value)


def _rounded(name: str, value: object) -> bool:
    return isinstance(value, float) and name != "lmbda"


def _finite(value: object) -> object:
    """The same without infinite numbers and nan, which JSON does not have."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
