"""Fit a crop of a photograph from bicubic filters on, and table what they became."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from upsampling_tables import equivariance_cells, filter_cells, listed, table

import givre
from givre.coder.fitting.checkpoint import Fit
from givre.models.filters.initial import initial_half
from givre.models.geometry import grids

BOX = (200, 120, 328, 248)
"""Left, top, right and bottom of the crop."""

STEPS = 800
LMBDA = 0.001


@dataclass(frozen=True)
class FittedCrop:
    """A crop (H, W, 3), its fit, the coded file and the samples that the file decodes to."""

    samples: NDArray[np.uint8]
    fit: Fit
    data: bytes
    decoded: NDArray[np.uint8]


def fitted_crop(path: Path) -> FittedCrop:
    """Fit the crop of the image at `path`, code it and decode it."""
    with Image.open(path) as image:
        samples = np.asarray(image.convert("RGB").crop(BOX))
    fit = givre.overfit(samples, lmbda=LMBDA, steps=STEPS, complexity="lop", threads=1, prior=0)
    data = fit.to_bytes(samples)
    return FittedCrop(samples, fit, data, np.asarray(givre.decode(data, threads=1)))


def stage_halves(fit: Fit, kind: str = "transposed") -> list[list[float]]:
    """Left halves of the filters of one kind, from the coarsest stage on."""
    stages = range(fit.architecture.n_levels - 1)
    return [fit.parameters[f"upsampling.{kind}.{s}.weight"].tolist() for s in stages]


def fit_blocks(crop: FittedCrop) -> dict[str, str]:
    """The tables that depend on the fit, by the name of their block in the page."""
    return {
        "fit": _fit_table(crop),
        "learned": _learned_table(crop.fit),
        "preconcat": _preconcat_table(crop.fit),
    }


def _fit_table(crop: FittedCrop) -> str:
    height, width = crop.samples.shape[:2]
    error = np.mean((crop.samples.astype(float) - crop.decoded) ** 2)
    figures = [
        ("crop", f"{width} x {height} at ({BOX[0]}, {BOX[1]})"),
        ("complexity, lambda, steps", f"lop, {LMBDA:g}, {STEPS}"),
        ("file", f"{len(crop.data)} bytes, {8 * len(crop.data) / width / height:.3f} bpp"),
        ("PSNR", f"{10 * np.log10(255**2 / error):.2f} dB"),
    ]
    return table(("fit", "value"), figures)


def _learned_table(fit: Fit) -> str:
    halves = stage_halves(fit)
    start = initial_half("bicubic", 2 * len(halves[0]))
    rows = [_filter_row("start, bicubic", list(start))]
    for stage, half in enumerate(halves):
        to_level = len(halves) - 1 - stage
        rows.append(_filter_row(f"level {to_level + 1} to {to_level}", half))
    header = (
        "stage",
        "left half / gain",
        "gain",
        "gain at the pass-band's edge, dB",
        "stop-band attenuation, dB",
        "image rejection, dB",
        "EQ-T, photograph, dB",
    )
    return table(header, rows)


def _filter_row(name: str, half: list[float]) -> list[str]:
    gain = sum(half)
    unit = [tap / gain for tap in half]
    photograph = equivariance_cells(unit)[1]
    taps = " ".join(f"{tap:.3f}" for tap in unit)
    return [name, taps, f"{gain:.2f}", *filter_cells(half), photograph]


def _preconcat_table(fit: Fit) -> str:
    halves = stage_halves(fit, "preconcat")
    shapes = grids(fit.architecture, fit.width, fit.height)
    main = [y for y, grid in zip(fit.latents, shapes, strict=True) if not grid.hyper]
    rows = []
    for stage, half in enumerate(halves):
        level = len(halves) - 1 - stage
        gain = 1 + (2 * sum(half) - half[-1]) ** 2
        used = f"{int(main[level].count_nonzero())} of {main[level].numel()}"
        rows.append((f"level {level}", listed(np.round(half, 3)), f"{gain:.2f}", used))
    header = (
        "grid",
        "left half with the centre",
        "gain with the residual",
        "latents that are not 0",
    )
    return table(header, rows)
