"""Steps and integers of a decoder: in bowls of known depth, and of whole fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from fits import FUSED, context_of, overfit
from numpy.typing import NDArray
from picture_files import load_samples
from places import DEMO_IMAGE
from torch import Tensor, nn

from givre.bitstream.parameters import (
    QuantisedParameters,
    parameter_bits,
    read_parameters,
    write_parameters,
)
from givre.bitstream.rangecoder import PARAMETER_MAX
from givre.bitstream.side_information import GroupGuess, side_bits
from givre.coder.encoder import write_fit
from givre.coder.fitting.checkpoint import Fit
from givre.coder.fitting.settings import FitSettings
from givre.coder.fitting.torch_context import torch_threads
from givre.coder.quantisation.model_cost import DecoderCost, Doubles
from givre.coder.quantisation.parameters import quantise_parameters
from givre.coder.quantisation.step_search import EMPTY, Choice, Group, choose_integers
from givre.models.architecture import tensor_specs
from givre.models.exact.arithmetic import PARAMETER_BITS

SEEDS = range(4)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As while a file is written; the tensors are too small for more."""
    with torch_threads(1):
        yield


# --- choosing steps and integers in a bowl ------------------------------------------------------


class Parameters(nn.Module):
    """Tensors by name."""

    def __init__(self, values: dict[str, Doubles]) -> None:
        super().__init__()
        for name, value in values.items():
            self.register_parameter(name, nn.Parameter(torch.from_numpy(value).float()))


@dataclass(frozen=True)
class Bowl:
    """A quadratic cost of groups of parameters, least at some differences from a prior.

    Attributes:
        curvature: (P, P).
        best: (P,), where it is least.
        index: (P,), group of each parameter.
        groups: what the search is told.
        cost: what the search sees.
    """

    curvature: Doubles
    best: Doubles
    index: NDArray[np.int64]
    groups: list[Group]
    cost: DecoderCost

    def chosen(self, understated: float = 1.0) -> Choice:
        told = torch.from_numpy(self.curvature / understated)
        return choose_integers(self.cost, told, self.groups, FUSED)

    def depth(self, integers: NDArray[np.int64], exponents: Sequence[int]) -> float:
        """Cost of integers, own bits included, computed anew."""
        off = integers * 2.0 ** -np.maximum(exponents, 0)[self.index] - self.best
        bits = 0.5 * off @ self.curvature @ off
        for group in range(len(self.groups)):
            own = integers[self.index == group].astype(np.int32)
            side = side_bits(max(exponents[group], 0), self.groups[group].guess)
            bits += 1 + parameter_bits(own, side)[0]
        return float(bits)


def bowl(
    seed: int,
    bends: Sequence[float],
    prior: Doubles | None = None,
    prior_exponent: int = 0,
    spread: float = 0.1,
) -> Bowl:
    """Groups of ten with a curvature of about bends[i], all tied together; the start is off."""
    rng = np.random.default_rng(seed)
    names, n = [f"group{i}" for i in range(len(bends))], 10 * len(bends)
    index = np.repeat(np.arange(len(bends)), 10)
    roots = rng.normal(size=(n, n)) / np.sqrt(n) + 0.5 * np.eye(n)
    roots = roots * np.sqrt(np.array(bends))[index][:, None]
    best = rng.laplace(size=n) * spread
    base = np.zeros(n) if prior is None else prior
    start = base + best + 0.01 * rng.normal(size=n)
    curvature = roots @ roots.T
    matrix, centre = torch.from_numpy(curvature), torch.from_numpy(base + best)

    def cost(model: Parameters) -> Tensor:
        off = torch.cat(list(model.parameters())).double() - centre
        return 0.5 * off @ matrix @ off

    def by_name(values: Doubles) -> dict[str, Doubles]:
        return dict(zip(names, np.split(values, len(names)), strict=True))

    model = Parameters(by_name(start))
    decoder_cost = DecoderCost(model, names, by_name(base), cost, 1.0)  # type: ignore[arg-type]
    guesses = [None, GroupGuess(7, 10), GroupGuess(2, 9)]
    groups = [
        Group(name, 10, prior_exponent, guess) for name, guess in zip(names, guesses, strict=False)
    ]
    return Bowl(curvature, best, index, groups, decoder_cost)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("understated", [1.0, 1e4], ids=["right model", "wrong model"])
