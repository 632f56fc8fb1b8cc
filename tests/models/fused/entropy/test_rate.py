"""The compiled entropy model against the torch modules it replaces."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from givre.models.architecture import NAMED_POINTS, Architecture
from givre.models.arm import LOG_SCALE_LIMIT, LOG_SCALE_SHIFT, MAX_BITS
from givre.models.codec_model import CodecModel
from givre.models.fused.entropy.rate import fused_bits, fused_rate

SIZES = [(1, 1), (7, 1), (1, 7), (3, 5), (33, 17), (65, 64), (130, 70)]
UNUSUAL = {
    "no features": replace(NAMED_POINTS["lop"], n_features=0),
    "no hidden layer": replace(NAMED_POINTS["lop"], n_arm_hidden=0),
    "deep and narrow": replace(NAMED_POINTS["lop"], n_spatial=1, n_features=1, n_arm_hidden=4),
    "all neighbours": replace(NAMED_POINTS["lop"], n_spatial=40, n_features=16),
    "two levels": replace(NAMED_POINTS["lop"], n_levels=2, n_hyper=0),
    "three levels": replace(NAMED_POINTS["mop"], n_levels=3, n_hyper=0),
    "no hyper grids": replace(NAMED_POINTS["mop"], n_hyper=0),
    "nine levels": replace(NAMED_POINTS["mop"], n_levels=9, n_hyper=6),
    "four channels": replace(NAMED_POINTS["lop"], n_channels=4),
}


def case(arch: Architecture, width: int, height: int, spread: float = 0.15) -> CodecModel:
    model = CodecModel(arch, width, height)
    generator = torch.Generator().manual_seed(width * 1000 + height)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(("arm.", "ifce.")):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
    return model


def some_latents(model: CodecModel, scale: float = 2.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(len(model.grids))
    return [
        (torch.randn(grid.height, grid.width, generator=generator) * scale).requires_grad_()
        for grid in model.grids
    ]


def inputs(model: CodecModel, latents: list[Tensor]) -> list[Tensor]:
    parameters = model.named_parameters()
    return [*latents, *(p for name, p in parameters if name.startswith(("arm.", "ifce.")))]


def in_doubles(model: CodecModel, latents: list[Tensor]) -> tuple[CodecModel, list[Tensor]]:
    """The same in float64: the reference's own rounding errors are as large as the kernels'."""
    return copy.deepcopy(model).double(), [y.detach().double().requires_grad_() for y in latents]


def assert_equal_to_the_reference(model: CodecModel, latents: list[Tensor]) -> None:
    exact_model, exact_latents = in_doubles(model, latents)
    exact = exact_model.rate(exact_latents)
    exact_gradients = torch.autograd.grad(exact, inputs(exact_model, exact_latents))

    rate = fused_rate(model, latents, threads=1)
    assert rate.dtype == torch.float32
    assert rate.shape == ()
    assert rate.item() == pytest.approx(exact.item(), rel=1e-6, abs=1e-6)
    with torch.no_grad():
        assert fused_rate(model, latents, threads=1).item() == pytest.approx(rate.item(), rel=1e-6)

    gradients = torch.autograd.grad(rate, inputs(model, latents))
    # A grid of one latent may have a small gradient that is the sum of hundreds of large terms.
    whole = torch.cat([g.flatten() for g in exact_gradients[: len(latents)]]).norm()
    for found, expected in zip(gradients, exact_gradients, strict=True):
        assert found.shape == expected.shape
        assert found.dtype == torch.float32
        assert (found - expected).norm() <= 1e-4 * expected.norm() + 1e-6 * whole + 1e-6


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", NAMED_POINTS)
def test_rate_and_gradient(name: str, size: tuple[int, int]) -> None:
    model = case(NAMED_POINTS[name], *size)
    assert_equal_to_the_reference(model, some_latents(model))


@pytest.mark.parametrize("name", UNUSUAL)
def test_rate_and_gradient_of_unusual_architectures(name: str) -> None:
    model = case(UNUSUAL[name], 67, 43, spread=0.1)
    assert_equal_to_the_reference(model, some_latents(model))


def test_rate_and_gradient_where_everything_is_clamped() -> None:
    model = case(NAMED_POINTS["mop"], 65, 64, spread=0.4)
    latents = some_latents(model, scale=6.0)
    with torch.no_grad():
        bits = torch.cat([b.flatten() for b in model.bits(latents)])
        raw: list[Tensor] = []
        model.arm.output.register_forward_hook(lambda *args: raw.append(args[2][:, 1]))
        model.bits(latents)
        scales = torch.cat(raw) - LOG_SCALE_SHIFT
    for clamped in (bits == MAX_BITS, scales > LOG_SCALE_LIMIT, scales < -LOG_SCALE_LIMIT):
        assert clamped.float().mean() > 0.02
    assert (bits < MAX_BITS).float().mean() > 0.1
    assert_equal_to_the_reference(model, latents)


def test_start_of_a_fit() -> None:
    model = CodecModel(NAMED_POINTS["hop"], 40, 30)
    model.initialise(torch.Generator().manual_seed(0), torch.zeros(3))
    latents = [torch.zeros(g.height, g.width, requires_grad=True) for g in model.grids]
    assert_equal_to_the_reference(model, latents)


@pytest.mark.parametrize("name", ["lop", "hop"])
def test_bits_of_every_latent(name: str) -> None:
    model = case(NAMED_POINTS[name], 65, 64)
    latents = [torch.round(y.detach()) for y in some_latents(model)]
    exact_model, exact_latents = in_doubles(model, latents)
    for found, expected in zip(
        fused_bits(model, latents, 2), exact_model.bits(exact_latents), strict=True
    ):
        assert not found.requires_grad
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMED_POINTS)
def test_threads_change_no_bit(name: str) -> None:
    model = case(NAMED_POINTS[name], 130, 170)
    latents = some_latents(model)
    results = []
    for threads in (1, 2, 3):
        rate = fused_rate(model, latents, threads)
        with torch.no_grad():
            forward = fused_rate(model, latents, threads)
        results.append([rate, forward, *torch.autograd.grad(rate, inputs(model, latents))])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_gradients_are_scaled_and_only_where_they_are_wanted() -> None:
    model = case(NAMED_POINTS["lop"], 20, 20)
    latents = some_latents(model)
    plain = torch.autograd.grad(fused_rate(model, latents, 1), latents)
    latents[1].requires_grad_(False)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    (-0.25 * fused_rate(model, latents, 1)).backward()
    assert latents[1].grad is None
    assert all(parameter.grad is None for parameter in model.parameters())
    gradient = latents[0].grad
    assert gradient is not None
    torch.testing.assert_close(gradient, -0.25 * plain[0], rtol=0, atol=0)


def test_without_gradients_no_graph_is_kept() -> None:
    model = case(NAMED_POINTS["lop"], 20, 20).requires_grad_(False)
    rate = fused_rate(model, [y.detach() for y in some_latents(model)], 1)
    assert not rate.requires_grad


def test_latents_may_be_views() -> None:
    model = case(NAMED_POINTS["lop"], 21, 34)
    latents = [y.detach() for y in some_latents(model)]
    strided = [y.t().contiguous().t().requires_grad_() for y in latents]
    assert not strided[0].is_contiguous()
    assert fused_rate(model, strided, 1).item() == fused_rate(model, latents, 1).item()
    assert_equal_to_the_reference(model, strided)


@pytest.mark.parametrize("name", ["arm.hidden.0.weight", "arm.output.bias", "ifce.0.weight"])
def test_a_diverged_fit_shows(name: str) -> None:
    model = case(NAMED_POINTS["lop"], 20, 20)
    with torch.no_grad():
        model.get_parameter(name).fill_(torch.nan)
        assert fused_rate(model, some_latents(model), 1).isnan()
    assert fused_rate(model, some_latents(model), 1).isnan()
