"""Quantisation proxies, schedule and optimiser."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fits import start_fit
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from givre.coder.fitting.schedule import Recipe, gain_for_lmbda, plan_step
from givre.coder.fitting.setting_table import EFFORT_STEPS
from givre.coder.fitting.settings import (
    LMBDA_BEST,
    LMBDA_WORST,
    FitSettings,
    lmbda_for_quality,
    quality_for_lmbda,
)
from givre.coder.fitting.soap import Soap, SoapSettings
from givre.models.proxy import noisy_soft_round, soft_round
from givre.models.synthesis import distortion, straight_through_clamp


@pytest.mark.parametrize("temperature", [0.05, 0.1, 0.3, 1.0, 20.0])
def test_soft_round_fixes_integers_and_halves(temperature: float) -> None:
    x = torch.arange(-4, 5, dtype=torch.float64) / 2
    torch.testing.assert_close(soft_round(x, temperature), x, atol=1e-6, rtol=0)


def test_soft_round_goes_from_identity_to_rounding() -> None:
    x = torch.tensor([-1.3, 0.1, 0.4, 0.6, 2.9], dtype=torch.float64)
    torch.testing.assert_close(soft_round(x, 100.0), x, atol=1e-4, rtol=0)
    torch.testing.assert_close(soft_round(x, 0.01), x.round(), atol=1e-6, rtol=0)


def test_noise_enters_between_two_soft_rounds() -> None:
    x, noise = torch.tensor([0.2, -1.7]), torch.tensor([0.1, -0.2])
    expected = soft_round(soft_round(x, 0.3) + noise, 0.3)
    torch.testing.assert_close(noisy_soft_round(x, noise, 0.3), expected)


def test_the_clamp_has_a_unit_gradient_everywhere() -> None:
    x = torch.tensor([-2.0, 0.3, 0.7, 5.0], requires_grad=True)
    out = straight_through_clamp(x)
    torch.testing.assert_close(out, torch.tensor([0.0, 0.3, 0.7, 1.0]))
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert gradient.tolist() == [1, 1, 1, 1]


def test_distortion_counts_each_channel_by_its_span() -> None:
    target = torch.zeros(1, 2, 1, 2)
    out = torch.tensor([[[[0.5, 2.0]], [[1.0, 0.0]]]])
    # clamped errors 0.5, 1 on a full channel; 1, 0 on one that spans half the range
    expected = (0.25 + 1.0 + 0.25 + 0.0) / 4
    assert float(distortion(out, target, torch.tensor([1.0, 0.5]))) == pytest.approx(expected)


@given(steps=st.integers(1, 3000))
def test_schedule_of_any_length(steps: int) -> None:
    recipe = Recipe()
    plans = [plan_step(recipe, i, steps) for i in range(steps)]
    assert all(0 < p.learning_rate <= recipe.learning_rate for p in plans)
    assert plans[-1].validate
    for name in ("temperature", "noise"):
        start, end = getattr(recipe, name)
        values = [getattr(p, name) for p in plans]
        np.testing.assert_allclose(values, start + (end - start) * np.arange(steps) / steps)


def test_learning_rate_falls_after_the_warm_up() -> None:
    rates = [plan_step(Recipe(), i, 1000).learning_rate for i in range(1000)]
    peak = rates.index(max(rates))
    assert peak <= 20
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] < 1e-4


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_the_decay_is_a_power_of_a_cosine(power: float) -> None:
    recipe = Recipe(decay_power=power, learning_rate=1.0, final_learning_rate=0.0, warmup_steps=0)
    rates = [plan_step(recipe, i, 300).learning_rate for i in range(300)]
    np.testing.assert_allclose(rates, np.cos(np.pi / 2 * np.arange(300) / 300) ** (2 * power))


def test_the_rate_weighs_more_at_first_and_once_from_the_middle_on() -> None:
    weights = [plan_step(Recipe(), i, 1000).rate for i in range(1000)]
    np.testing.assert_allclose(weights[:500], 1.4 - 0.4 * np.arange(500) / 500)
    assert set(weights[500:]) == {1.0}
    assert {plan_step(Recipe(rate_start=1.0), i, 90).rate for i in range(90)} == {1.0}


@pytest.mark.parametrize("kernels", ["reference", "fused"])
def test_the_plan_weighs_the_rate_in_the_gradient(kernels: str) -> None:
    """Parameters of the ARM get their gradient from the rate alone."""
    samples = np.random.default_rng(0).integers(0, 255, (20, 24, 3)).astype(np.uint8)
    settings = FitSettings(complexity="lop", threads=1, kernels=kernels, prior=0)
    found = []
    for weight in (1.0, 3.0):
        _, trainer = start_fit(samples, settings)
        plan = replace(plan_step(Recipe(), 0, 100), rate=weight)
        trainer.step(0, plan, None)
        found.append(trainer.model.arm.output.bias.grad)
    assert found[0].abs().max() > 0
    torch.testing.assert_close(found[1], 3 * found[0], rtol=1e-4, atol=0)


def test_gain_rises_with_the_rate() -> None:
    assert [gain_for_lmbda(x) for x in (1e-2, 5e-4, 4e-4, 1e-4)] == [16, 16, 20, 24]


def test_quality_is_log_linear_in_lambda() -> None:
    assert lmbda_for_quality(0) == LMBDA_WORST
    assert lmbda_for_quality(100) == LMBDA_BEST
    steps = np.diff(np.log([lmbda_for_quality(q) for q in range(101)]))
    np.testing.assert_allclose(steps, steps[0])
    assert quality_for_lmbda(lmbda_for_quality(37)) == pytest.approx(37)


def test_effort_levels_rise() -> None:
    assert len(EFFORT_STEPS) == 10
    assert list(EFFORT_STEPS) == sorted(set(EFFORT_STEPS))


def _descend(optimiser_step, parameter: Tensor, curvature: Tensor, steps: int) -> float:
    for _ in range(steps):
        parameter.grad = curvature @ parameter.detach()
        optimiser_step()
    return float(parameter.detach().norm())


def test_soap_solves_a_rotated_ill_conditioned_problem_faster_than_adam() -> None:
    """The case that it is made for: curvatures from 1 to 1000 along directions off the axes."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(12, 12, generator=generator, dtype=torch.float64))[0]
    curvature = basis @ torch.diag(torch.logspace(0, 3, 12, dtype=torch.float64)) @ basis.t()
    start = torch.randn(12, 5, generator=generator, dtype=torch.float64)
    soap_p = start.clone().requires_grad_()
    soap = Soap([soap_p], SoapSettings(weight_decay=0.0))
    adam_p = start.clone().requires_grad_()
    adam = torch.optim.Adam([adam_p], lr=0.02, betas=(0.95, 0.95))
    assert _descend(lambda: soap.step(0.02), soap_p, curvature, 300) < 0.5 * _descend(
        adam.step, adam_p, curvature, 300
    )