def test_no_rounding_on_common_steps_is_better(seed: int, understated: float) -> None:
    """Not even of the very bottom of the bowl, nor where the model is steps too coarse."""
    case = bowl(seed, [1e6, 1e4, 1e2])
    start = case.cost.differences()
    found = case.chosen(understated)
    assert found.bits == pytest.approx(case.depth(found.integers, found.exponents), rel=1e-5)
    for exponent in range(16):
        for values in (start, case.best):
            rounded = np.rint(np.ldexp(values, exponent)).clip(-PARAMETER_MAX, PARAMETER_MAX)
            assert found.bits < case.depth(rounded.astype(np.int64), [exponent] * 3)


@pytest.mark.parametrize("seed", SEEDS)
def test_sharper_groups_get_finer_steps(seed: int) -> None:
    """Each factor of four in the curvature halves the step, about."""
    sharp, flat = bowl(seed, [1e7, 1e4]).chosen().exponents
    assert sharp - flat in (4, 5, 6)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_group_without_effect_is_left_empty(seed: int) -> None:
    found = bowl(seed, [1e6, 0.0, 1e4]).chosen()
    assert found.exponents[1] == EMPTY
    assert not found.integers[10:20].any()
    assert found.integers[:10].any()
    assert found.integers[20:].any()
    assert min(found.exponents[0], found.exponents[2]) >= 0


def test_the_same_twice() -> None:
    first, second = (bowl(5, [1e6, 1e4]).chosen() for _ in range(2))
    assert (first.exponents, first.bits) == (second.exponents, second.bits)
    assert first.integers.tolist() == second.integers.tolist()


def fills(choice: Choice, case: Bowl) -> Doubles:
    """The parameters as a part of what 16 bits hold on the finer of the two steps, (P,)."""
    exponents = np.array(choice.exponents)[case.index]
    finest = np.maximum(exponents, case.groups[0].prior_exponent)
    values = case.cost.prior + choice.integers * 2.0 ** -np.maximum(exponents, 0)
    filled: Doubles = np.abs(values) * 2.0 ** (finest - PARAMETER_BITS)
    return filled


@pytest.mark.parametrize("bend", [1e4, 1e6, 1e8])
def test_a_prior_near_its_limit_limits_the_step(bend: float) -> None:
    """1900 fits into 16 bits and a sign on the step 2^-5 at most, however much finer pays."""
    prior = np.zeros(20)
    prior[:5] = [1900, -1900, 1900, 0, 1900]
    case = bowl(1, [bend, 1e4], prior, spread=0.5)
    found = case.chosen()
    assert fills(found, case).max() < 1
    assert np.abs(found.integers).max() <= PARAMETER_MAX
    assert found.exponents[0] == 5
    rounded = np.rint(np.ldexp(case.best, 5)).astype(np.int64)
    assert found.bits < case.depth(rounded, [5, 5])


def test_a_finer_prior_leaves_less_room() -> None:
    """On the step 2^-15 a prior of 1.9 may become 2, not 2.5; on 2^-4 it may."""
    prior = np.zeros(20)
    prior[:5] = np.rint(1.9 * 16) / 16
    fine, coarse = (bowl(1, [1e6, 1e4], prior, r, spread=0.5) for r in (15, 4))
    wanted = prior + coarse.best
    assert wanted[:5].max() > 2.1
    for case, least, most in ((fine, 1.9, 2.0), (coarse, 2.1, 4.0)):
        found = case.chosen()
        values = prior + found.integers * 2.0 ** -np.array(found.exponents)[case.index]
        assert least < values[:5].max() < most
        assert fills(found, case).max() < 1
        if case is fine:  # one step more would reach the limit
            assert values[:5].max() + 2.0 ** -found.exponents[0] >= most


# --- whole fits ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quantised:
    """A fit, what is made of it, and copies of its tensors from before."""

    fit: Fit
    samples: NDArray[np.uint8]
    parameters: QuantisedParameters
    before: dict[str, Tensor]


