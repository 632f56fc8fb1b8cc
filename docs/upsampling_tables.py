"""Compute the tables of docs/UPSAMPLING.md that come out alike on every machine, and print them.

python docs/upsampling_tables.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import log10, pi

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from givre.models.architecture import NAMED_POINTS
from givre.models.complexity import mac_per_pixel
from givre.models.filters.initial import initial_half
from givre.models.filters.kaiser import (
    STOPBAND_EDGE,
    TRANSITION_WIDTH,
    kaiser_attenuation_db,
)
from givre.models.filters.spectrum import (
    border_reach,
    checkerboard_energy,
    equivariance_t_db,
    frequency_response,
    image_rejection_db,
    mirrored,
    noise_plane,
    stopband_attenuation_db,
)
from givre.models.geometry import level_size
from givre.models.upsampling import Upsampling, transposed_1d_passes

Array = NDArray[np.float64]

INITIAL = [("bilinear", 4), ("bicubic", 8), *(("kaiser", k) for k in (4, 6, 8, 12, 16))]
TRIANGLE = np.array([0.5, 1.0, 0.5])
IMAGE_SIZE = 576
SCENES = {
    "white": (0.0, 0.5),
    "photograph": (1.0, 0.5),
    "smooth": (0.0, 0.5 - TRANSITION_WIDTH / 2),
}
"""Slope and highest frequency, in cycles a sample, of the noise that is upsampled."""

N_SHIFTS = 16


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table, the first column to the left and the others to the right."""
    names = list(header)
    lines = [names, ["---", *["---:"] * (len(names) - 1)], *([str(c) for c in r] for r in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def decibels(value: float) -> str:
    """One decimal; what only rounding limits is called exact."""
    if value > 200:
        return "exact"
    return "none" if value < -200 else f"{round(value, 1) + 0.0:.1f}"


def listed(values: Iterable[float]) -> str:
    """Numbers without needless zeros, separated by spaces."""
    return " ".join(f"{value:.4g}" for value in values)


def impulse_table() -> str:
    """An impulse, upsampled with either alignment."""
    x = np.array([0.0, 1.0, 0.0, 0.0])
    plane = torch.from_numpy(np.tile(x, (4, 1)))[None, None]
    half_pixel = transposed_1d_passes(plane, torch.tensor([0.25, 0.75]).double())[0, 0, 0]
    aligned = np.interp(np.arange(7) / 2, np.arange(4), x)
    rows = [("input", listed(x)), ("(1 3 3 1) / 4, half-pixel", listed(half_pixel.tolist()))]
    return table(("row", "samples"), [*rows, ("(1 2 1) / 2, grid-aligned", listed(aligned))])


def drift_table() -> str:
    """Where latent 0 of a grid n levels down comes to lie, in pixels from the image's left edge."""
    rows = []
    for n in range(1, 7):
        centroids = []
        for kernel, shift in ((mirrored([0.25, 0.75]), 1), (TRIANGLE, 1)):
            response, origin = np.ones(1), 0
            for _ in range(n):
                inserted = np.zeros(2 * response.size - 1)
                inserted[::2] = response
                response, origin = np.convolve(inserted, kernel), 2 * origin + shift
            centroids.append(float(response @ np.arange(response.size)) / response.sum() - origin)
        centre = (2**n - 1) / 2
        rows.append((n, f"0 to {2**n - 1}", centre, *centroids, centroids[1] - centre))
    header = ("levels down", "its pixels", "their centre", "half-pixel", "grid-aligned", "drift")
    return table(header, rows)


def order_table() -> str:
    """Image rejection of a blur before and after zero insertion."""
    comb = np.array([0.5, 0.0, 1.0, 0.0, 0.5])
    cases = {
        "zero insertion alone": [1.0],
        "(1 2 1) before zero insertion": comb,
        "(1 2 1) after it": TRIANGLE,
        "(1 3 3 1) after it": mirrored([0.25, 0.75]),
    }
    rows = ((name, f"{abs(image_rejection_db(kernel)):.1f}") for name, kernel in cases.items())
    return table(("filter", "image rejection, dB"), rows)


def checkerboard_table() -> str:
    """Checkerboard of a constant, for kernels of ones and for a symmetric kernel of any taps."""
    generator = np.random.default_rng(0)
    kernels = {f"{k} ones": np.ones(k) for k in (3, 4, 5, 6, 7, 8)}
    kernels["(a b c d d c b a), random taps"] = mirrored(generator.standard_normal(4))
    rows = []
    for name, kernel in kernels.items():
        weight = torch.from_numpy(np.outer(kernel, kernel))[None, None]
        plane = F.conv_transpose2d(torch.ones(1, 1, 16, 16).double(), weight, stride=2)[0, 0]
        energy = checkerboard_energy(plane[8:32, 8:32].numpy())
        rows.append((name, decibels(10 * log10(energy) if energy > 1e-25 else -300.0)))
    return table(("kernel, stride 2", "checkerboard / constant, dB"), rows)


def shift_table() -> str:
    """The two forms of one kernel on digits that tell which samples were read."""
    x = torch.tensor([1.0, 10.0, 100.0, 1000.0])[None, None]
    stacked = torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]])
    shuffled = stacked.movedim(0, 2).reshape(1, 1, 4)
    exchanged = stacked.flip(0).movedim(0, 2).reshape(1, 1, 4)
    inserted = torch.zeros(1, 1, 8)
    inserted[..., ::2] = x
    outputs = {
        "convolution, then pixel shuffle": F.conv1d(x, stacked).movedim(1, 2).reshape(-1),
        "sub-pixel, kernel (1 3 2 4)": F.conv1d(inserted, shuffled)[0, 0],
        "sub-pixel, kernel (3 1 4 2), one zero before": F.conv1d(
            F.pad(inserted, (1, 0)), exchanged
        )[0, 0],
    }
    rows = ((name, listed(values.tolist()[:5])) for name, values in outputs.items())
    return table(("form", "first outputs"), rows)