def test_soap_is_adam_on_vectors() -> None:
    """One step late: the first one only looks at the gradient."""
    generator = torch.Generator().manual_seed(1)
    ours = torch.randn(9, generator=generator).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    soap = Soap([ours], SoapSettings(weight_decay=0.0))
    adam = torch.optim.Adam([theirs], lr=0.01, betas=(0.95, 0.95), eps=1e-8)
    ours.grad = torch.ones(9)
    soap.step(0.01)
    for _ in range(5):
        ours.grad = torch.randn(9, generator=generator)
        theirs.grad = ours.grad.clone()
        soap.step(0.01)
        adam.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_soap_goes_on_from_its_state() -> None:
    generator = torch.Generator().manual_seed(2)
    gradients = [torch.randn(4, 3, generator=generator) for _ in range(30)]

    def run(p: Tensor, soap: Soap, part: slice) -> None:
        for gradient in gradients[part]:
            p.grad = gradient.clone()
            soap.step(0.01)

    whole = torch.ones(4, 3, requires_grad=True)
    run(whole, Soap([whole]), slice(None))
    first = torch.ones(4, 3, requires_grad=True)
    soap = Soap([first])
    run(first, soap, slice(0, 13))
    second = first.detach().clone().requires_grad_()
    restored = Soap([second])
    restored.load_state_tensors({k: v.clone() for k, v in soap.state_tensors().items()})
    run(second, restored, slice(13, None))
    assert torch.equal(second, whole)
