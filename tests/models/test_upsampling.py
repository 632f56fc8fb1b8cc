from __future__ import annotations

import numpy as np
import pytest
import torch
import upsampling_reference as reference
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from upsampling_cases import ANY_FORM, FORMS, KERNEL_SIZES, any_size, normal

from givre.errors import UsageError
from givre.models.architecture import Architecture, tensor_specs
from givre.models.filters.interpolation import (
    bicubic_half,
    bilinear_half,
    default_transposed_half,
    dirac_half,
)
from givre.models.geometry import level_size
from givre.models.upsampling import (
    INFERENCE_FORM,
    TRAINING_FORM,
    ExecutionForm,
    Upsampling,
    UpsamplingSeparableSymmetricConv2d,
    UpsamplingSeparableSymmetricConvTranspose2d,
    polyphase_filters,
    symmetric_even_kernel,
    symmetric_odd_kernel,
    transposed_1d_passes,
    transposed_2d,
    upsample,
)

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def pyramid(
    height: int,
    width: int,
    channels: tuple[int, ...],
    batch: int = 1,
    dtype: torch.dtype = torch.float64,
) -> list[Tensor]:
    return [
        normal(batch, c, *level_size(width, height, i), seed=i, dtype=dtype)
        for i, c in enumerate(channels)
    ]


def halves(n_filters: int, n_taps: int) -> list[Tensor]:
    """Random filters near unit gain, so that errors are comparable over many stages."""
    return [normal(n_taps, seed=100 + s) / n_taps**0.5 for s in range(n_filters)]


def relative_error(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).abs().max() / expected.abs().max()).item()


# Kernels


def test_halves_are_mirrored_about_the_gap_or_the_centre() -> None:
    half = torch.tensor([1.0, 2.0, 3.0])
    assert symmetric_even_kernel(half).tolist() == [1, 2, 3, 3, 2, 1]
    assert symmetric_odd_kernel(half).tolist() == [1, 2, 3, 2, 1]
    assert symmetric_odd_kernel(half[:1]).tolist() == [1]


def test_initial_kernels_have_their_published_values() -> None:
    assert bilinear_half(4) == (0.25, 0.75)
    assert bilinear_half(8) == (0, 0, 0.25, 0.75)
    published = (-0.0351562, -0.1054687, 0.2617187, 0.8789063)
    assert bicubic_half(8) == pytest.approx(published, abs=1e-6)
    assert bicubic_half(12) == (0, 0, *bicubic_half(8))
    assert dirac_half(1) == (1,)
    assert dirac_half(7) == (0, 0, 0, 1)


@pytest.mark.parametrize("kernel_size", [4, 6, 8, 10, 14])
def test_default_kernel_turns_bicubic_at_eight_taps(kernel_size: int) -> None:
    expected = bilinear_half(kernel_size) if kernel_size < 8 else bicubic_half(kernel_size)
    assert default_transposed_half(kernel_size) == expected


@pytest.mark.parametrize("kernel_size", [4, 6, 8, 10, 12])
def test_both_polyphase_sums_are_one_at_initialisation(kernel_size: int) -> None:
    half = torch.tensor(default_transposed_half(kernel_size), dtype=torch.float64)
    assert [phase.sum().item() for phase in polyphase_filters(half)] == [1.0, 1.0]


# One upsampling filter


@given(
    kernel_size=st.sampled_from(KERNEL_SIZES),
    size=any_size(65),
    precision=st.sampled_from([(torch.float32, 1e-6), (torch.float64, 1e-12)]),
)
@example(kernel_size=4, size=(1, 1), precision=(torch.float32, 1e-6))
@example(kernel_size=16, size=(1, 1), precision=(torch.float32, 1e-6))
@example(kernel_size=8, size=(1, 7), precision=(torch.float64, 1e-12))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_initial_filter_is_torch_interpolation(
    kernel_size: int, size: tuple[int, int], precision: tuple[torch.dtype, float]
) -> None:
    dtype, bound = precision
    x = normal(2, 1, *size, dtype=dtype)
    mode = "bilinear" if kernel_size < 8 else "bicubic"
    expected = F.interpolate(x, scale_factor=2, mode=mode, align_corners=False)
    layer = UpsamplingSeparableSymmetricConvTranspose2d(kernel_size).to(dtype)
    for training in (True, False):
        torch.testing.assert_close(layer.train(training)(x), expected, rtol=0, atol=bound)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kernel_size", [4, 6, 8, 10])
