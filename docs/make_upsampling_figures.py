"""Draw the figures of docs/UPSAMPLING.md, and write all of its tables into the page.

python docs/make_upsampling_figures.py

Fits a small image, which takes about a minute. Needs matplotlib.
"""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot as plt
from PIL import Image
from upsampling_fit import FittedCrop, fit_blocks, fitted_crop, stage_halves
from upsampling_tables import Array, blocks, marked

from givre.models.filters.initial import initial_half
from givre.models.filters.kaiser import STOPBAND_EDGE
from givre.models.filters.spectrum import frequency_response, mirrored

HERE = Path(__file__).parent
PAGE = HERE / "UPSAMPLING.md"
FOLDER = HERE / "images" / "upsampling"
FREQUENCIES = np.linspace(0, np.pi, 1025)
COLOURS = ["#1b6ca8", "#d1495b", "#66a182", "#8d6a9f", "#edae49", "#444444"]
SHOWN = [("bilinear", 4), ("bicubic", 8), ("kaiser", 8), ("kaiser", 16)]


def save(figure: plt.Figure, name: str, colours: int = 64) -> None:
    """Write a figure as a small PNG with at most 256 colours."""
    path = FOLDER / f"{name}.png"
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)


def draw_alignment() -> None:
    """Grids of three levels over nine pixels, in both alignments."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 2.6), sharey=True)
    for ax, half_pixel in zip(axes, (True, False), strict=True):
        for level in range(3):
            scale = 2**level
            for i in range(-(-9 // scale)):
                centre = (i + 0.5) * scale - 0.5 if half_pixel else i * scale
                box = (centre - scale / 2, -level - 0.3)
                ax.add_patch(
                    plt.Rectangle(box, scale, 0.6, fc=COLOURS[level], ec="white", alpha=0.35)
                )
                ax.plot(centre, -level, "o", color=COLOURS[level], ms=5)
        for edge in (-0.5, 8.5):
            ax.axvline(edge, color="black", lw=1)
        ax.set(xlim=(-2.7, 12), ylim=(-2.5, 0.5), xlabel="pixel", xticks=range(9))
        ax.set_yticks([0, -1, -2], ["image", "1 level down", "2 levels down"])
        ax.set_title("half-pixel: cells tile the image" if half_pixel else "grid-aligned")
        ax.spines[["top", "right"]].set_visible(False)
    save(figure, "alignment")


def draw_images() -> None:
    """The spectrum of a signal, of its zero insertion, and of what a filter leaves."""
    figure, axes = plt.subplots(1, 3, figsize=(9, 2.4), sharey=True)
    omega = FREQUENCIES / np.pi

    def spectrum(frequency: Array) -> Array:
        folded = np.abs((frequency + np.pi) % (2 * np.pi) - np.pi)
        return np.asarray(np.clip(1 - folded / (0.9 * np.pi), 0, None) ** 0.7)

    inserted = spectrum(2 * FREQUENCIES)
    response = np.abs(frequency_response(mirrored(initial_half("kaiser", 8)), FREQUENCIES)) / 2
    low = omega <= 0.5
    axes[0].fill_between(omega, spectrum(FREQUENCIES), color=COLOURS[0], alpha=0.5)
    axes[0].set(title="input", xlabel="frequency / Nyquist")
    for ax, shown, title in (
        (axes[1], inserted, "zeros inserted"),
        (axes[2], inserted * response, "then filtered"),
    ):
        ax.fill_between(omega[low], shown[low], color=COLOURS[0], alpha=0.5, label="signal")
        ax.fill_between(omega[~low], shown[~low], color=COLOURS[1], alpha=0.6, label="image")
        ax.axvline(0.5, color="black", lw=0.8, ls=":")
        ax.set(title=title, xlabel="frequency / new Nyquist")
    axes[2].plot(omega, response, color="black", lw=1, label="filter")
    axes[1].legend(frameon=False, loc="upper right")
    axes[2].legend(frameon=False, loc="upper right")
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.set(xlim=(0, 1), ylim=(0, 1.3))
    save(figure, "images")


def draw_checkerboard() -> None:
    """A constant through kernels of ones: how often each output is painted."""
    figure, axes = plt.subplots(1, 4, figsize=(8, 2.2))
    for ax, k in zip(axes, (3, 4, 5, 6), strict=True):
        row = np.zeros(32)
        for i in range(16):
            row[2 * i : 2 * i + k] += 1
        inner = row[8:20]
        ax.imshow(np.outer(inner, inner), cmap="Blues", vmin=0, vmax=10)
        ax.set(title=f"{k} taps, stride 2", xticks=[], yticks=[])
    save(figure, "checkerboard")


def draw_phases() -> None:
    """Which input samples the outputs read, in pixel shuffle and in the sub-pixel form."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 2.3), sharey=True)
    titles = ("convolution + pixel shuffle", "convolution of inserted zeros")
    for ax, late, title in zip(axes, (0, 1), titles, strict=True):
        for sample in range(5):
            ax.plot(2 * sample, 1, "s", color="black", ms=9)
            ax.text(2 * sample, 1.22, f"x{sample}", ha="center")
        for output in range(7):
            colour = COLOURS[output % 2]
            for tap in (0, 1):
                sample = output // 2 + tap + late * (output % 2)
                ax.plot([output, 2 * sample], [0, 1], color=colour, lw=1.2, alpha=0.7)
            ax.plot(output, 0, "o", color=colour, ms=9)
            ax.text(output, -0.35, f"y{output}", ha="center")
        ax.set(title=title, ylim=(-0.5, 1.5), xlim=(-0.6, 8.6))
        ax.axis("off")
    save(figure, "phases")


