from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import cos, log, sin, sqrt, tanh, tau

import numpy as np
import pytest
import torch
from compiled_noise import normal_noise
from torch import Tensor

from givre.models.fused.latents.latents import FusedLatents
from givre.models.latents import ADAM_BETAS, ADAM_EPS, ProxySettings, hard_latents
from givre.models.noise import CYCLE
from givre.models.proxy import noisy_soft_round

SHAPES = [(65, 64), (17, 33), (5, 3), (1, 7), (1, 1)]
SOFT = ProxySettings(gain=16.0, temperature=0.35, noise=0.22, seed=3, step=0)


def reference_proxy(values: Sequence[Tensor], settings: ProxySettings) -> list[Tensor]:
    """The proxy in torch, with the noise of the kernel."""
    found = []
    for i, u in enumerate(values):
        normal = normal_noise(settings.seed, settings.step, i, u.numel())
        noise = settings.noise * torch.from_numpy(normal).to(u).reshape(u.shape)
        found.append(noisy_soft_round(u * settings.gain, noise, settings.temperature))
    return found


def fitted(threads: int = 1, seed: int = 0) -> FusedLatents:
    """Latents that are not zero, after some steps of a fit."""
    generator = torch.Generator().manual_seed(seed)
    latents = FusedLatents(SHAPES, threads)
    state = latents.state_tensors()
    for name, tensor in state.items():
        if name.startswith("latent."):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.2)
        elif name.endswith("exp_avg"):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)
        elif name.endswith("exp_avg_sq"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.1)
    state["adam.step"] = torch.tensor(7)
    latents.load_state_tensors(state)
    return latents


def random_like(tensors: Sequence[Tensor], seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(t.shape, generator=generator) for t in tensors]


def give(latents: FusedLatents, gradients: Sequence[Tensor]) -> None:
    """Pretend that these are the gradients of the last proxy."""
    for place, gradient in zip(latents.gradients, gradients, strict=True):
        place[:] = gradient.numpy()


def copies(latents: FusedLatents) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in latents.state_tensors().items()}


def assert_same_bits(found: FusedLatents, expected: FusedLatents) -> None:
    wanted = expected.state_tensors()
    for name, tensor in found.state_tensors().items():
        assert torch.equal(tensor, wanted[name]), name


@pytest.mark.parametrize("temperature", [0.35, 0.2, 0.08])
def test_soft_proxy_equals_the_reference(temperature: float) -> None:
    latents = fitted()
    settings = replace(SOFT, temperature=temperature)
    for y, wanted in zip(
        latents.proxy(settings),
        reference_proxy([u.double() for u in latents.latents], settings),
        strict=True,
    ):
        assert y.is_leaf
        assert y.requires_grad
        # The product with the gain is rounded to about 1e-6, and each round is this steep.
        steepest = 0.5 / temperature / tanh(0.5 / temperature)
        atol = 2e-6 * max(1, steepest) ** 2
        torch.testing.assert_close(y.detach().double(), wanted, rtol=0, atol=atol)


def test_halves_are_rounded_to_even() -> None:
    (y,) = hard_latents([torch.tensor([[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]])])
    assert y.tolist() == [[-2, -2, 0, 0, 2, 2]]


@pytest.mark.parametrize(
    "settings", [SOFT, replace(SOFT, temperature=0.08, noise=0.15), replace(SOFT, noise=0.0)]
)
def test_twenty_steps_equal_autograd_and_adam(settings: ProxySettings) -> None:
    latents = FusedLatents(SHAPES, 1)
    start = random_like(latents.latents, 1)
    state = copies(latents)
    for i, u in enumerate(start):
        state[f"latent.{i}"] = 0.2 * u
    latents.load_state_tensors(state)
    values = [u.double().requires_grad_() for u in latents.latents]
    adam = torch.optim.Adam(values, betas=ADAM_BETAS, eps=ADAM_EPS)
    for step in range(20):
        now, rate = replace(settings, step=step), 1e-3 / (1 + step)
        gradients = random_like(latents.latents, 100 + step)
        torch.autograd.backward(latents.proxy(now), gradients)
        latents.update(rate)
        # Every step starts where the kernel is: the proxy is steep, and would blow rounding up.
        adam.zero_grad()
        torch.autograd.backward(reference_proxy(values, now), [g.double() for g in gradients])
        for group in adam.param_groups:
            group["lr"] = rate
        adam.step()
        for i, u in enumerate(values):
            found = latents.state_tensors()
            moments = adam.state[u]
            mean, square = moments["exp_avg"], moments["exp_avg_sq"]
            for name, wanted in (
                (f"latent.{i}", u.detach()),
                (f"adam.{i}.exp_avg", mean),
                (f"adam.{i}.exp_avg_sq", square),
            ):
                atol = 1e-4 * float(wanted.abs().max())
                torch.testing.assert_close(found[name].double(), wanted, rtol=0, atol=atol)
            assert int(found["adam.step"]) == int(moments["step"]) == step + 1
            with torch.no_grad():
                u.copy_(latents.latents[i])
                mean.copy_(found[f"adam.{i}.exp_avg"])
                square.copy_(found[f"adam.{i}.exp_avg_sq"])


