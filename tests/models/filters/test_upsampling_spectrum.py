"""What the upsampling filters do to frequencies: images left over, and translations."""

from __future__ import annotations

from itertools import product
from math import log10, pi

import numpy as np
import pytest
import torch
from scipy import integrate, ndimage, signal
from upsampling_cases import (
    INITIAL,
    KERNEL_SIZES,
    Array,
    filters,
    initial,
    normal,
    one_stage,
    periodic_dense,
    pyramid,
)

from givre.models.filters.initial import INITIAL_KERNELS, initial_half
from givre.models.filters.spectrum import (
    border_reach,
    equivariance_t_db,
    frequency_response,
    image_rejection_db,
    mirrored,
    noise_plane,
)
from givre.models.upsampling import (
    INFERENCE_FORM,
    TRAINING_FORM,
    Upsampling,
    transposed_2d,
    upsample,
)

# The blur comes after zero insertion, at the high rate


@pytest.mark.parametrize("k", KERNEL_SIZES)
def test_spectrum_is_that_of_the_zeros_times_the_filter(k: int) -> None:
    half, n = filters(1, k // 2)[0], 24
    x = normal(n).numpy()
    inserted = np.zeros(2 * n)
    inserted[::2] = x
    frequencies = 2 * pi * np.fft.fftfreq(2 * n)
    # The kernel's centre lies half an output sample after the input sample that it belongs to.
    response = frequency_response(mirrored(half), frequencies) * np.exp(-0.5j * frequencies)
    expected = np.fft.ifft(np.fft.fft(inserted) * response)
    assert np.abs(expected.imag).max() < 1e-12
    row = torch.from_numpy(np.tile(x, (1, 3)))[None, None]
    found = transposed_2d(row, half)[0, 0, 0, 2 * n : 4 * n].numpy()
    # The other direction saw a constant.
    np.testing.assert_allclose(found, half.sum().item() * expected.real, rtol=0, atol=1e-12)


def test_a_blur_before_zero_insertion_removes_no_image() -> None:
    blur, x = np.array([1.0, 2.0, 1.0]) / 4, normal(32).numpy()

    def inserted(values: Array) -> Array:
        return signal.upfirdn([1.0], values, up=2)

    before = inserted(np.convolve(x, blur))
    spectrum = np.abs(np.fft.fft(before, 256))
    np.testing.assert_allclose(spectrum, np.roll(spectrum, 128), rtol=0, atol=1e-12)
    # It is the same as a comb after: the blur with zeros in between, whose response repeats.
    comb = inserted(blur)
    np.testing.assert_allclose(before, np.convolve(inserted(x), comb), rtol=0, atol=1e-12)
    assert image_rejection_db(comb) == pytest.approx(0, abs=1e-12)
    assert image_rejection_db([0.25, 0.75, 0.75, 0.25]) > 14


# Images: what is left above the old Nyquist frequency


@pytest.mark.parametrize(("name", "k"), INITIAL)
def test_image_rejection_of_every_initial_filter(name: str, k: int) -> None:
    kernel = mirrored(initial_half(name, k))

    def power(frequency: float) -> float:
        return float(np.abs(signal.freqz(kernel, worN=[frequency])[1][0]) ** 2)

    low, high = (integrate.quad(power, a, a + pi / 2, epsabs=1e-12)[0] for a in (0, pi / 2))
    assert image_rejection_db(kernel) == pytest.approx(10 * log10(low / high), abs=1e-8)


def test_image_rejection_of_the_bilinear_filter_in_closed_form() -> None:
    # Autocorrelation of (1 3 3 1)/4: 20/16 at lag 0, 15/16 at lag 1, 1/16 at lag 3.
    low = 10 / 16 + 2 / pi * (15 / 16 - 1 / 48)
    expected = 10 * log10(low / (20 / 16 - low))
    assert image_rejection_db([0.25, 0.75, 0.75, 0.25]) == pytest.approx(expected, abs=1e-12)
    assert round(expected, 2) == 14.65


def test_longer_kaiser_filters_reject_more_than_any_other_initialisation() -> None:
    kaiser = [image_rejection_db(mirrored(initial_half("kaiser", k))) for k in (8, 10, 12, 14, 16)]
    assert kaiser == sorted(kaiser)
    others = [image_rejection_db(mirrored(initial_half(n, 8))) for n in ("bilinear", "bicubic")]
    assert kaiser[0] > max(others)


# Translation equivariance


@pytest.mark.parametrize(("name", "k"), INITIAL)
def test_whole_sample_shifts_are_exact_away_from_the_border(name: str, k: int) -> None:
    scene = [noise_plane(12, 15, np.random.default_rng(0))[None]]
    upsampler, shifts = one_stage(initial(name, k)), [(1.0, 0.0), (-2.0, 5.0)]
    assert equivariance_t_db(upsampler, scene, shifts, border_reach(k, 1, 1)) > 280
    assert equivariance_t_db(upsampler, scene, shifts, margin=0) < 45


@pytest.mark.parametrize(("name", "k"), INITIAL)
def test_fractional_shifts_err_by_what_is_left_of_the_image(name: str, k: int) -> None:
    """A wave of frequency f is followed by an image at pi - f, which moves the wrong way.

    For a shift of t samples its error has the energy 4 sin(pi t)^2 of the image's.
    """
    size, cycles = 20, 7
    wave = np.cos(2 * pi * cycles * np.arange(size) / size)
    scene = [np.tile(wave, (size, 1))[None]]
    (response,) = frequency_response(mirrored(initial_half(name, k)), [pi - pi * cycles / size])
    for shift, form in product((0.25, 0.5, 3.8), (TRAINING_FORM, INFERENCE_FORM)):
        error = (response.real / 2) ** 2 / 2 * 4 * np.sin(pi * shift) ** 2
        found = equivariance_t_db(
            one_stage(initial(name, k), form), scene, [(0.0, shift)], border_reach(k, 1, 1)
        )
        assert found == pytest.approx(10 * log10(4 / error), abs=1e-6)


@pytest.mark.parametrize("name", INITIAL_KERNELS)
def test_equivariance_of_a_pyramid(name: str) -> None:
    module = Upsampling(8, 7, 2, 2).double().eval()
    module.initialize_parameters(name)
    with torch.no_grad():
        for seed, layer in enumerate(module.preconcat):
            layer.get_parameter("weight").add_(normal(4, seed=seed), alpha=0.1)
    generator = np.random.default_rng(0)
    grids = [noise_plane(size, size, generator)[None] for size in (36, 18, 9)]
    ups = [mirrored(initial_half(name, 8))] * 2
    halves = [layer.get_parameter("weight").detach().numpy() for layer in module.preconcat]
    preconcat = [np.concatenate((half, half[-2::-1])) for half in halves]

    def dense(planes: list[Array]) -> Array:
        return module([torch.from_numpy(p)[None] for p in planes])[0].detach().numpy()

    margin, shifts = border_reach(8, 7, 2), [(0.3, -1.7), (0.25, 0.0)]
    assert equivariance_t_db(dense, grids, [(1.0, -3.0)], margin) > 250

    def shifted(planes: Array, shift: tuple[float, float], scale: int) -> Array:
        steps = [step * scale for step in shift]
        spectra = [ndimage.fourier_shift(np.fft.fft2(plane), steps) for plane in planes]
        return np.fft.ifft2(np.stack(spectra)).real

    errors = []
    for shift in shifts:
        moved = [shifted(g, shift, s) for g, s in zip(grids, (4, 2, 1), strict=True)]
        difference = periodic_dense(moved, ups, preconcat)
        difference -= shifted(periodic_dense(grids, ups, preconcat), shift, 4)
        errors.append(np.mean(difference**2))
    inside = equivariance_t_db(dense, grids, shifts, margin)
    assert inside == pytest.approx(10 * log10(4 / np.mean(errors)), abs=1e-8)
    assert equivariance_t_db(dense, grids, shifts, margin=0) < inside


@pytest.mark.parametrize(("preconcat_k", "n_stages"), [(1, 1), (7, 1), (7, 2), (15, 2), (3, 3)])
def test_border_reach_is_where_the_border_ends(preconcat_k: int, n_stages: int) -> None:
    for k in KERNEL_SIZES:
        check_border_reach(k, preconcat_k, n_stages)


def check_border_reach(k: int, preconcat_k: int, n_stages: int) -> None:
    reach, size, scale = border_reach(k, preconcat_k, n_stages), 16, 2**n_stages
    latents = pyramid(size * scale, size * scale, (1,) * (n_stages + 1))
    ups = filters(n_stages, k // 2)
    preconcat = filters(n_stages, preconcat_k // 2 + 1, seed=200)
    kernels = [[h.numpy() for h in halves] for halves in (ups, preconcat)]
    infinite = periodic_dense(
        [y[0].numpy() for y in latents],
        [mirrored(h) for h in kernels[0]],
        [np.concatenate((h, h[-2::-1])) for h in kernels[1]],
    )
    found = upsample(latents, ups, preconcat, INFERENCE_FORM)[0].numpy()
    felt = np.abs(found - infinite).max(axis=0) > 1e-9
    crop = slice(reach * scale, -reach * scale)
    assert not felt[crop, crop].any(), k
    crop = slice((reach - 1) * scale, size * scale - (reach - 1) * scale)
    assert felt[crop, crop].any(), k