@pytest.fixture(scope="module", params=[None, 0], ids=["prior", "no prior"])
def short_fit(request: pytest.FixtureRequest) -> Quantised:
    samples = np.ascontiguousarray(load_samples(DEMO_IMAGE)[120:144, 80:112])
    settings = FitSettings(lmbda=1e-4, steps=30, complexity="lop", threads=1, prior=request.param)
    with torch_threads(1):
        fit = overfit(samples, settings)
        before = {name: value.clone() for name, value in fit.parameters.items()}
        return Quantised(fit, samples, quantise_parameters(fit, context_of(fit, samples)), before)


def test_a_fit_is_quantised_to_what_its_file_holds(short_fit: Quantised) -> None:
    fit, found = short_fit.fit, short_fit.parameters
    for name, value in short_fit.before.items():
        assert torch.equal(fit.parameters[name], value), name
    assert found.prior.number == fit.prior.number
    assert any(integers.any() for integers in found.integers.values())
    section = write_parameters(fit.architecture, found)
    held = read_parameters(fit.architecture, section, fit.prior)
    assert dict(held.exponents) == dict(found.exponents)
    for name, value in found.values(fit.architecture).items():
        np.testing.assert_array_equal(held.values(fit.architecture)[name], value, err_msg=name)


@pytest.mark.parametrize("short_fit", [None], ids=["prior"], indirect=True, scope="module")
def test_threads_change_no_integer(short_fit: Quantised) -> None:
    fit = short_fit.fit
    on_two = replace(fit, settings=replace(fit.settings, threads=2))
    again = quantise_parameters(on_two, context_of(on_two, short_fit.samples))
    assert again.exponents == short_fit.parameters.exponents
    for name, integers in short_fit.parameters.integers.items():
        np.testing.assert_array_equal(again.integers[name], integers, err_msg=name)


def test_parameters_that_diverged_begin_at_the_prior() -> None:
    samples = np.random.default_rng(0).integers(0, 256, (8, 12, 1)).astype(np.uint8)
    fit = overfit(samples, FitSettings(lmbda=1e-3, steps=1, complexity="lop", threads=1))
    prior = fit.prior.values(fit.architecture)
    broken, at_prior = ({n: p.clone() for n, p in fit.parameters.items()} for _ in range(2))
    bad = {"arm.output.weight": np.nan, "ifce.1.bias": 5000.0, "synthesis.hidden.bias": -np.inf}
    for name, value in bad.items():
        broken[name].view(-1)[1] = value
        at_prior[name].view(-1)[1] = prior[name].flat[1]
    found, expected = (
        quantise_parameters(replace(fit, parameters=parameters), context_of(fit, samples))
        for parameters in (broken, at_prior)
    )
    assert found.exponents == expected.exponents
    for name, integers in expected.integers.items():
        np.testing.assert_array_equal(found.integers[name], integers, err_msg=name)


def test_a_file_costs_little_more_than_its_fit(short_fit: Quantised) -> None:
    """A bit for each parameter, quality that was lost included; and less than plain rounding."""
    fit, lmbda = short_fit.fit, short_fit.fit.settings.lmbda
    report = write_fit(fit, context_of(fit, short_fit.samples), short_fit.parameters).report
    fit_loss = 10 ** (-fit.psnr_db / 10) + lmbda * fit.bpp
    n_bits = 8 * report.header_bytes + sum(p.numel() for p in fit.parameters.values())
    assert report.loss < fit_loss + lmbda * n_bits / (fit.width * fit.height)

    prior, specs = fit.prior.values(fit.architecture), tensor_specs(fit.architecture)
    for exponent in range(11):
        integers = {}
        for spec in specs:
            difference = fit.parameters[spec.name].double().numpy() - prior[spec.name]
            integers[spec.name] = np.rint(np.ldexp(difference, exponent)).astype(np.int32)
        exponents = {spec.group: exponent for spec in specs}
        rounded = QuantisedParameters(integers, exponents, fit.prior)
        assert report.loss < write_fit(fit, context_of(fit, short_fit.samples), rounded).report.loss
