"""Pictures of an inspected file, as PNG: its upsampling filters, and its latents.

Only this module needs matplotlib, and only once a picture is asked for.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from givre.coder.files.atomic import atomic_write_bytes, check_output
from givre.coder.files.picture import AnySamples
from givre.coder.inspection.inspection import InspectedGrid, Inspection
from givre.coder.inspection.learned_filters import (
    InspectedStage,
    classical_kernels,
    filter_rejection_db,
    gain,
)
from givre.errors import OutputError, UsageError
from givre.models.geometry import level_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

_DPI = 110
_LARGEST_PANEL = 1024
_COLOURS = {"learned": "black", "bilinear": "#1f77b4", "bicubic": "#d9822b", "kaiser": "#2a9d4f"}
_FEWEST_COLUMNS = 7
_FLOOR_DB = -60.0
_FREQUENCIES = np.linspace(0, 0.5, 401)
_OLD_NYQUIST = 0.25
_SMALL, _TINY = 9, 8


def check_matplotlib() -> None:
    """Raise UsageError, with what to install, unless pictures can be drawn."""
    try:
        import matplotlib.figure
    except ImportError:
        message = "pictures need matplotlib, install it with: pip install 'givre[plot]'"
        raise UsageError(message) from None
    del matplotlib


def check_png_name(path: Path) -> None:
    """Raise OutputError for a name that asks for another format than PNG; no suffix will do."""
    if path.suffix.lower() not in ("", ".png"):
        raise OutputError(f"{path.name} cannot hold a picture in PNG, use a name with .png")


def write_plot(png: Callable[[], bytes], path: Path, force: bool) -> None:
    """Write a picture as a PNG file, whole or not at all.

    Args:
        png: draws it.
        path: the file.
        force: whether an existing file is replaced.

    Raises:
        UsageError: matplotlib is missing.
        OutputError: the name is none of a PNG file, the file exists and `force` is false, or it
            cannot be written.
    """
    check_png_name(path)
    check_output(path, force)
    atomic_write_bytes(path, png(), force)


def filters_png(inspection: Inspection) -> bytes:
    """`filters_figure` as the content of a PNG file."""
    return _png(filters_figure(inspection))


def latents_png(inspection: Inspection) -> bytes:
    """`latents_figure` as the content of a PNG file."""
    return _png(latents_figure(inspection))


def filters_figure(inspection: Inspection) -> Figure:
    """Every stage's two filters, taps and frequency responses, one row a stage.

    The x2 filters stand beside the bilinear, bicubic and Kaiser ones of the same size, with their
    image rejection. Raises UsageError if matplotlib is missing.
    """
    stages = inspection.stages
    classical = classical_kernels(stages[0].transposed.size)
    figure = _figure(14, 1.3 + 1.75 * len(stages))
    axes = figure.subplots(len(stages), 4, squeeze=False, sharex="col", sharey="col")
    titles = (
        "Upsampling x2: taps",
        "Upsampling x2: gain in dB",
        "Pre-concatenation + residual: taps",
        "Pre-concatenation + residual: gain",
    )
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=10, fontweight="bold")
    for row, stage in zip(axes, stages, strict=True):
        _draw_taps(row[0], stage.transposed, classical)
        _draw_attenuation(row[1], stage, classical)
        _draw_taps(row[2], stage.preconcat_with_residual, {})
        _draw_gain(row[3], stage.preconcat_with_residual)
        sizes = (
            level_size(inspection.header.width, inspection.header.height, level)
            for level in (stage.level + 1, stage.level)
        )
        before, after = (f"{width} x {height}" for height, width in sizes)
        row[0].set_ylabel(f"stage {stage.stage}\n{before}\nto {after}", fontsize=_SMALL)
    axes[0, 3].set_ylim(bottom=0)
    for axis, name in zip(axes[-1], ("tap", "cycles a sample") * 2, strict=True):
        axis.set_xlabel(name, fontsize=_SMALL)
    labels = {"learned": "learned"} | {
        name: f"{name} ({filter_rejection_db(kernel):.1f} dB image rejection)"
        for name, kernel in classical.items()
    }
    handles = [axes[0, 1].plot([], [], color=_COLOURS[name])[0] for name in labels]
    figure.legend(
        handles, list(labels.values()), loc="outside upper center", ncols=len(labels), frameon=False
    )
    return figure


def latents_figure(inspection: Inspection) -> Figure:
    """The picture, the map of bits, every latent grid and the upsampled stack.

    Raises UsageError if matplotlib is missing.
    """
    header = inspection.header
    main = [found for found in inspection.grids if not found.grid.hyper]
    hyper = {found.grid.level: found for found in inspection.grids if found.grid.hyper}
    n_rows = 3 if hyper else 2
    shape = min(max(header.height / header.width, 0.3), 2.0)
    n_columns = max(len(main), _FEWEST_COLUMNS)
    width = 2.0 * n_columns
    top_height = min(width / 3 * shape, 7.0) + 0.7
    bottom_height = n_rows * (width / n_columns * shape + 0.7) + 0.3
    figure = _figure(width, top_height + bottom_height)
    # One column of subfigures comes as an array, which matplotlib's types do not say.
    parts: Any = figure.subfigures(2, 1, height_ratios=[top_height, bottom_height])
    top, bottom = parts

    picture, bit_map, bars = top.subplots(1, 3)
    _show_samples(picture, inspection.samples, (1 << inspection.header.bit_depth) - 1)
    picture.set_title(f"Decoded picture, {header.width} x {header.height}", fontsize=10)
    _show_bits(bit_map, inspection.bits_per_pixel)
    _draw_bars(bars, inspection)

    bottom.suptitle(
        "Latent grids and what they become. Blue is negative, white 0, red positive;"
        " the range stands below each panel.",
        fontsize=10,
    )
    rows = bottom.subplots(n_rows, n_columns, squeeze=False)
    for column in range(n_columns):
        if column < len(main):
            _show_grid(rows[0, column], main[column], inspection.latent_bits)
            _show_signed(rows[1, column], inspection.stack[column])
            rows[1, column].set_title(f"y{column} upsampled", fontsize=_SMALL)
        if column in hyper:
            _show_grid(rows[2, column], hyper[column], inspection.latent_bits)
    for axis in rows.flat:
        axis.set_visible(bool(axis.images))
    return figure


def _figure(width: float, height: float) -> Figure:
    """A figure of its own, unknown to pyplot, so that nothing global is touched."""
    check_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=_DPI)
    return content.getvalue()


def _tidy(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=_TINY)


def _draw_taps(axis: Axes, taps: Array, classical: dict[str, Array]) -> None:
    positions = np.arange(taps.size) - (taps.size - 1) / 2
    axis.axhline(0, color="0.7", linewidth=0.8)
    for name, kernel in classical.items():
        axis.plot(positions, kernel, "_", color=_COLOURS[name], markersize=13, markeredgewidth=2)
    axis.vlines(positions, 0, taps, color="black", linewidth=1)
    axis.plot(positions, taps, "o", color="black", markersize=4)
    _tidy(axis)


def _draw_attenuation(axis: Axes, stage: InspectedStage, classical: dict[str, Array]) -> None:
    """Gain of a x2 filter, 0 dB for one that keeps a constant."""
    axis.axvspan(_OLD_NYQUIST, 0.5, color="0.94")
    for name, kernel in (classical | {"learned": stage.transposed}).items():
        amplitude = np.maximum(gain(kernel, _FREQUENCIES) / 2, 10 ** (_FLOOR_DB / 20 - 1))
        width = 1.8 if name == "learned" else 1
        axis.plot(_FREQUENCIES, 20 * np.log10(amplitude), color=_COLOURS[name], linewidth=width)
    axis.set(xlim=(0, 0.5), ylim=(_FLOOR_DB, 10))
    axis.text(0.26, 2, "images", color="0.45", fontsize=_TINY)
    measures = (
        f"image rejection {_number(stage.image_rejection_db, '.1f dB')}\n"
        f"checkerboard energy {_number(stage.checkerboard_energy, '.1g')}"
    )
    axis.text(0.01, _FLOOR_DB + 3, measures, fontsize=_SMALL)
    _tidy(axis)


def _draw_gain(axis: Axes, kernel: Array) -> None:
    axis.plot(_FREQUENCIES, gain(kernel, _FREQUENCIES), color="black", linewidth=1.8)
    axis.set(xlim=(0, 0.5))
    _tidy(axis)


def _show_samples(axis: Axes, samples: AnySamples, largest: int) -> None:
    values = reduced(samples.astype(np.float64)) / largest
    if samples.shape[2] <= 2:
        grey = values[:, :, :1]
        values = np.concatenate([grey, grey, grey, values[:, :, 1:]], axis=2)
    _bare_image(axis, values)


def _show_bits(axis: Axes, bits_per_pixel: Array) -> None:
    shown = reduced(bits_per_pixel)
    # A few latents cost ten times more than the next; they would leave the rest of the map dark.
    ceiling = max(float(np.percentile(shown, 99.5)), 1e-9)
    image = _bare_image(axis, shown, cmap="magma", vmin=0, vmax=ceiling)
    bar = axis.figure.colorbar(image, ax=axis, extend="max", shrink=0.8)
    bar.ax.tick_params(labelsize=_TINY)
    axis.set_title("Bits per pixel, all grids", fontsize=10)


def _draw_bars(axis: Axes, inspection: Inspection) -> None:
    total = inspection.latent_bits
    found = inspection.grids
    bits = [grid.total_bits for grid in found]
    colours = ["#8c6bb1" if grid.grid.hyper else "#4c78a8" for grid in found]
    bars = axis.barh([grid.grid.label for grid in found], bits, color=colours)
    axis.bar_label(bars, [f"{100 * part / total:.1f} %" for part in bits], padding=3, fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.15)
    pixels = inspection.header.width * inspection.header.height
    axis.set_title(f"Bits of each grid, {total:,.0f} in all, {total / pixels:.3f} bpp", fontsize=10)
    _tidy(axis)


def _show_grid(axis: Axes, found: InspectedGrid, total: float) -> None:
    _show_signed(axis, found.values.astype(np.float64))
    grid, bits = found.grid, found.total_bits
    axis.set_title(
        f"{grid.label}, {grid.width} x {grid.height}\n{bits:,.0f} bits, {100 * bits / total:.1f} %",
        fontsize=_SMALL,
    )


def _show_signed(axis: Axes, plane: Array) -> None:
    """Blue for negative, white for 0, red for positive values, with the range below."""
    shown = reduced(plane)
    limit = max(float(np.percentile(np.abs(shown), 99.5)), 1e-9)
    _bare_image(axis, shown, cmap="RdBu_r", vmin=-limit, vmax=limit)
    axis.set_xlabel(f"{plane.min():.3g} to {plane.max():.3g}", fontsize=_TINY, color="0.35")


def _bare_image(axis: Axes, values: Array, **colours: Any) -> Any:
    height, width = values.shape[:2]
    aspect: Literal["equal", "auto"] = "equal" if 1 / 6 < height / width < 6 else "auto"
    axis.set(xticks=[], yticks=[])
    return axis.imshow(values, aspect=aspect, **colours)


def reduced(plane: Array) -> Array:
    """Means over squares, so that no side of (H, W, ...) is above 1024: no panel shows more."""
    step = -(-max(plane.shape[:2]) // _LARGEST_PANEL)
    if step == 1:
        return plane
    for axis in (0, 1):
        size = plane.shape[axis]
        edges = np.arange(0, size, step)
        counts = np.diff(np.append(edges, size))
        means = np.moveaxis(np.add.reduceat(plane, edges, axis), axis, -1) / counts
        plane = np.moveaxis(means, -1, axis)
    return plane


def _number(value: float, form: str) -> str:
    """A measure for people; `form` is a format and perhaps a unit after a space."""
    number, _, unit = form.partition(" ")
    return "none" if np.isnan(value) else f"{value:{number}} {unit}".rstrip()
