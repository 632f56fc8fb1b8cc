"""What a decoder's parameters cost, against the model itself and difference quotients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from model_cases import lively_model
from torch import Tensor

from givre.coder.fitting.torch_context import torch_threads
from givre.coder.quantisation.model_cost import DecoderCost, Doubles
from givre.models.architecture import NAMED_POINTS
from givre.models.codec_model import CodecModel

LOP = NAMED_POINTS["lop"]
NAMES = ["synthesis.hidden.weight", "arm.output.weight", "ifce.1.bias"]
NAMES += ["upsampling.preconcat.2.weight"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As while a file is written; the tensors are too small for more."""
    with torch_threads(1):
        yield


def model_and_latents() -> tuple[CodecModel, list[Tensor]]:
    """A small float64 model with weights large enough for every layer to matter."""
    model = lively_model(LOP, 12, 10, torch.float64)
    generator = torch.Generator().manual_seed(4)
    shapes = [(grid.height, grid.width) for grid in model.grids]
    return model, [torch.randn(s, generator=generator).round().double() for s in shapes]


def prior_of(model: CodecModel, names: Sequence[str]) -> dict[str, Doubles]:
    rng = np.random.default_rng(2)
    return {name: rng.integers(-9, 9, model.get_parameter(name).shape) / 8 for name in names}


def rate_and_error(model: CodecModel, latents: Sequence[Tensor]) -> Tensor:
    """A smooth cost of all parameters."""
    return model.rate(latents) + 100 * (model.normalised(latents) - 0.4).square().mean()


def test_the_gradient_is_the_slope_of_the_bits() -> None:
    model, latents = model_and_latents()
    cost = DecoderCost(
        model, NAMES, prior_of(model, NAMES), lambda m: rate_and_error(m, latents), 3.0
    )
    at = cost.differences()
    assert cost.bits(at) == pytest.approx(3 * rate_and_error(model, latents).item(), rel=1e-12)
    gradient = cost.gradient(at)
    units = 1e-6 * np.eye(len(at))
    slopes = [(cost.bits(at + unit) - cost.bits(at - unit)) / 2e-6 for unit in units]
    np.testing.assert_allclose(gradient, slopes, rtol=1e-5, atol=1e-4)
    assert np.count_nonzero(gradient) > 0.8 * len(gradient)  # the others are behind a ReLU


def test_what_the_cost_does_not_depend_on_has_no_slope() -> None:
    model, latents = model_and_latents()
    cost = DecoderCost(model, NAMES, prior_of(model, NAMES), lambda m: m.rate(latents), 1.0)
    gradient = cost.gradient(cost.differences())
    n, n_entropy = LOP.synthesis_hidden * LOP.n_levels, 2 * LOP.context_width + LOP.n_features
    assert not gradient[:n].any()
    assert gradient[n : n + n_entropy].all()
    assert not gradient[n + n_entropy :].any()


def test_differences_are_where_the_model_was_moved() -> None:
    model, _ = model_and_latents()
    model.float()
    prior = prior_of(model, NAMES)
    cost = DecoderCost(model, NAMES, prior, lambda m: m.arm.output.weight.sum(), 1.0)
    size = len(cost.differences())
    moves = np.random.default_rng(6).integers(-4095, 4096, size) / 1024
    cost.move_to(moves)
    np.testing.assert_array_equal(cost.differences(), moves)
    start = 0
    for name in NAMES:
        value = model.get_parameter(name).detach().double().numpy()
        own = moves[start : start + value.size].reshape(value.shape)
        np.testing.assert_array_equal(value, prior[name] + own)
        start += value.size
    assert start == size
    np.testing.assert_array_equal(cost.prior[:3], prior[NAMES[0]].reshape(-1)[:3])
    cost.bits(0 * moves)
    np.testing.assert_array_equal(cost.differences(), 0 * moves)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_cost_that_is_no_number_is_infinite(value: float) -> None:
    model, _ = model_and_latents()
    cost = DecoderCost(model, NAMES, prior_of(model, NAMES), lambda m: torch.tensor(value), 1.0)
    assert cost.bits(cost.differences()) == np.inf