def test_adam_equals_torch_to_float32_rounding() -> None:
    latents = FusedLatents(SHAPES, 1)
    # So warm that the gradient reaches Adam as it is.
    settings = replace(SOFT, gain=1.0, temperature=1e4, noise=0.0)
    values = [torch.zeros(shape, requires_grad=True) for shape in SHAPES]
    adam = torch.optim.Adam(values, lr=1e-2, betas=(0.8, 0.99), eps=1e-6)
    latents.proxy(settings)
    for step in range(20):
        gradients = random_like(values, step)
        for u, gradient in zip(values, gradients, strict=True):
            u.grad = gradient
        adam.step()
        give(latents, gradients)
        latents.update(1e-2, settings, betas=(0.8, 0.99), eps=1e-6)
    for u, wanted in zip(latents.latents, values, strict=True):
        torch.testing.assert_close(u, wanted.detach(), rtol=1e-5, atol=1e-6)


def test_one_pass_gives_the_bits_of_two() -> None:
    two, one = fitted(), fitted()
    gradients = random_like(two.latents, 5)
    two.proxy(SOFT)
    one.proxy(SOFT)
    for step, upcoming in enumerate(
        [replace(SOFT, step=1), replace(SOFT, noise=0.0, step=2), SOFT]
    ):
        give(two, gradients)
        two.update(1e-2)
        give(one, gradients)
        one.update(1e-2, upcoming)
        assert all(map(torch.equal, one.proxies, two.proxy(upcoming))), step
        assert_same_bits(one, two)


def test_threads_do_not_change_a_bit() -> None:
    shape = [(130, 200), (17, 33)]
    results = []
    for threads in (1, 2, 3):
        latents = FusedLatents(shape, threads)
        latents.proxy(SOFT)
        give(latents, random_like(latents.latents, 1))
        latents.update(1e-2, replace(SOFT, step=1))
        results.append([*latents.proxies, *latents.state_tensors().values()])
    for result in results[1:]:
        assert all(map(torch.equal, result, results[0]))


def test_a_resumed_fit_goes_on_with_the_same_bits() -> None:
    whole, resumed = fitted(), FusedLatents(SHAPES, 1)
    gradients = random_like(whole.latents, 5)
    whole.proxy(SOFT)
    upcoming = replace(SOFT, step=1)
    give(whole, gradients)
    whole.update(1e-2, upcoming)
    resumed.load_state_tensors(copies(whole))
    assert all(map(torch.equal, resumed.proxy(upcoming), whole.proxies))
    for latents in (whole, resumed):
        give(latents, gradients)
        latents.update(1e-2)
    assert_same_bits(resumed, whole)


def test_a_gradient_serves_once() -> None:
    latents = fitted()
    assert all(y.grad is None for y in latents.proxies)
    for upcoming in (None, replace(SOFT, step=1)):
        latents.proxy(SOFT)
        torch.autograd.backward(latents.proxies, random_like(latents.latents, 5))
        assert all(g.any() for g in latents.gradients)
        latents.update(1e-2, upcoming)
        assert not latents.gradient.any()
    torch.autograd.backward(latents.proxies, random_like(latents.latents, 5))
    latents.proxy(SOFT)
    assert not latents.gradient.any()


def test_an_unfit_state_changes_nothing() -> None:
    latents, untouched = fitted(), fitted()
    state = copies(fitted(seed=1))
    with pytest.raises(KeyError, match=r"adam\.4\.exp_avg_sq"):
        latents.load_state_tensors({k: v for k, v in state.items() if k != "adam.4.exp_avg_sq"})
    with pytest.raises(RuntimeError, match=r"latent\.1 is \(33,\), it must be \(17, 33\)"):
        latents.load_state_tensors(state | {"latent.1": torch.zeros(33)})
    assert_same_bits(latents, untouched)


def test_an_update_needs_a_proxy() -> None:
    latents = fitted()
    with pytest.raises(RuntimeError, match="call `proxy` before it"):
        latents.update(1e-2)
    latents.proxy(SOFT)
    latents.update(1e-2)
    with pytest.raises(RuntimeError, match="call `proxy` before it"):
        latents.update(1e-2)


N_SAMPLES = 1 << 20