def cost_table() -> str:
    """Parameters and multiplications of one filter of each kind, in the forms it could have."""
    k, pre = NAMED_POINTS["lop"].ups_k_size, NAMED_POINTS["lop"].ups_preconcat_k_size
    rows = [
        ("2D kernel on inserted zeros", k**2, k**2, pre**2, pre**2),
        ("2D kernel, polyphase", k**2, k**2 // 4, pre**2, pre**2),
        ("separable, polyphase", k, 3 * k // 4, pre, 2 * pre),
        ("separable and symmetric, polyphase", k // 2, 3 * k // 4, (pre + 1) // 2, 2 * pre),
    ]
    up, conv = f"upsampling, {k} taps", f"pre-concatenation, {pre} taps"
    header = ("form", f"{up}: parameters", "MAC/output", f"{conv}: parameters", "MAC/output")
    return table(header, rows)


def pyramid_cost_table() -> str:
    """Parameters and multiplications a pixel of a whole pyramid."""
    arch = NAMED_POINTS["lop"]
    k, pre, stages = arch.ups_k_size, arch.ups_preconcat_k_size, arch.n_levels - 1
    areas = [np.prod(level_size(IMAGE_SIZE, IMAGE_SIZE, i)) / IMAGE_SIZE**2 for i in range(stages)]
    outputs = sum((stages - level) * area for level, area in enumerate(areas))
    convs = sum(areas)
    fast = mac_per_pixel(arch, IMAGE_SIZE, IMAGE_SIZE)["upsampling"]
    parameters = stages * (k**2 + pre**2)
    rows = [
        ("2D kernels on inserted zeros", parameters, outputs * k**2 + convs * pre**2),
        ("2D kernels, polyphase", parameters, outputs * k**2 / 4 + convs * pre**2),
        ("separable and symmetric, polyphase", stages * (k // 2 + (pre + 1) // 2), fast),
    ]
    header = (f"{arch.n_levels} grids, {IMAGE_SIZE} x {IMAGE_SIZE}", "parameters", "MAC/pixel")
    return table(header, ((name, count, f"{macs:.0f}") for name, count, macs in rows))


def one_stage(half: Iterable[float]) -> Callable[[list[Array]], Array]:
    """The x2 filter alone, as a function of one grid."""
    taps = torch.tensor(list(half), dtype=torch.float64)
    return lambda grids: transposed_1d_passes(torch.from_numpy(grids[0])[:, None], taps)[
        :, 0
    ].numpy()


def random_shifts(size: int) -> list[tuple[float, float]]:
    """Translations of up to an eighth of the grid, as in the definition of EQ-T."""
    generator = np.random.default_rng(1)
    return [tuple(shift) for shift in generator.uniform(-size / 8, size / 8, (N_SHIFTS, 2))]


def filter_cells(half: Iterable[float]) -> list[str]:
    """Gain at the pass-band's edge, measured attenuation, image rejection."""
    kernel = mirrored(list(half))
    (edge,) = np.abs(frequency_response(kernel, [pi * (1 - STOPBAND_EDGE)])) / kernel.sum()
    attenuation = stopband_attenuation_db(kernel, pi * STOPBAND_EDGE)
    return [decibels(20 * log10(edge)), f"{attenuation:.1f}", f"{image_rejection_db(kernel):.1f}"]


def initial_table() -> str:
    """Frequency behaviour of every initial kernel."""
    rows = []
    for name, k in INITIAL:
        stated = f"{kaiser_attenuation_db(k):.1f}" if name == "kaiser" else ""
        edge, measured, rejection = filter_cells(initial_half(name, k))
        rows.append((f"{name}, {k} taps", edge, stated, measured, rejection))
    header = (
        "filter",
        "gain at the pass-band's edge, dB",
        "stop-band attenuation: stated, dB",
        "measured, dB",
        "image rejection, dB",
    )
    return table(header, rows)


def equivariance_cells(half: Iterable[float]) -> list[str]:
    """EQ-T of one stage: inside and with the border, for each kind of scene."""
    taps = list(half)
    size, margin = 32, border_reach(2 * len(taps), 1, 1)
    cells = []
    for slope, limit in SCENES.values():
        scene = [noise_plane(size, size, np.random.default_rng(0), slope, limit)[None]]
        found = [
            equivariance_t_db(one_stage(taps), scene, random_shifts(size), m) for m in (margin, 0)
        ]
        cells.append(" / ".join(decibels(value) for value in found))
    return cells


def equivariance_table() -> str:
    """EQ-T of one stage, for whole and fractional shifts."""
    rows = []
    for name, k in INITIAL:
        half = initial_half(name, k)
        scene = [noise_plane(32, 32, np.random.default_rng(0))[None]]
        whole = [
            decibels(equivariance_t_db(one_stage(half), scene, [(1, 0), (-3, 2)], margin))
            for margin in (border_reach(k, 1, 1), 0)
        ]
        rows.append((f"{name}, {k} taps", " / ".join(whole), *equivariance_cells(half)))
    scenes = (f"{name}, any shift" for name in SCENES)
    return table(("filter", "white, whole samples", *scenes), rows)


def dense_of(module: Upsampling) -> Callable[[list[Array]], Array]:
    """A pyramid upsampler as a function of arrays."""

    def dense(grids: list[Array]) -> Array:
        with torch.no_grad():
            latents: list[Tensor] = [torch.from_numpy(grid)[None] for grid in grids]
            return np.asarray(module(latents)[0].numpy(), np.float64)

    return dense


def pyramid_equivariance(module: Upsampling, size: int, n_stages: int, kernel: int) -> list[float]:
    """EQ-T of the coarsest channel after all stages: inside and with the border."""
    coarsest = noise_plane(size, size, np.random.default_rng(0), slope=1.0)[None]
    finer = [np.zeros((0, size << n, size << n)) for n in range(n_stages, 0, -1)]
    upsampler, shifts = dense_of(module), random_shifts(size)
    margins = (border_reach(kernel, 1, n_stages), 0)
    return [equivariance_t_db(upsampler, [*finer, coarsest], shifts, m) for m in margins]


def pyramid_table() -> str:
    """EQ-T of a grid that climbs several stages, with the spectrum of a photograph."""
    stages, rows = (1, 2, 3, 4), []
    for name, k in INITIAL:
        cells = []
        for n in stages:
            module = Upsampling(k, 1, n, n).double().eval()
            module.initialize_parameters(name)
            found = pyramid_equivariance(module, 16, n, k)
            cells.append(" / ".join(decibels(value) for value in found))
        rows.append((f"{name}, {k} taps", *cells))
    return table(("filter", *(f"{n} stages" if n > 1 else "1 stage" for n in stages)), rows)


def blocks() -> dict[str, str]:
    """Every deterministic table by the name of its block in the page."""
    return {
        "impulse": impulse_table(),
        "drift": drift_table(),
        "order": order_table(),
        "checkerboard": checkerboard_table(),
        "shift": shift_table(),
        "cost": cost_table(),
        "pyramid-cost": pyramid_cost_table(),
        "initial": initial_table(),
        "equivariance": equivariance_table(),
        "pyramid": pyramid_table(),
    }


def marked(name: str, content: str) -> str:
    """A block as it stands in the page, between its markers."""
    return f"<!-- begin {name} -->\n{content}\n<!-- end {name} -->"


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("\n\n".join(marked(name, content) for name, content in blocks().items()))
