"""What the upsampler promises, each claim against a closed form or somebody else's code.

Alignment has its own tests in test_upsampling_alignment.py, frequencies in
test_upsampling_spectrum.py.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from upsampling_cases import (
    ANY_FORM,
    BOUNDS,
    FORMS,
    INITIAL,
    KERNEL_SIZES,
    any_size,
    filters,
    initial,
    normal,
    pyramid,
    scipy_dense,
)

from givre.errors import UsageError
from givre.models.filters.initial import initial_half
from givre.models.filters.interpolation import default_transposed_half
from givre.models.filters.spectrum import checkerboard_energy, mirrored, polyphase_gains
from givre.models.geometry import level_size
from givre.models.upsampling import (
    INFERENCE_FORM,
    TRAINING_FORM,
    ExecutionForm,
    Upsampling,
    polyphase_filters,
    symmetric_even_kernel,
    transposed_1d_passes,
    transposed_2d,
    upsample,
)

# Against SciPy


@given(
    k=st.sampled_from(KERNEL_SIZES),
    n_filters=st.sampled_from([1, 3]),
    size=any_size(65),
    channels=st.lists(st.sampled_from([0, 1, 3]), min_size=1, max_size=4).filter(any),
)
@example(k=16, n_filters=3, size=(1, 1), channels=[1, 3, 0, 1])
@example(k=16, n_filters=3, size=(1, 7), channels=[0, 1, 3])
@example(k=4, n_filters=1, size=(65, 33), channels=[1, 3, 0, 1])
@settings(max_examples=40, deadline=None, derandomize=True)
def test_dense_equals_scipy(
    k: int, n_filters: int, size: tuple[int, int], channels: list[int]
) -> None:
    for (dtype, bound), form in product(BOUNDS, (TRAINING_FORM, INFERENCE_FORM)):
        ups = [half.to(dtype) for half in filters(n_filters, k // 2)]
        preconcat = [half.to(dtype) for half in filters(n_filters, 4, seed=200)]
        latents = [y.to(dtype) for y in pyramid(*size, tuple(channels))]
        expected = scipy_dense(latents, ups, preconcat)
        found = upsample(latents, ups, preconcat, form)
        assert found.dtype == dtype
        error = np.abs(found[0].double().numpy() - expected).max()
        assert error < bound * np.abs(expected).max()


@given(size=any_size(65), form=ANY_FORM)
@example(size=(1, 1), form=TRAINING_FORM)
@example(size=(1, 1), form=INFERENCE_FORM)
@settings(max_examples=12, deadline=None, derandomize=True)
def test_channels_of_the_pyramid(size: tuple[int, int], form: ExecutionForm) -> None:
    """Every combination of 0, 1 and 3 channels over three levels, against SciPy."""
    ups, preconcat = filters(2, 4), filters(2, 4, seed=200)
    for channels in product((0, 1, 3), repeat=3):
        latents = pyramid(*size, channels)
        found = upsample(latents, ups, preconcat, form)
        assert found.shape == (1, sum(channels), *size)
        if sum(channels):
            expected = scipy_dense(latents, ups, preconcat)
            np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("name", "k"), INITIAL)
def test_named_kernel_in_both_forms(name: str, k: int) -> None:
    for dtype, bound in BOUNDS:
        module = Upsampling(k, 7, 3, 3).to(dtype)
        module.initialize_parameters(name)
        latents = [y.to(dtype) for y in pyramid(65, 33, (1, 0, 3, 1))]
        doubling = torch.tensor([0.0, 0.0, 0.0, 1.0])
        expected = scipy_dense(latents, [initial(name, k)], [doubling])
        for training in (True, False):
            found = module.train(training)(latents)[0].detach().double().numpy()
            assert np.abs(found - expected).max() < bound * np.abs(expected).max()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("k", [4, 16])
def test_gradients_by_finite_differences(k: int, form: ExecutionForm) -> None:
    latents = [y.requires_grad_() for y in pyramid(3, 2, (1, 0, 1))]
    halves = [h.requires_grad_() for h in (*filters(2, k // 2), *filters(2, 2, seed=200))]

    def dense(*inputs: Tensor) -> Tensor:
        return upsample(inputs[:3], inputs[3:5], inputs[5:], form)

    assert torch.autograd.gradcheck(dense, (*latents, *halves))


# Choosing the initial kernel


@pytest.mark.parametrize(("name", "k"), [(None, 4), (None, 8), *INITIAL])
def test_initialize_parameters_takes_a_name(name: str | None, k: int) -> None:
    module = Upsampling(k, 5, 2, 2)
    with torch.no_grad():
        for weight in module.parameters():
            weight.fill_(9.0)
    module.initialize_parameters(name)
    half = default_transposed_half(k) if name is None else initial_half(name, k)
    for parameter, weight in module.named_parameters():
        expected = half if parameter.startswith("transposed") else (0.0, 0.0, 1.0)
        assert torch.equal(weight, torch.tensor(expected))


def test_unknown_or_impossible_initial_kernels() -> None:
    with pytest.raises(UsageError, match="'lanczos', it must be one of bilinear, bicubic, kaiser"):
        Upsampling(8, 7, 1, 1).initialize_parameters("lanczos")
    with pytest.raises(UsageError, match="a bicubic filter needs at least 8"):
        Upsampling(6, 7, 1, 1).initialize_parameters("bicubic")


# Transposed convolution


@given(
    k=st.sampled_from([3, 4, 8]),
    stride=st.integers(1, 3),
    padding=st.integers(0, 3),
    height=st.integers(8, 14),
    width=st.integers(8, 14),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_transposed_convolution_is_the_adjoint(
    *, k: int, stride: int, padding: int, height: int, width: int
) -> None:
    kernel, x = normal(2, 3, k, k, seed=1), normal(1, 3, height, width)
    forward = F.conv2d(x, kernel, stride=stride, padding=padding)
    y = normal(*forward.shape, seed=2)
    # A strided convolution gives several input sizes one output size; this says which it was.
    extra = tuple((size + 2 * padding - k) % stride for size in (height, width))
    back = F.conv_transpose2d(y, kernel, None, stride, padding, extra)
    assert back.shape == x.shape
    assert (forward * y).sum().item() == pytest.approx((x * back).sum().item(), rel=1e-12)
    for axis, size in ((2, height), (3, width)):
        rows = y.shape[axis]
        assert rows == (size + 2 * padding - k) // stride + 1
        assert size == (rows - 1) * stride - 2 * padding + k + extra[axis - 2]


@pytest.mark.parametrize("k", [4, 8])
def test_the_matrix_of_the_layer_is_the_transposed_matrix_of_a_convolution(k: int) -> None:
    half, size = filters(1, k // 2)[0], 12
    kernel = symmetric_even_kernel(half)[None, None, None]
    rows = torch.eye(2 * size, dtype=torch.float64)[:, None, None]
    convolution = F.conv2d(rows, kernel, stride=(1, 2), padding=(0, k // 2 - 1))[:, 0, 0].T
    impulses = torch.eye(size, dtype=torch.float64)[:, None, None]
    layer = transposed_2d(impulses, half)[:, 0, 0].T / half.sum()  # the column sum: height 1
    inner = slice(k // 2, size - k // 2)
    torch.testing.assert_close(layer[:, inner], convolution.T[:, inner], rtol=0, atol=1e-12)


def test_two_input_sizes_share_an_output_and_output_padding_tells_them_apart() -> None:
    kernel = normal(1, 1, 3, 3)
    for size, extra in ((95, 0), (96, 1)):
        small = F.conv2d(normal(1, 1, size, size), kernel, stride=2, padding=1)
        assert small.shape[2:] == (48, 48)
        back = F.conv_transpose2d(small, kernel, None, 2, 1, extra)
        assert back.shape[2:] == (size, size)


@given(k=st.sampled_from(KERNEL_SIZES), size=any_size(65))
@example(k=4, size=(1, 1))
@example(k=16, size=(1, 1))
@example(k=16, size=(1, 7))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_doubling_needs_no_output_padding_and_odd_grids_are_cropped(
    k: int, size: tuple[int, int]
) -> None:
    half, (height, width) = filters(1, k // 2)[0], size
    coarse = normal(1, 1, *level_size(width, height, 1))
    n, kernel = k // 2, symmetric_even_kernel(half)
    padded = F.pad(coarse, (n,) * 4, mode="replicate")
    full = F.conv_transpose2d(padded, torch.outer(kernel, kernel)[None, None], stride=2)
    assert full.shape[2] == (padded.shape[2] - 1) * 2 + k
    crop = k - 1 + k // 2
    doubled = full[:, :, crop:-crop, crop:-crop]
    assert doubled.shape[2:] == (2 * coarse.shape[2], 2 * coarse.shape[3])
    torch.testing.assert_close(transposed_1d_passes(coarse, half), doubled, rtol=0, atol=1e-12)
    latents = [torch.zeros(1, 0, *size).double(), coarse]
    dense = upsample(latents, [half], filters(1, 2), TRAINING_FORM)
    assert torch.equal(dense, transposed_2d(coarse, half)[:, :, :height, :width])


# Checkerboards


def test_overlap_is_even_when_the_stride_divides_the_kernel() -> None:
    for stride in (2, 3, 4):
        for k in range(stride, 13):
            ones = torch.ones(1, 1, k, k, dtype=torch.float64)
            plane = F.conv_transpose2d(torch.ones(1, 1, 12, 12).double(), ones, stride=stride)[0, 0]
            inner = plane[k : 9 * stride, k : 9 * stride].numpy()
            energy = checkerboard_energy(inner, stride)
            assert (energy == 0) == (k % stride == 0), (k, stride)


@given(taps=st.lists(st.floats(-2, 2), min_size=2, max_size=8))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_no_symmetric_even_kernel_can_make_a_checkerboard(taps: list[float]) -> None:
    half = torch.tensor(taps, dtype=torch.float64)
    even, odd = polyphase_gains(mirrored(half))
    assert even == pytest.approx(odd, abs=1e-12)
    plane = transposed_1d_passes(torch.ones(1, 1, 3, 5).double(), half)
    torch.testing.assert_close(plane, torch.full_like(plane, even**2), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "k"), INITIAL)
def test_a_constant_passes_every_initial_filter(name: str, k: int) -> None:
    for phase in polyphase_filters(initial(name, k)):
        assert phase.sum().item() == pytest.approx(1, abs=1e-15)
    latents = [torch.zeros(1, 0, 21, 34), torch.zeros(1, 0, 11, 17), torch.full((1, 1, 6, 9), 3.0)]
    for form in (TRAINING_FORM, INFERENCE_FORM):
        dense = upsample([y.double() for y in latents], [initial(name, k)], filters(1, 2), form)
        torch.testing.assert_close(dense, torch.full_like(dense, 3.0), rtol=0, atol=1e-13)


def test_a_trained_pyramid_scales_a_constant_without_a_pattern() -> None:
    latents = [torch.zeros(1, 0, 32, 32), torch.zeros(1, 0, 16, 16), torch.ones(1, 1, 8, 8)]
    ups = filters(2, 4)
    dense = upsample([y.double() for y in latents], ups, filters(1, 2), INFERENCE_FORM)
    gain = (ups[0].sum() * ups[1].sum()).item() ** 2
    torch.testing.assert_close(dense, torch.full_like(dense, gain), rtol=1e-12, atol=0)
    assert checkerboard_energy(dense[0, 0].numpy(), period=4) < 1e-24