def noise(seed: int = 1, step: int = 2, grid: int = 3) -> np.ndarray:
    return normal_noise(seed, step, grid, N_SAMPLES).astype(np.float64)


def test_noise_has_the_moments_of_a_normal_distribution() -> None:
    values = noise()
    # Four standard errors of each estimate.
    error = 4 / np.sqrt(N_SAMPLES)
    assert abs(values.mean()) < error
    assert abs(values.var() - 1) < error * np.sqrt(2)
    assert abs((values**3).mean()) < error * np.sqrt(15)
    assert abs((values**4).mean() - 3) < error * np.sqrt(96)
    assert 4.4 < np.abs(values).max() < 5.8


def test_noise_is_normal_in_every_part_of_its_range() -> None:
    stats = pytest.importorskip("scipy.stats")
    for step in (2, 7, CYCLE):
        assert stats.kstest(noise(step=step), "norm").pvalue > 1e-3, step


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 2},
        {"step": 16},
        {"step": 18},
        {"grid": 4},
        {"step": 19, "grid": 2},
        {"seed": 2, "step": 1},
    ],
)
def test_noise_of_other_cycles_grids_and_seeds_is_independent(other: dict[str, int]) -> None:
    here, there = noise(), noise(**other)
    assert abs((here * there).mean()) < 4 / np.sqrt(N_SAMPLES)
    assert abs((here**2 * there**2).mean() - 1) < 4 * np.sqrt(8 / N_SAMPLES)
    assert len(np.intersect1d(here, there)) < 0.3 * N_SAMPLES  # nor the same values elsewhere


def test_noise_of_one_cycle_adds_up_to_less_than_that_of_independent_steps() -> None:
    sums = sum(noise(step=step) for step in range(CYCLE, 2 * CYCLE))
    unaligned = sum(noise(step=step) for step in range(CYCLE // 2, CYCLE // 2 + CYCLE))
    assert sums.var() < 0.2 * CYCLE
    assert unaligned.var() < 0.5 * CYCLE
    for step in range(CYCLE):
        assert abs(noise(step=step).var() - 1) < 4 * np.sqrt(2 / N_SAMPLES)


@pytest.mark.parametrize("shift", [1, 2, 31, 32, 33, 64, 768])
def test_noise_of_other_positions_is_independent(shift: int) -> None:
    values = noise()
    here, there = values[:-shift], values[shift:]
    assert abs((here * there).mean()) < 4 / np.sqrt(N_SAMPLES)
    assert abs((here**2 * there**2).mean() - 1) < 4 * np.sqrt(8 / N_SAMPLES)


def test_noise_depends_on_the_position_and_not_on_the_size_of_the_grid() -> None:
    assert np.array_equal(normal_noise(1, 2, 3, 77), noise()[:77])


def reference_noise(seed: int, step: int, grid: int, n: int) -> list[float]:
    """The noise by its definition, in Python's integers and floats."""
    mask, word_mask = (1 << 64) - 1, (1 << 32) - 1
    key = 0
    cycle, place = divmod(step, 16)
    for number in (seed, cycle, grid):
        key = (key + number + 0x9E3779B97F4A7C15) & mask
        key = (key ^ (key >> 30)) * 0xBF58476D1CE4E5B9 & mask
        key = (key ^ (key >> 27)) * 0x94D049BB133111EB & mask
        key ^= key >> 31

    def mixed(word: int) -> int:
        word &= word_mask
        word = (word ^ (word >> 16)) * 0x7FEB352D & word_mask
        word = (word ^ (word >> 15)) * 0x846CA68B & word_mask
        return word ^ (word >> 16)

    shift, other_shift = (place << 28, 7 * place % 16 << 28)
    found = []
    for position in range(n):
        block, place = divmod(position, 64)
        pair = 32 * block + place % 32
        first = mixed(mixed(pair + (key >> 32)) ^ (key & word_mask))
        second = (mixed(first + 0x9E3779B9) + other_shift) & word_mask
        first = (first + shift) & word_mask
        radius = sqrt(-2 * log(((first >> 9) + 0.5) / 2**23))
        angle = tau * (second >> 9) / 2**23
        found.append(radius * (cos(angle) if place < 32 else sin(angle)))
    return found


@pytest.mark.parametrize(
    "key", [(0, 0, 0), (7, 1000, 2), (2**63, 99_999, 17), (-1, 0, 0), (5, 15, 1)]
)
def test_noise_is_a_fixed_function_of_its_place(key: tuple[int, int, int]) -> None:
    # Checkpoints rely on it: another function would change fits that are resumed.
    wanted = reference_noise(*key, 1000)
    np.testing.assert_allclose(normal_noise(*key, 1000), wanted, rtol=0, atol=5e-6)
