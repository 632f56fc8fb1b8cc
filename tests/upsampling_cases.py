"""Cases for the tests of the upsampler, and the upsampler itself on SciPy and by FFT."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import pi

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage, signal
from torch import Tensor

from givre.models.filters.initial import INITIAL_KERNELS, initial_half
from givre.models.filters.spectrum import mirrored
from givre.models.geometry import level_size
from givre.models.upsampling import INFERENCE_FORM, TRAINING_FORM, ExecutionForm

Array = NDArray[np.float64]

KERNEL_SIZES = [4, 6, 8, 10, 12, 14, 16]
FORMS = [pytest.param(TRAINING_FORM, id="2d"), pytest.param(INFERENCE_FORM, id="1d")]
BOUNDS = [(torch.float32, 1e-5), (torch.float64, 1e-12)]
INITIAL = [
    (name, k) for name, k in product(INITIAL_KERNELS, KERNEL_SIZES) if name != "bicubic" or k >= 8
]

ANY_FORM = st.sampled_from([TRAINING_FORM, INFERENCE_FORM])


def any_size(largest: int) -> st.SearchStrategy[tuple[int, int]]:
    """Heights and widths; the smallest ones are where borders meet."""
    return st.tuples(st.integers(1, largest), st.integers(1, largest))


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def pyramid(height: int, width: int, channels: tuple[int, ...]) -> list[Tensor]:
    return [normal(1, c, *level_size(width, height, i), seed=i) for i, c in enumerate(channels)]


def filters(n_filters: int, n_taps: int, seed: int = 100) -> list[Tensor]:
    return [normal(n_taps, seed=seed + s) / n_taps**0.5 for s in range(n_filters)]


def initial(name: str, k: int) -> Tensor:
    return torch.tensor(initial_half(name, k), dtype=torch.float64)


def one_stage(half: Tensor, form: ExecutionForm = INFERENCE_FORM) -> Callable[[list[Array]], Array]:
    """The x2 filter on the only grid, as `equivariance_t_db` wants it."""
    return lambda grids: form.transposed(torch.from_numpy(grids[0])[:, None], half)[:, 0].numpy()


# Zeros in between, then the filter at the high rate (upfirdn), then the crop


def scipy_transposed(x: Array, half: Array) -> Array:
    n = half.size
    crop = slice(3 * n - 1, 1 - 3 * n)
    for axis in (0, 1):
        widths = [(n, n) if axis == a else (0, 0) for a in (0, 1)]
        x = signal.upfirdn(mirrored(half), np.pad(x, widths, "edge"), up=2, axis=axis)
        x = x[crop] if axis == 0 else x[:, crop]
    return x


def scipy_preconcat(x: Array, half: Array) -> Array:
    kernel = np.concatenate((half, half[-2::-1]))
    rows = ndimage.correlate1d(x, kernel, axis=0, mode="nearest")
    return x + ndimage.correlate1d(rows, kernel, axis=1, mode="nearest")


def scipy_dense(latents: list[Tensor], ups: list[Tensor], preconcat: list[Tensor]) -> Array:
    planes: list[Array] = []
    for stage, y in enumerate(reversed(latents)):
        height, width = y.shape[2:]
        if stage:
            half = ups[(stage - 1) % len(ups)].double().numpy()
            planes = [scipy_transposed(plane, half)[:height, :width] for plane in planes]
        own = [plane.double().numpy() for plane in y[0]]
        if stage:
            half = preconcat[(stage - 1) % len(preconcat)].double().numpy()
            own = [scipy_preconcat(plane, half) for plane in own]
        planes = own + planes
    return np.stack(planes)


def periodic_dense(grids: list[Array], ups: list[Array], preconcat: list[Array]) -> Array:
    """The pyramid on an infinite plane, by Fourier series: no border and no shared code."""

    def filtered(planes: Array, kernel: Array, shift: float) -> Array:
        for axis in (1, 2):
            frequencies = 2 * pi * np.fft.fftfreq(planes.shape[axis])
            response = np.exp(-1j * shift * frequencies) * np.polyval(
                kernel, np.exp(1j * frequencies)
            )
            response = response * np.exp(-0.5j * (kernel.size - 1) * frequencies)
            response = response[:, None] if axis == 1 else response
            planes = np.fft.ifft(np.fft.fft(planes, axis=axis) * response, axis=axis).real
        return planes

    dense = grids[-1]
    for grid, up, pre in zip(grids[-2::-1], ups, preconcat, strict=True):
        zeros = np.zeros((len(dense), 2 * dense.shape[1], 2 * dense.shape[2]))
        zeros[:, ::2, ::2] = dense
        dense = np.concatenate((grid + filtered(grid, pre, 0.0), filtered(zeros, up, 0.5)))
    return dense
