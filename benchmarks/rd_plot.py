"""Rate-distortion plots: averaged curves of all codecs, and a grid with one panel an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, cycle
from math import ceil, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bd_rate import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 130
_OURS: dict[str, Any] = {"color": "black", "marker": "o", "linewidth": 2.2, "markersize": 5}
_COLOURS = ("#1f77b4", "#d9822b", "#2a9d4f", "#c23b3b", "#7e57b2", "#8c6d46", "#17a2b8", "#c2589e")
_DASHES = ("-", "--", ":")
_GRID_COLUMNS = 4
_LEGEND_ROWS = 24
_MARGIN = 0.12  # of the range of our own points, on each side


def plot_averages(
    path: Path, title: str, name: str, ours: Curve, anchors: Mapping[str, Curve]
) -> None:
    """One panel with our averaged curve and those of the anchors, as a PNG file."""
    legend_columns = ceil((1 + len(anchors)) / _LEGEND_ROWS)
    figure = _figure(6.8 + 2.8 * legend_columns, 5.4)
    axes = figure.subplots()
    _draw(axes, name, ours, anchors, list(anchors))
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("rate in bits per pixel")
    axes.set_ylabel("mean PSNR in dB")
    axes.legend(
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        ncols=legend_columns,
        frameon=False,
        fontsize=9,
    )
    figure.savefig(path, dpi=_DPI)


def plot_images(
    path: Path,
    title: str,
    name: str,
    ours: Mapping[str, Curve],
    anchors: Mapping[str, Mapping[str, Curve]],
) -> None:
    """A panel for each image, as a PNG file; anchors are given by name, then by image."""
    columns = min(_GRID_COLUMNS, len(ours))
    rows = ceil(len(ours) / columns)
    figure = _figure(3.2 * columns + 2.4, 2.7 * rows + 0.7)
    panels = figure.subplots(rows, columns, squeeze=False)
    lines: dict[str, Any] = {}
    for axes, (image, curve) in zip(chain.from_iterable(panels), ours.items(), strict=False):
        here = {anchor: curves[image] for anchor, curves in anchors.items() if image in curves}
        _draw(axes, name, curve, here, list(anchors))
        axes.set_title(image, fontsize=9)
        axes.tick_params(labelsize=8)
        handles, labels = axes.get_legend_handles_labels()
        lines |= dict(zip(labels, handles, strict=True))
    for axes in list(chain.from_iterable(panels))[len(ours) :]:
        axes.set_axis_off()
    order = [label for label in (name, *anchors) if label in lines]
    handles = [lines[label] for label in order]
    figure.legend(handles, order, loc="outside right center", frameon=False)
    figure.suptitle(title, fontsize=11)
    figure.supxlabel("rate in bits per pixel", fontsize=9)
    figure.supylabel("PSNR in dB", fontsize=9)
    figure.savefig(path, dpi=_DPI)


def _draw(
    axes: Axes, name: str, ours: Curve, anchors: Mapping[str, Curve], known: Sequence[str]
) -> None:
    """Our curve over the anchors', cut to our range; `known` gives each anchor its colour."""
    styles: dict[str, dict[str, Any]] = {
        anchor: {"color": colour, "linestyle": _DASHES[i // len(_COLOURS) % len(_DASHES)]}
        for i, (anchor, colour) in enumerate(zip(known, cycle(_COLOURS), strict=False))
    }
    axes.plot(*_sorted(ours), label=name, zorder=3, **_OURS)
    for anchor, curve in anchors.items():
        style = styles[anchor]
        axes.plot(*_sorted(curve), label=anchor, marker=".", linewidth=1.2, **style)
    bpp, psnr_db = _sorted(ours)
    if len(set(bpp)) > 1 and len(set(psnr_db)) > 1:
        axes.set_xlim(*_widened(bpp))
        axes.set_ylim(*_widened(psnr_db))
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _sorted(curve: Curve) -> tuple[list[float], list[float]]:
    """Rates and PSNR by rising rate, without lossless points, which no axis can show."""
    pairs = sorted(zip(curve.bpp, curve.psnr_db, strict=True))
    shown = [(rate, psnr) for rate, psnr in pairs if isfinite(psnr)]
    return [rate for rate, _ in shown], [psnr for _, psnr in shown]


def _widened(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = _MARGIN * (high - low)
    return low - margin, high + margin


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
