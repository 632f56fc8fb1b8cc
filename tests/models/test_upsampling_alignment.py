"""Where the samples lie: half-pixel against grid-aligned, and where a kernel is anchored."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from scipy import interpolate, ndimage
from torch import Tensor
from torch.nn import functional as F
from upsampling_cases import FORMS, KERNEL_SIZES, Array, filters, initial, normal, pyramid

from givre.models.upsampling import (
    INFERENCE_FORM,
    ExecutionForm,
    transposed_1d_passes,
    upsample,
)

# Alignment: (1 3 3 1) is half-pixel, (1 2 1) is grid-aligned


def scipy_linear(x: Array, rows: Array, columns: Array) -> Array:
    grid = tuple(np.arange(size, dtype=float) for size in x.shape)
    inside = [p.clip(0, s - 1) for p, s in zip((rows, columns), x.shape, strict=True)]
    interpolator = interpolate.RegularGridInterpolator(grid, x, method="linear")
    return interpolator(np.stack(np.meshgrid(*inside, indexing="ij"), axis=-1))


@pytest.mark.parametrize("size", [(2, 2), (2, 9), (5, 8), (17, 33)])
def test_each_kernel_is_linear_interpolation_at_its_own_positions(size: tuple[int, int]) -> None:
    x = normal(1, 1, *size)
    rows, columns = (np.arange(2.0 * s) for s in size)

    half_pixel = scipy_linear(x[0, 0].numpy(), (rows + 0.5) / 2 - 0.5, (columns + 0.5) / 2 - 0.5)
    found = transposed_1d_passes(x, torch.tensor([0.25, 0.75], dtype=torch.float64))[0, 0]
    np.testing.assert_allclose(found, half_pixel, rtol=0, atol=1e-12)

    triangle = torch.tensor([0.5, 1.0, 0.5], dtype=torch.float64)
    kernel = torch.outer(triangle, triangle)[None, None]
    aligned = F.conv_transpose2d(x, kernel, stride=2, padding=1)[0, 0]
    expected = scipy_linear(x[0, 0].numpy(), rows[:-1] / 2, columns[:-1] / 2)
    np.testing.assert_allclose(aligned, expected, rtol=0, atol=1e-12)
    assert torch.equal(aligned[::2, ::2], x[0, 0])
    # No half-pixel output is a sample of the input, except where the border repeats the corner.
    given_back = torch.isclose(found[::2, ::2], x[0, 0])
    assert given_back.nonzero().tolist() == [[0, 0]]


def test_an_impulse_shows_the_half_pixel_shift() -> None:
    impulse = torch.tensor([0.0, 1.0, 0.0, 0.0]).double().expand(1, 1, 4, 4)
    half_pixel = transposed_1d_passes(impulse, torch.tensor([0.25, 0.75]).double())
    assert half_pixel[0, 0, 0].tolist() == [0, 0.25, 0.75, 0.75, 0.25, 0, 0, 0]
    aligned = scipy_linear(impulse[0, 0].numpy(), np.arange(8) / 2, np.arange(8) / 2)
    assert aligned[0].tolist() == [0, 0.5, 1, 0.5, 0, 0, 0, 0]


@pytest.mark.parametrize("n_stages", [1, 2, 3])
def test_a_latent_stays_over_the_centre_of_its_pixels(n_stages: int) -> None:
    """Whatever the taps: the pixels of latent i are i * 2^n .. (i + 1) * 2^n - 1."""
    size, at = 24, (9, 12)
    scale = 2**n_stages
    latents = pyramid(size * scale, size * scale, (0,) * n_stages + (1,))
    latents[-1].zero_()[0, 0, at[0], at[1]] = 1.0
    for k in KERNEL_SIZES:
        halves = [0.1 * h + initial("bilinear", k) for h in filters(n_stages, k // 2)]
        response = upsample(latents, halves, filters(1, 2), INFERENCE_FORM)[0, 0].numpy()
        centroid = ndimage.center_of_mass(response)
        assert centroid == pytest.approx([(i + 0.5) * scale - 0.5 for i in at], abs=1e-9), k
    triangle = torch.tensor([0.5, 1.0, 0.5], dtype=torch.float64)
    aligned = latents[-1]
    for _ in range(n_stages):
        aligned = F.conv_transpose2d(aligned, torch.outer(triangle, triangle)[None, None], stride=2)
        aligned = aligned[:, :, 1:, 1:]
    drifted = ndimage.center_of_mass(aligned[0, 0].numpy())
    assert drifted == pytest.approx([i * scale for i in at], abs=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_a_mirrored_pyramid_gives_the_mirrored_image(form: ExecutionForm) -> None:
    latents, ups, preconcat = pyramid(40, 24, (1, 1, 3, 1)), filters(3, 4), filters(3, 4, seed=9)
    dense = upsample(latents, ups, preconcat, form)
    for axes in ((2,), (3,), (2, 3)):
        mirrored_dense = upsample([y.flip(axes) for y in latents], ups, preconcat, form)
        torch.testing.assert_close(mirrored_dense.flip(axes), dense, rtol=0, atol=1e-12)


# Sub-pixel convolution, pixel shuffle and transposed convolution


def interleaved(x: Tensor, ratio: int) -> Tensor:
    """Zeros between the samples, and `ratio - 1` after the last one."""
    height, width = x.shape[2:]
    found = x.new_zeros(*x.shape[:2], ratio * height, ratio * width)
    found[:, :, ::ratio, ::ratio] = x
    return found


def test_the_shift_of_the_published_example() -> None:
    """The anchors differ: at the first tap of the window here, at the first of a phase there.

    Both forms correlate. The output at 2m + 1 of pixel shuffle starts reading at sample m. A window
    of the picture with zeros that starts at 2m + 1 finds its first sample at 2m + 2, which is
    sample m + 1. So all odd outputs are late by an input sample, two outputs; even ones agree.
    """
    torch.manual_seed(34)
    x, stacked = torch.rand(1, 1, 4, 4), torch.rand(4, 1, 2, 2)
    shuffled = F.pixel_shuffle(stacked.movedim(0, 1), 2)
    padded = F.pad(x, (0, 1, 0, 1))
    by_shuffle = F.pixel_shuffle(F.conv2d(padded, stacked), 2)
    zeros_between = F.pad(interleaved(padded, 2), (0, 1, 0, 1))[:, :, :11, :11]
    by_subpixel = F.conv2d(zeros_between, shuffled)
    without_padding = F.conv2d(F.pad(interleaved(x, 2), (0, 1, 0, 1))[:, :, :9, :9], shuffled)

    assert by_shuffle.shape == by_subpixel.shape == (1, 1, 8, 8)
    assert without_padding.shape == (1, 1, 6, 6)
    first = [0.73, 0.43, 0.26, 0.33, 0.74, 0.64, 0.36, 0.17]
    assert by_shuffle[0, 0, 0].tolist() == pytest.approx(first, abs=0.005)
    first = [0.73, 0.33, 0.26, 0.64, 0.74, 0.17, 0.36, 0.00]
    assert by_subpixel[0, 0, 0].tolist() == pytest.approx(first, abs=0.005)
    assert not by_subpixel[..., -1].any()
    assert not by_subpixel[..., -1, :].any()
    for row, column in product((0, 1), repeat=2):
        late = by_subpixel[..., row::2, column::2][..., : 4 - row, : 4 - column]
        early = by_shuffle[..., row::2, column::2][..., row:, column:]
        torch.testing.assert_close(late, early, rtol=0, atol=1e-6)

    # Exchange the phases inside each 2 x 2 block of taps and start the window one output earlier:
    # now even and odd outputs are anchored alike, and nothing is shifted or lost.
    exchanged = F.pixel_shuffle(stacked.flip(0).movedim(0, 1), 2)
    anchored = F.conv2d(F.pad(interleaved(padded, 2), (1, 0, 1, 0)), exchanged)
    torch.testing.assert_close(anchored, by_shuffle, rtol=0, atol=1e-6)


@pytest.mark.parametrize("ratio", [2, 3])
@pytest.mark.parametrize(("c_in", "c_out", "taps"), [(1, 1, 2), (3, 2, 3), (2, 3, 1)])
def test_three_names_of_one_operation(ratio: int, c_in: int, c_out: int, taps: int) -> None:
    """Out of H x W samples each form makes r(H - k/r + 1) x r(W - k/r + 1) outputs, k = r taps."""
    x = normal(2, c_in, 7, 9)
    stacked = normal(c_out * ratio**2, c_in, taps, taps, seed=1)
    expected = F.pixel_shuffle(F.conv2d(x, stacked), ratio)
    assert expected.shape == (2, c_out, ratio * (8 - taps), ratio * (10 - taps))

    # Tap j of phase r of the transposed kernel is tap (taps - 1 - j) of the shuffled convolution,
    # because a transposed convolution writes forwards where a convolution reads.
    phases = stacked.reshape(c_out, ratio, ratio, c_in, taps, taps).flip(4, 5)
    kernel = phases.permute(3, 0, 4, 1, 5, 2).reshape(c_in, c_out, ratio * taps, ratio * taps)
    crop = ratio * (taps - 1)
    transposed = F.conv_transpose2d(x, kernel, stride=ratio, padding=crop)
    transposed = transposed[:, :, : expected.shape[2], : expected.shape[3]]
    torch.testing.assert_close(transposed, expected, rtol=0, atol=1e-12)

    # Sub-pixel: the same kernel, reversed once more, slid over the picture with zeros.
    window = ratio * taps - 1
    padded = F.pad(interleaved(x, ratio), (window, 0, window, 0))
    subpixel = F.conv2d(padded, kernel.flip(2, 3).movedim(0, 1))
    subpixel = subpixel[:, :, crop:, crop:][:, :, : expected.shape[2], : expected.shape[3]]
    torch.testing.assert_close(subpixel, expected, rtol=0, atol=1e-12)
