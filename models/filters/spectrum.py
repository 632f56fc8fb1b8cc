"""What an upsampling filter does to a signal, measured: images, checkerboards, equivariance.

Kernels are 1D and complete (both halves), for a x2 upsampling by zero insertion and filtering.
Frequencies are in radians per output sample: pi/2 is the Nyquist frequency of the input, pi that
of the output. Only NumPy is needed, and an upsampler enters as a function of arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, log10, pi

import numpy as np
from numpy.typing import ArrayLike, NDArray

from givre.errors import UsageError

Array = NDArray[np.float64]

Upsampler = Callable[[list[Array]], Array]
"""Grids (C_i, H_i, W_i), finest first, to one array (C, H, W)."""


def mirrored(half: ArrayLike) -> Array:
    """Complete the left half (a b c) of an even kernel to (a b c c b a)."""
    left = np.asarray(half, np.float64)
    return np.concatenate((left, left[::-1]))


def frequency_response(kernel: ArrayLike, frequencies: ArrayLike) -> NDArray[np.complex128]:
    """Response of a kernel, seen from its centre, at frequencies in radians per output sample.

    A symmetric kernel has a real response. At frequency 0 it is the sum of the taps: 2 for a x2
    filter that keeps a constant, because half of what it sees are inserted zeros.
    """
    taps = np.asarray(kernel, np.float64)
    positions = np.arange(taps.size) - (taps.size - 1) / 2
    waves = np.exp(-1j * np.multiply.outer(np.asarray(frequencies, np.float64), positions))
    return np.asarray(waves @ taps, np.complex128)


def band_energies(kernel: ArrayLike) -> tuple[float, float]:
    """Energy of the response below and above pi/2; their sum is that of the taps (Parseval).

    The integral of the squared response is done in closed form, from the autocorrelation.
    """
    taps = np.asarray(kernel, np.float64)
    lags = np.correlate(taps, taps, "full")[taps.size - 1 :]
    odd = np.arange(1, taps.size, 2)
    low = lags[0] / 2 + 2 / pi * float(np.sum(lags[odd] * np.sin(odd * pi / 2) / odd))
    return float(low), float(lags[0] - low)


def image_rejection_db(kernel: ArrayLike) -> float:
    """Energy of the pass-band over that of the images, in dB, for a white input.

    Zero insertion repeats the input's spectrum: below pi/2 lies the signal, above it its image,
    which a perfect filter removes. White input weights all frequencies alike. Unfiltered zero
    insertion has 0 dB, a perfect filter infinitely many.
    """
    low, high = band_energies(kernel)
    return inf if high <= 0 else 10 * log10(low / high)


def stopband_attenuation_db(kernel: ArrayLike, edge: float, samples: int = 8192) -> float:
    """Response at frequency 0 over the largest one from `edge` (radians) to pi, in dB."""
    stop = np.abs(frequency_response(kernel, np.linspace(edge, pi, samples))).max()
    return float(20 * np.log10(np.abs(np.sum(np.asarray(kernel))) / stop))


def polyphase_gains(kernel: ArrayLike) -> tuple[float, float]:
    """Sums of the even and of the odd taps: what neighbouring outputs make of a constant 1.

    If they differ a constant turns into stripes. In a symmetric kernel of even size they are equal,
    whatever its taps: one phase is the other reversed.
    """
    taps = np.asarray(kernel, np.float64)
    return float(taps[::2].sum()), float(taps[1::2].sum())


def checkerboard_energy(plane: ArrayLike, period: int = 2) -> float:
    """Variance of the means of the period^2 phases of a plane (H, W) over its squared mean.

    Given the response to a constant it is the energy of the checkerboard relative to that of the
    constant, 0 if there is none. The plane is cut to whole periods. Raises UsageError for a plane
    that is smaller than a period or has the mean 0.
    """
    values = np.asarray(plane, np.float64)
    rows, columns = (size // period for size in values.shape)
    if not rows or not columns:
        raise UsageError(f"the plane is smaller than the period of {period}, give a larger one")
    cells = values[: rows * period, : columns * period].reshape(rows, period, columns, period)
    phases = cells.mean(axis=(0, 2))
    if not phases.mean():
        raise UsageError("the plane has the mean 0, give the response to a constant other than 0")
    return float(phases.var() / phases.mean() ** 2)


def translated(planes: Array, shift: tuple[float, float]) -> Array:
    """Translate periodic planes (..., H, W) by (down, right) samples, any fractions.

    This is the ideal band-limited shift: each frequency of the planes' Fourier series moves as a
    whole. Whole samples are moved without arithmetic. A plane of even size has one frequency, its
    Nyquist frequency, whose shift by a fraction is ambiguous: it is read as a cosine.
    """
    moved = planes
    for axis, step in zip((-2, -1), shift, strict=True):
        size = moved.shape[axis]
        if float(step).is_integer():
            moved = np.roll(moved, int(step), axis)
            continue
        turn = np.exp(-2j * pi * np.fft.rfftfreq(size) * step)
        if size % 2 == 0:
            turn[-1] = turn[-1].real
        turn = turn[:, None] if axis == -2 else turn
        spectrum = np.fft.rfft(moved, axis=axis) * turn
        moved = np.fft.irfft(spectrum, n=size, axis=axis)
    return moved


def noise_plane(
    height: int, width: int, generator: np.random.Generator, slope: float = 0.0, limit: float = 0.5
) -> Array:
    """Periodic noise (height, width) in [-1, 1] whose amplitude falls as frequency^-slope.

    Slope 0 is white noise, 1 has the spectrum of photographs. It has the mean 0 and no vertical or
    horizontal frequency from `limit` on, in cycles a sample; with the Nyquist frequency of 0.5 or
    less as limit every translation of it is well defined.
    """
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]
    radius = np.hypot(rows, columns)
    radius[0, 0] = 1.0
    amplitude = radius**-slope * (np.abs(rows) < limit) * (np.abs(columns) < limit)
    amplitude[0, 0] = 0.0
    spectrum = np.fft.fft2(generator.standard_normal((height, width))) * amplitude
    plane = np.fft.ifft2(spectrum).real
    return np.asarray(plane / np.abs(plane).max(), np.float64)


def border_reach(kernel_size: int, preconcat_size: int, n_stages: int) -> int:
    """Samples of the coarsest grid, from its border inwards, above which the border is felt.

    The outputs above all the other samples are those of an infinite plane.
    """
    felt = 0
    for _ in range(n_stages):
        felt = max(2 * felt + kernel_size // 2 - 1, preconcat_size // 2)
    return -(-felt // (1 << n_stages))


def equivariance_t_db(
    upsample: Upsampler,
    grids: Sequence[Array],
    shifts: Sequence[tuple[float, float]],
    margin: int,
    peak: float = 2.0,
) -> float:
    """Translation equivariance EQ-T in dB: how closely the output moves as its input does.

    10 log10(peak^2 / mean squared difference between the upsampled shifted grids and the shifted
    upsampled grids), the mean being over shifts, channels and samples; infinite if they agree.

    Args:
        upsample: grids (C_i, H_i, W_i), finest first, to one array (C, H, W); it may crop nothing.
        grids: one period of a periodic scene; every size a multiple of the coarsest one.
        shifts: (down, right) in samples of the coarsest grid; a finer grid and the output move by
            as many of their own samples as that is.
        margin: samples of the coarsest grid by which the scene is continued on each side before
            it is upsampled, and which are cropped after: from `border_reach` on the border has no
            influence. With 0 the grids end where the period does, and every output sample counts,
            those that the upsampler's continuation of the border falsified too.
        peak: dynamic range of the signal, 2 for -1 to 1.

    Raises UsageError if the sizes are no such multiples.
    Source: Karras et al., "Alias-free generative adversarial networks" (2021), equation 3. There
    the mean goes over random shifts of up to an eighth of the image and over the part of the image
    that both sides define; here periodic scenes define all of it, and the shift is ideal.
    """
    height, width = grids[-1].shape[-2:]
    scales = [grid.shape[-2] // height for grid in grids]
    for grid, scale in zip(grids, scales, strict=True):
        if grid.shape[-2:] != (scale * height, scale * width):
            found = " x ".join(str(size) for size in grid.shape[-2:])
            raise UsageError(f"a grid is {found}, it must be a multiple of {height} x {width}")

    def response(scene: Sequence[Array]) -> tuple[Array, int]:
        margins = [((0, 0), (margin * s, margin * s), (margin * s, margin * s)) for s in scales]
        continued = [np.pad(g, m, mode="wrap") for g, m in zip(scene, margins, strict=True)]
        dense = upsample(continued)
        scale = dense.shape[-2] // (height + 2 * margin)
        crop = margin * scale
        return dense[:, crop : crop + scale * height, crop : crop + scale * width], scale

    unmoved, out_scale = response(grids)
    errors = []
    for down, right in shifts:
        moved_grids = [
            translated(grid, (down * scale, right * scale))
            for grid, scale in zip(grids, scales, strict=True)
        ]
        expected = translated(unmoved, (down * out_scale, right * out_scale))
        errors.append(np.mean((response(moved_grids)[0] - expected) ** 2))
    error = float(np.mean(errors))
    return inf if error == 0 else 10 * log10(peak**2 / error)