def draw_responses() -> None:
    """Kernels and frequency responses of the initialisations."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3))
    for (name, k), colour in zip(SHOWN, COLOURS, strict=False):
        kernel = mirrored(initial_half(name, k))
        at = np.arange(k) - (k - 1) / 2
        label = f"{name}, {k} taps"
        axes[0].plot(at, kernel, "o-", color=colour, ms=3, lw=1, label=label)
        response = np.abs(frequency_response(kernel, FREQUENCIES)) / 2
        decibel = 20 * np.log10(np.maximum(response, 1e-5))
        axes[1].plot(FREQUENCIES / np.pi, decibel, color=colour, lw=1.2, label=label)
    axes[0].set(xlabel="output samples from the centre", title="kernel")
    axes[1].axvspan(STOPBAND_EDGE, 1, color="black", alpha=0.07)
    axes[1].axvline(0.5, color="black", lw=0.8, ls=":")
    axes[1].set(ylim=(-75, 5), xlim=(0, 1), title="response, dB (grey: stop-band)")
    axes[1].set(xlabel="frequency / new Nyquist")
    axes[0].legend(frameon=False, fontsize=8)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    save(figure, "responses")


def draw_equivariance() -> None:
    """Error of a shift by half a sample, for waves of each frequency."""
    figure, ax = plt.subplots(figsize=(6, 2.8))
    low = FREQUENCIES[: FREQUENCIES.size // 2]
    for (name, k), colour in zip(SHOWN, COLOURS, strict=False):
        image = np.abs(frequency_response(mirrored(initial_half(name, k)), np.pi - low)) / 2
        error = np.maximum(image**2 / 2 * 4, 1e-9)
        eq_t = 10 * np.log10(4 / error)
        ax.plot(2 * low / np.pi, eq_t, color=colour, label=f"{name}, {k} taps")
    ax.set(xlim=(0, 1), ylim=(0, 85), ylabel="EQ-T, dB")
    ax.set(xlabel="frequency of a wave / Nyquist frequency of the input")
    ax.legend(frameon=False, fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    save(figure, "equivariance")


def draw_learned(crop: FittedCrop) -> None:
    """The fitted image beside the original, and the filters that came out."""
    figure, axes = plt.subplots(
        1, 4, figsize=(11, 2.7), width_ratios=(1, 1, 1.3, 1.5), layout="constrained"
    )
    for ax, picture, title in (
        (axes[0], crop.samples, "original"),
        (axes[1], crop.decoded, "decoded"),
    ):
        ax.imshow(picture)
        ax.set(title=title, xticks=[], yticks=[])
    start = mirrored(initial_half("bicubic", 8))
    at = np.arange(8) - 3.5
    names = ("finest stage", "second finest", "third finest")
    for half, colour, name in zip(stage_halves(crop.fit)[::-1], COLOURS, names, strict=False):
        kernel = mirrored(half) / sum(half)
        axes[2].plot(at, kernel, "o-", color=colour, ms=3, lw=1)
        response = np.abs(frequency_response(kernel, FREQUENCIES)) / 2
        decibel = 20 * np.log10(np.maximum(response, 1e-5))
        axes[3].plot(FREQUENCIES / np.pi, decibel, color=colour, lw=1.2, label=name)
    axes[2].plot(at, start, "k:", lw=1)
    response = np.abs(frequency_response(start, FREQUENCIES)) / 2
    decibel = 20 * np.log10(np.maximum(response, 1e-5))
    axes[3].plot(FREQUENCIES / np.pi, decibel, "k:", lw=1, label="start, bicubic")
    axes[2].set(title="kernels / gain", xlabel="output samples from the centre")
    axes[3].set(title="responses, dB", ylim=(-60, 5), xlim=(0, 1))
    axes[3].set(xlabel="frequency / new Nyquist")
    axes[3].legend(frameon=False, fontsize=7, loc="lower left")
    for ax in axes[2:]:
        ax.spines[["top", "right"]].set_visible(False)
    save(figure, "learned", colours=256)


def with_blocks(page: str, tables: dict[str, str]) -> str:
    """The page with the content between each pair of markers replaced."""
    for name, content in tables.items():
        pattern = rf"<!-- begin {name} -->\n.*?<!-- end {name} -->"
        page, count = re.subn(pattern, lambda _: marked(name, content), page, flags=re.DOTALL)  # noqa: B023
        if count != 1:
            raise ValueError(f"the page has {count} blocks named {name}, it must have one")
    return page


def main() -> None:
    """Draw, fit, print and write."""
    mpl.use("Agg")
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for draw in (
        draw_alignment,
        draw_images,
        draw_checkerboard,
        draw_phases,
        draw_responses,
        draw_equivariance,
    ):
        draw()
    crop = fitted_crop(HERE / "images" / "demo.png")
    draw_learned(crop)
    tables = blocks() | fit_blocks(crop)
    print("\n\n".join(marked(name, content) for name, content in tables.items()))
    PAGE.write_text(with_blocks(PAGE.read_text(encoding="utf-8"), tables), encoding="utf-8")


if __name__ == "__main__":
    main()