def test_constant_stays_constant_at_initialisation(kernel_size: int, training: bool) -> None:
    layer = UpsamplingSeparableSymmetricConvTranspose2d(kernel_size).train(training)
    # The initial coefficients are multiples of 1/256, so float32 sums them without rounding.
    assert torch.equal(layer(torch.full((1, 1, 5, 3), 3.0)), torch.full((1, 1, 10, 6), 3.0))


@given(n_taps=st.integers(2, 5), size=any_size(8), form=ANY_FORM)
@example(n_taps=5, size=(1, 1), form=TRAINING_FORM)
@example(n_taps=5, size=(1, 1), form=INFERENCE_FORM)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_transposed_equals_its_defining_sum(
    n_taps: int, size: tuple[int, int], form: ExecutionForm
) -> None:
    x, half = normal(1, 1, *size), normal(n_taps, seed=1)
    expected = reference.transposed(x[0, 0].numpy(), half.numpy())
    np.testing.assert_allclose(form.transposed(x, half)[0, 0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n_taps", [2, 3, 4, 5])
def test_zero_insertion_and_pixel_shuffle_are_the_same_operation(n_taps: int) -> None:
    x, half = normal(2, 1, 9, 6), normal(n_taps, seed=1)
    kernel = symmetric_even_kernel(half)
    padded = F.pad(x, (n_taps,) * 4, mode="replicate")

    inserted = torch.zeros(2, 1, 2 * padded.shape[2] - 1, 2 * padded.shape[3] - 1).double()
    inserted[:, :, ::2, ::2] = padded
    full = F.conv2d(inserted, torch.outer(kernel, kernel)[None, None], padding=2 * n_taps - 1)
    crop = 3 * n_taps - 1
    by_insertion = full[:, :, crop:-crop, crop:-crop]

    # Pixel shuffle needs centred phases: an even number of taps is completed by a zero, after the
    # even phase and before the odd one. That zero is the half-sample shift between the two.
    shift = 1 - n_taps % 2
    even, odd = polyphase_filters(half)
    phases = F.pad(even, (0, shift)), F.pad(odd, (shift, 0))
    bank = torch.stack([torch.outer(v, h) for v in phases for h in phases])[:, None]
    centred = F.pad(x, (n_taps // 2,) * 4, mode="replicate")
    by_shuffle = F.pixel_shuffle(F.conv2d(centred, bank), 2)

    for found in (by_shuffle, transposed_2d(x, half), transposed_1d_passes(x, half)):
        torch.testing.assert_close(found, by_insertion, rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n_taps", [2, 3, 4])
def test_gradient_is_the_adjoint_of_the_forward_pass(n_taps: int, form: ExecutionForm) -> None:
    x, half, y = normal(1, 1, 4, 3), normal(n_taps, seed=1), normal(1, 1, 8, 6, seed=2)
    x.requires_grad_()
    inner = (form.transposed(x, half) * y).sum()
    (gradient,) = torch.autograd.grad(inner, x)
    adjoint = torch.from_numpy(reference.transposed_adjoint(y[0, 0].numpy(), half.numpy()))
    assert inner.item() == pytest.approx((x[0, 0] * adjoint).sum().item(), rel=1e-12)
    torch.testing.assert_close(gradient[0, 0], adjoint, rtol=0, atol=1e-12)


def test_away_from_the_border_it_is_the_adjoint_of_a_strided_convolution() -> None:
    half, y = normal(4, seed=1), normal(1, 1, 24, 20, seed=2)
    x = F.pad(normal(1, 1, 4, 2), (4,) * 4)
    kernel = symmetric_even_kernel(half)
    strided = F.conv2d(y, torch.outer(kernel, kernel)[None, None], stride=2, padding=3)
    inner = (transposed_2d(x, half) * y).sum().item()
    assert inner == pytest.approx((x * strided).sum().item(), rel=1e-12)


# One pre-concatenation filter


@given(
    n_taps=st.integers(1, 4),
    size=any_size(8),
    form=ANY_FORM,
)
@example(n_taps=4, size=(1, 1), form=TRAINING_FORM)
@example(n_taps=4, size=(1, 1), form=INFERENCE_FORM)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_preconcat_equals_its_defining_sum(
    n_taps: int, size: tuple[int, int], form: ExecutionForm
) -> None:
    x, half = normal(1, 1, *size), normal(n_taps, seed=1)
    expected = reference.preconcat(x[0, 0].numpy(), half.numpy())
    found = form.preconcat(x, half)[0, 0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kernel_size", [1, 3, 7])
def test_initial_preconcat_doubles_its_input(kernel_size: int, training: bool) -> None:
    x = normal(2, 1, 5, 4, dtype=torch.float32)
    layer = UpsamplingSeparableSymmetricConv2d(kernel_size).train(training)
    assert torch.equal(layer(x), 2 * x)


# Both execution forms


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [(1, 1), (2, 3)])
def test_gradients_of_both_filters(form: ExecutionForm, size: tuple[int, int]) -> None:
    x = normal(2, 1, *size).requires_grad_()
    for plane_filter, n_taps in ((form.transposed, 3), (form.transposed, 4), (form.preconcat, 3)):
        half = normal(n_taps, seed=1).requires_grad_()
        assert torch.autograd.gradcheck(plane_filter, (x, half))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize(("k", "preconcat_k"), [(4, 1), (6, 3), (8, 7), (10, 5)])
def test_training_and_inference_agree(
    *,
    k: int,
    preconcat_k: int,
    dtype: torch.dtype,
    bound: float,
    device: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    module = Upsampling(k, preconcat_k, 3, 3).to(device, dtype)
    with torch.no_grad():
        for seed, weight in enumerate(module.parameters()):
            weight.add_(normal(weight.numel(), seed=seed, dtype=dtype).to(device), alpha=0.2)
    latents = [y.to(device) for y in pyramid(37, 22, (1, 3, 0, 1), batch=2, dtype=dtype)]
    two_d = module.train()(latents)
    one_d = module.eval()(latents)
    assert two_d.dtype == one_d.dtype == dtype
    assert relative_error(one_d, two_d) < bound


@given(
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    channels=st.lists(st.sampled_from([0, 1, 3]), min_size=1, max_size=5),
    batch=st.integers(1, 2),
    n_taps=st.integers(2, 5),
    n_preconcat_taps=st.integers(1, 4),
    n_filters=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    form=ANY_FORM,
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_pyramid_equals_its_defining_sums(
    *,
    size: tuple[int, int],
    channels: list[int],
    batch: int,
    n_taps: int,
    n_preconcat_taps: int,
    n_filters: tuple[int, int],
    form: ExecutionForm,
) -> None:
    latents = pyramid(*size, tuple(channels), batch)
    filters = halves(n_filters[0], n_taps), halves(n_filters[1], n_preconcat_taps)
    expected = reference.upsample(
        [y.numpy() for y in latents],
        [half.numpy() for half in filters[0]],
        [half.numpy() for half in filters[1]],
    )
    found = upsample(latents, filters[0], filters[1], form)
    assert found.shape == (batch, sum(channels), *size)
    np.testing.assert_allclose(
        found, expected, rtol=0, atol=1e-12 * (1 + np.abs(expected).max(initial=0))
    )


# The whole module


@pytest.mark.parametrize("training", [True, False])
def test_channels_keep_the_order_of_the_latents(training: bool) -> None:
    latents = [torch.full_like(y, i + 1.0) for i, y in enumerate(pyramid(9, 6, (1, 0, 2, 1)))]
    dense = Upsampling(8, 7, 3, 3).double().train(training)(latents)
    # The pre-concatenation filters start by doubling, and the coarsest grid has none.
    expected = torch.tensor([2.0, 6.0, 6.0, 4.0], dtype=torch.float64)[None, :, None, None]
    torch.testing.assert_close(dense, expected.expand(1, 4, 9, 6), rtol=0, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_a_pyramid_without_channels_is_dense_without_channels(training: bool) -> None:
    module = Upsampling(8, 7, 2, 2).double().train(training)
    assert module(pyramid(5, 4, (0, 0, 0), batch=2)).shape == (2, 0, 5, 4)


def test_a_single_latent_is_already_dense() -> None:
    (y,) = latents = pyramid(5, 4, (3,))
    assert torch.equal(Upsampling(8, 7, 0, 0)(latents), y)


def test_filters_repeat_after_the_last_one() -> None:
    latents = pyramid(20, 13, (1, 1, 1, 1))
    t, p = halves(2, 4), halves(1, 4)
    repeated = upsample(latents, [t[0], t[1], t[0]], [p[0]] * 3, INFERENCE_FORM)
    assert torch.equal(upsample(latents, t, p, INFERENCE_FORM), repeated)
    swapped = upsample(latents, t[::-1], p, INFERENCE_FORM)
    assert relative_error(swapped, repeated) > 0.01


def test_one_shared_filter_collects_the_gradient_of_every_stage() -> None:
    latents = pyramid(12, 9, (1, 1, 1))

    def gradients(n_filters: int) -> list[Tensor]:
        module = Upsampling(8, 7, n_filters, n_filters).double()
        weights = list(module.parameters())
        return list(torch.autograd.grad(module(latents).square().sum(), weights))

    transposed, preconcat = gradients(1)
    first, second, preconcat_first, preconcat_second = gradients(2)
    torch.testing.assert_close(transposed, first + second, rtol=1e-12, atol=0)
    torch.testing.assert_close(preconcat, preconcat_first + preconcat_second, rtol=1e-12, atol=0)


def test_the_state_dict_has_the_names_and_shapes_of_the_architecture() -> None:
    arch = Architecture(n_spatial=6, n_features=2, synthesis_hidden=8, n_residual=1)
    n_stages = arch.n_levels - 1
    module = Upsampling(arch.ups_k_size, arch.ups_preconcat_k_size, n_stages, n_stages)
    found = [(f"upsampling.{name}", tuple(w.shape)) for name, w in module.state_dict().items()]
    specs = [(spec.name, spec.shape) for spec in tensor_specs(arch)]
    assert found == [spec for spec in specs if spec[0].startswith("upsampling.")]


def test_get_param_returns_copies() -> None:
    module = Upsampling(8, 7, 2, 1)
    params = module.get_param()
    assert list(params) == ["transposed.0.weight", "transposed.1.weight", "preconcat.0.weight"]
    for name, copied in params.items():
        assert torch.equal(copied, module.get_parameter(name))
        assert not copied.requires_grad
        copied.fill_(7.0)
        assert not (module.get_parameter(name) == 7.0).any()


def test_initialize_parameters_restores_the_first_filters() -> None:
    module = Upsampling(6, 5, 2, 2).double()
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(generator=torch.Generator().manual_seed(0))
    module.initialize_parameters()
    for name, weight in module.named_parameters():
        expected = [0.0, 0.25, 0.75] if name.startswith("transposed") else [0.0, 0.0, 1.0]
        assert weight.dtype == torch.float64
        assert weight.tolist() == expected


# Errors


@pytest.mark.parametrize("kernel_size", [-4, 0, 2, 3, 5, 9])
def test_upsampling_kernel_size_must_be_even_and_at_least_four(kernel_size: int) -> None:
    message = f"upsampling kernel size is {kernel_size}, it must be even and at least 4"
    for build in (
        UpsamplingSeparableSymmetricConvTranspose2d,
        bilinear_half,
        lambda k: Upsampling(k, 7, 0, 0),
    ):
        with pytest.raises(ValueError, match=message):
            build(kernel_size)


@pytest.mark.parametrize("kernel_size", [-1, 0, 2, 8])
def test_preconcat_kernel_size_must_be_odd(kernel_size: int) -> None:
    message = f"pre-concatenation kernel size is {kernel_size}, it must be odd"
    for build in (
        UpsamplingSeparableSymmetricConv2d,
        dirac_half,
        lambda k: Upsampling(8, k, 0, 0),
    ):
        with pytest.raises(ValueError, match=message):
            build(kernel_size)


def test_bicubic_needs_eight_taps() -> None:
    with pytest.raises(UsageError, match="kernel size is 6, a bicubic filter needs at least 8"):
        bicubic_half(6)


@pytest.mark.parametrize(("n_ups", "n_preconcat"), [(-1, 1), (1, -1)])
def test_number_of_filters_must_not_be_negative(n_ups: int, n_preconcat: int) -> None:
    with pytest.raises(UsageError, match="number of filters is negative"):
        Upsampling(8, 7, n_ups, n_preconcat)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([], "no latent grids"),
        ([(1, 1, 5)], "latent 0 has 3 dimensions"),
        ([(1, 1, 0, 4)], "latent 0 is 0 x 4, it must be at least 1 x 1"),
        ([(1, 1, 5, 4), (1, 1, 2, 2)], "latent 1 is 2 x 2, it must be 3 x 2"),
        ([(1, 1, 5, 4), (1, 1, 3, 2), (1, 1, 2, 2)], "latent 2 is 2 x 2, it must be 2 x 1"),
        ([(1, 1, 3, 2), (1, 1, 5, 4)], "latent 1 is 5 x 4, it must be 2 x 1"),
        ([(2, 1, 4, 4), (1, 1, 2, 2)], "latent 1 has a batch of 1, latent 0 one of 2"),
    ],
)
def test_latents_must_be_one_pyramid(shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Upsampling(8, 7, 2, 2)([torch.zeros(shape) for shape in shapes])


@pytest.mark.parametrize(("n_ups", "n_preconcat"), [(0, 1), (1, 0)])
def test_two_latents_need_filters(n_ups: int, n_preconcat: int) -> None:
    with pytest.raises(UsageError, match="2 latents need at least one filter of each kind"):
        Upsampling(8, 7, n_ups, n_preconcat)(pyramid(4, 4, (1, 1), dtype=torch.float32))
