"""The compiled cost of a sample against plain torch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from givre.coder.kernels import REFERENCE, Kernels, choose_kernels
from givre.coder.normalisation import Target, make_target
from givre.coder.sampled_cost import SampledDistortion, SampledRate
from givre.models.architecture import NAMED_POINTS, Architecture
from givre.models.arm import laplace_bits
from givre.models.codec_model import CodecModel
from givre.models.fused.sampled_distortion import FusedSampledDistortion
from givre.models.fused.sampled_rate import FusedSampledRate, LatentSample
from givre.models.synthesis import distortion

FUSED = choose_kernels("fused", torch.device("cpu"), 1)
LOP, HOP = NAMED_POINTS["lop"], NAMED_POINTS["hop"]
UNUSUAL = {
    "no features": replace(LOP, n_features=0),
    "no hidden layer": replace(LOP, n_arm_hidden=0),
    "deep and narrow": replace(LOP, n_spatial=1, n_features=1, n_arm_hidden=4),
    "all neighbours": replace(LOP, n_spatial=40, n_features=16),
    "two levels": replace(LOP, n_levels=2, n_hyper=0),
    "nine levels": replace(NAMED_POINTS["mop"], n_levels=9, n_hyper=6),
}


def case(arch: Architecture, width: int, height: int, spread: float = 0.15) -> CodecModel:
    """A model with weights large enough for every layer to matter."""
    model = CodecModel(arch, width, height).requires_grad_(False)
    generator = torch.Generator().manual_seed(width * 1000 + height)
    for parameter in model.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
    return model


def parameters_of(model: CodecModel) -> dict[str, Tensor]:
    return dict(model.named_parameters())


def frozen_arrays(parameters: dict[str, Tensor]) -> dict[str, NDArray[np.float32]]:
    arrays = {name: parameter.numpy().copy() for name, parameter in parameters.items()}
    for array in arrays.values():
        array.setflags(write=False)
    return arrays


def some_latents(model: CodecModel) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [
        torch.round(2 * torch.randn(grid.height, grid.width, generator=generator))
        for grid in model.grids
    ]


def sampled_rate(model: CodecModel, kernels: Kernels, threads: int = 1) -> SampledRate:
    generator = torch.Generator().manual_seed(7)
    return SampledRate(model, some_latents(model), generator, kernels, threads)


def a_target(model: CodecModel) -> Target:
    grid = model.grids[0]
    shape = (grid.height, grid.width, model.arch.n_channels)
    return make_target(np.random.default_rng(5).integers(0, 200, shape).astype(np.uint8))


def sampled_distortion(model: CodecModel, kernels: Kernels, threads: int = 1) -> SampledDistortion:
    dense = model.dense(some_latents(model))
    generator = torch.Generator().manual_seed(7)
    return SampledDistortion(model, dense, a_target(model), generator, kernels, threads)


def assert_equal_rates(model: CodecModel) -> None:
    parameters = parameters_of(model)
    expected = sampled_rate(model, REFERENCE).bits(parameters)
    assert sampled_rate(model, FUSED).bits(parameters) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (7, 1), (3, 5), (65, 64), (131, 97)], ids=str)
@pytest.mark.parametrize("name", NAMED_POINTS)
def test_rate_of_named_points(name: str, size: tuple[int, int]) -> None:
    assert_equal_rates(case(NAMED_POINTS[name], *size))


@pytest.mark.parametrize("name", UNUSUAL)
def test_rate_of_unusual_architectures(name: str) -> None:
    assert_equal_rates(case(UNUSUAL[name], 67, 43, spread=0.1))


def test_rate_weighs_each_sample_and_ignores_the_rest_of_a_block() -> None:
    model = case(LOP, 8, 8)
    parameters = parameters_of(model)
    rng = np.random.default_rng(3)
    expected, samples = 0.0, []
    for n, level, weight in (
        (0, None, 9.0),
        (1, None, 3.0),
        (63, 1, 0.5),
        (64, 0, 2.0),
        (65, 2, 1),
    ):
        spatial = rng.normal(size=(n, 6)).astype(np.float32)
        symbols = rng.integers(-2, 3, n).astype(np.float32)
        inputs, features = None, torch.zeros(n, 2)
        if level is not None:
            layer = model.ifce[level]
            inputs = rng.normal(size=(n, layer.in_features)).astype(np.float32)
            features = layer(torch.from_numpy(inputs))
        samples.append(LatentSample(level, spatial, symbols, inputs, weight))
        context = torch.cat([torch.from_numpy(spatial), features], dim=1)
        bits = laplace_bits(torch.from_numpy(symbols), *model.arm(context))
        expected += weight * float(bits.double().sum())
    for order in (samples, samples[::-1]):
        rate = FusedSampledRate(LOP, order, threads=2)
        assert rate.bits(parameters) == pytest.approx(expected, rel=1e-6)


def test_rate_follows_the_parameters_and_takes_arrays() -> None:
    model = case(HOP, 40, 40)
    parameters, rate = parameters_of(model), sampled_rate(model, FUSED)
    reference = sampled_rate(model, REFERENCE)
    before = rate.bits(parameters)
    for name in ("arm.hidden.1.weight", "arm.output.bias", "ifce.2.weight", "ifce.0.bias"):
        parameters[name].view(-1)[1] += 0.5
        found = rate.bits(parameters)
        assert found == pytest.approx(reference.bits(parameters), rel=1e-5)
        assert found != before
        before = found
    assert rate.bits(frozen_arrays(parameters)) == found  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["lop", "hop"])
def test_threads_change_no_bit(name: str) -> None:
    model = case(NAMED_POINTS[name], 300, 260)
    parameters = parameters_of(model)
    for make, cost in ((sampled_rate, "bits"), (sampled_distortion, "mse")):
        found = {getattr(make(model, FUSED, n), cost)(parameters) for n in (1, 2, 3)}
        assert len(found) == 1


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 3), (35, 33), (90, 71)], ids=str)
@pytest.mark.parametrize("name", NAMED_POINTS)
def test_distortion_of_named_points(name: str, size: tuple[int, int]) -> None:
    model = case(NAMED_POINTS[name], *size)
    parameters = parameters_of(model)
    expected = sampled_distortion(model, REFERENCE).mse(parameters)
    found = sampled_distortion(model, FUSED).mse(parameters)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("n_residual", range(5))
@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
def test_distortion_of_all_channels_layers_and_patch_sizes(
    n_channels: int, n_residual: int
) -> None:
    arch = replace(LOP, n_channels=n_channels, n_residual=n_residual)
    model = case(arch, 8, 8, spread=0.4)
    generator = torch.Generator().manual_seed(n_residual)
    for n_patches, height, width in ((1, 1, 1), (3, 1, 9), (2, 9, 1), (17, 5, 3), (40, 13, 11)):
        dense = torch.randn(n_patches, arch.n_levels, height, width, generator=generator)
        wanted = torch.rand(n_patches, n_channels, height, width, generator=generator)
        span = torch.rand(n_channels, generator=generator) + 0.1
        expected = distortion(model.synthesis(dense), wanted, span).item()
        arrays = dense.numpy(), wanted.numpy(), span.numpy()
        found = FusedSampledDistortion(arch, *arrays, threads=2).mse(parameters_of(model))
        assert found == pytest.approx(expected, rel=1e-5)


def test_distortion_follows_the_parameters_and_takes_arrays() -> None:
    model = case(HOP, 40, 40)
    parameters, cost = parameters_of(model), sampled_distortion(model, FUSED)
    reference = sampled_distortion(model, REFERENCE)
    before = cost.mse(parameters)
    for name in ("hidden.bias", "output.weight", "residual.1.weight", "residual.0.bias"):
        parameters[f"synthesis.{name}"].view(-1)[1] += 0.5
        found = cost.mse(parameters)
        assert found == pytest.approx(reference.mse(parameters), rel=1e-5)
        assert found != before
        before = found
    assert cost.mse(frozen_arrays(parameters)) == found  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["arm.hidden.0.weight", "ifce.0.bias"])
def test_a_diverged_rate_shows(name: str) -> None:
    model = case(LOP, 20, 20)
    model.get_parameter(name).fill_(torch.nan)
    assert np.isnan(sampled_rate(model, FUSED).bits(parameters_of(model)))


def test_a_diverged_distortion_shows() -> None:
    model = case(LOP, 20, 20)
    model.synthesis.stabiliser.weight.fill_(torch.nan)
    assert np.isnan(sampled_distortion(model, FUSED).mse(parameters_of(model)))
