from __future__ import annotations

from math import inf, pi

import numpy as np
import pytest
from scipy import ndimage, signal

from givre.errors import UsageError
from givre.models.filters.spectrum import (
    band_energies,
    border_reach,
    checkerboard_energy,
    equivariance_t_db,
    frequency_response,
    image_rejection_db,
    mirrored,
    noise_plane,
    polyphase_gains,
    stopband_attenuation_db,
    translated,
)

KERNELS = [np.random.default_rng(k).standard_normal(k) for k in (1, 2, 3, 4, 7, 12)]


def test_mirrored() -> None:
    assert mirrored([1, 2, 3]).tolist() == [1, 2, 3, 3, 2, 1]


@pytest.mark.parametrize("kernel", KERNELS, ids=len)
def test_response_is_that_of_scipy_seen_from_the_centre(kernel: np.ndarray) -> None:
    frequencies = np.linspace(-pi, pi, 41)
    from_first_tap = signal.freqz(kernel, worN=frequencies)[1]
    expected = from_first_tap * np.exp(0.5j * (kernel.size - 1) * frequencies)
    np.testing.assert_allclose(frequency_response(kernel, frequencies), expected, atol=1e-12)
    symmetric = frequency_response(mirrored(kernel), frequencies)
    np.testing.assert_allclose(symmetric.imag, 0, atol=1e-12)
    assert abs(symmetric[-1]) < 1e-12, "an even symmetric kernel stops the highest frequency"


@pytest.mark.parametrize("kernel", KERNELS, ids=len)
def test_band_energies_sum_to_that_of_the_taps(kernel: np.ndarray) -> None:
    power = np.abs(frequency_response(kernel, (np.arange(4096) + 0.5) * pi / 4096)) ** 2
    low, high = band_energies(kernel)
    assert low + high == pytest.approx(np.sum(kernel**2), rel=1e-12)
    assert low == pytest.approx(power[:2048].sum() / 4096, rel=1e-5)


def test_rejection_of_nothing_and_of_everything() -> None:
    assert image_rejection_db([1.0]) == pytest.approx(0, abs=1e-12)
    long_sinc = np.sinc((np.arange(4000) - 1999.5) / 2)
    assert image_rejection_db(long_sinc) > 30
    assert image_rejection_db([0.0]) == inf


def test_attenuation_of_a_known_response() -> None:
    # (1 3 3 1)/4 has the response 2 cos(w/2)^3, which falls from pi/2 to pi.
    kernel = [0.25, 0.75, 0.75, 0.25]
    for edge in (pi / 2, 2.0):
        expected = -60 * np.log10(np.cos(edge / 2))
        assert stopband_attenuation_db(kernel, edge) == pytest.approx(expected, abs=1e-9)


def test_polyphase_gains_of_overlapping_strides() -> None:
    assert polyphase_gains([1, 1, 1]) == (2, 1)
    assert polyphase_gains([1, 1, 1, 1]) == (2, 2)


@pytest.mark.parametrize("kernel", [k for k in KERNELS if k.size > 1], ids=len)
def test_checkerboard_energy_follows_from_the_gains(kernel: np.ndarray) -> None:
    row = signal.upfirdn(kernel, np.ones(20), up=2)[kernel.size : 20]
    row = row[: row.size // 2 * 2]
    even, odd = polyphase_gains(kernel)
    mean, half_difference = (even + odd) / 2, (even - odd) / 2
    expected = ((mean**2 + half_difference**2) ** 2 - mean**4) / mean**4
    found = checkerboard_energy(np.outer(row, row))
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_checkerboard_energy_needs_a_period_and_a_mean() -> None:
    with pytest.raises(UsageError, match="smaller than the period of 3"):
        checkerboard_energy(np.ones((2, 9)), period=3)
    with pytest.raises(UsageError, match="mean 0"):
        checkerboard_energy(np.zeros((4, 4)))


@pytest.mark.parametrize("shift", [(0.0, 0.5), (2.25, -3.1), (-1.0, 0.7), (3, 4)])
@pytest.mark.parametrize("size", [(9, 12), (8, 5)])
def test_translation_is_that_of_scipy(size: tuple[int, int], shift: tuple[float, float]) -> None:
    plane = noise_plane(*size, np.random.default_rng(0))
    expected = np.fft.ifft2(ndimage.fourier_shift(np.fft.fft2(plane), shift)).real
    np.testing.assert_allclose(translated(plane[None], shift)[0], expected, atol=1e-13)


def test_whole_translations_are_rolls_and_the_nyquist_wave_a_cosine() -> None:
    plane = np.random.default_rng(0).standard_normal((6, 7))
    assert np.array_equal(translated(plane, (2, -3.0)), np.roll(plane, (2, -3), (0, 1)))
    wave = np.tile([1.0, -1.0], 4)[None]
    np.testing.assert_allclose(
        translated(wave, (0, 0.3)), np.cos(0.3 * pi) * wave, rtol=0, atol=1e-14
    )


def test_noise_has_the_asked_spectrum() -> None:
    generator = np.random.default_rng(0)
    plane = noise_plane(64, 48, generator, slope=1.0, limit=0.25)
    spectrum = np.abs(np.fft.fft2(plane))
    rows, columns = np.abs(np.fft.fftfreq(64))[:, None], np.abs(np.fft.fftfreq(48))[None]
    outside = (rows >= 0.25) | (columns >= 0.25)
    assert spectrum[outside].max() < 1e-11
    assert spectrum[0, 0] < 1e-11
    assert np.abs(plane).max() == 1.0
    radius = np.hypot(rows, columns)
    near, far = (radius > 0) & (radius < 0.06), (radius > 0.12) & ~outside
    levels = [np.sqrt(np.mean((spectrum * radius)[ring] ** 2)) for ring in (near, far)]
    assert levels[0] == pytest.approx(levels[1], rel=0.15)


def test_shift_invariant_upsamplers_are_equivariant() -> None:
    scene = [noise_plane(9, 9, np.random.default_rng(0))[None]]
    assert equivariance_t_db(lambda grids: grids[0], scene, [(0.5, 0.25)], 0) == inf

    # Repeating samples moves with whole samples only.
    def nearest(grids: list[np.ndarray]) -> np.ndarray:
        return grids[0].repeat(2, axis=1).repeat(2, axis=2)

    assert equivariance_t_db(nearest, scene, [(1, 2)], 0) == inf
    assert equivariance_t_db(nearest, scene, [(0.5, 0.0)], 0) < 30


def test_equivariance_counts_in_decibels_below_the_peak() -> None:
    scene = [np.zeros((1, 4, 4))]
    outputs = iter([np.zeros((1, 4, 4)), np.full((1, 4, 4), 0.2)])
    found = equivariance_t_db(lambda _: next(outputs), scene, [(1, 0)], 0)
    assert found == pytest.approx(20)


def test_grids_must_be_multiples_of_the_coarsest() -> None:
    grids = [np.zeros((1, 8, 7)), np.zeros((1, 4, 4))]
    with pytest.raises(UsageError, match="a grid is 8 x 7, it must be a multiple of 4 x 4"):
        equivariance_t_db(lambda _: grids[0], grids, [(1, 0)], 0)


def test_border_reach_of_small_pyramids() -> None:
    assert [border_reach(4, 1, n) for n in (0, 1, 2)] == [0, 1, 1]
    assert border_reach(8, 7, 1) == 2
    assert border_reach(4, 15, 1) == 4
