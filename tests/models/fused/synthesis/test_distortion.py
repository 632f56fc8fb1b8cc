from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from givre.models.architecture import NAMED_POINTS, Architecture
from givre.models.fused.synthesis.distortion import fused_distortion, fused_synthesis
from givre.models.synthesis import Synthesis, distortion

SIZES = [(1, 1), (1, 7), (5, 3), (17, 33), (65, 64)]
LOP = NAMED_POINTS["lop"]


@dataclass(frozen=True)
class Case:
    """A random synthesis with its input, and the picture that it should give.

    The span is of channels, (C, 1, 1), or of samples, (C, H, W).
    """

    synthesis: Synthesis
    dense: Tensor
    target: Tensor
    span: Tensor

    def reference(self) -> Tensor:
        return distortion(self.synthesis(self.dense), self.target, self.span)

    def fused(self, threads: int = 1) -> Tensor:
        return fused_distortion(self.synthesis, self.dense, self.target, self.span, threads)

    def gradients(self, loss: Callable[[], Tensor]) -> list[Tensor]:
        return list(torch.autograd.grad(loss(), [self.dense, *self.synthesis.parameters()]))


def case(
    arch: Architecture, size: tuple[int, int], seed: int = 0, *, weighted: bool = False
) -> Case:
    """Weights are large enough for every layer to matter, and some samples lie outside [0, 1].

    In a weighted case every sample has a factor of its own, and a third of them do not count.
    """
    torch.manual_seed(seed)
    synthesis = Synthesis(arch)
    with torch.no_grad():
        for parameter in synthesis.parameters():
            parameter.uniform_(-0.5, 0.5)
    dense = torch.randn(1, arch.n_levels, *size).requires_grad_()
    target = torch.rand(1, arch.n_channels, *size)
    span = torch.rand(arch.n_channels, 1, 1) + 0.5
    if weighted:
        counted = torch.rand(arch.n_channels, *size)
        span = span * torch.where(counted < 1 / 3, 0.0, counted.sqrt())
        span[0, 0, 0] = 0.5
    return Case(synthesis, dense, target, span)


def assert_equal_to_reference(given: Case) -> None:
    value, expected = given.fused(), given.reference()
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=0)
    pairs = zip(given.gradients(given.fused), given.gradients(given.reference), strict=True)
    for gradient, wanted in pairs:
        largest = float(wanted.abs().max())
        torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-4 * largest)
    with torch.no_grad():
        assert torch.equal(given.fused(), value)
        samples = fused_synthesis(given.synthesis, given.dense, 1)
        wanted = given.synthesis(given.dense)
        torch.testing.assert_close(
            samples, wanted, rtol=0, atol=1e-5 * max(1, float(wanted.abs().max()))
        )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NAMED_POINTS)
def test_named_architectures_equal_the_reference(name: str, size: tuple[int, int]) -> None:
    assert_equal_to_reference(case(NAMED_POINTS[name], size))


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (5, 3), (17, 33)])
@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
def test_all_numbers_of_channels_and_layers(n_channels: int, size: tuple[int, int]) -> None:
    for n_residual in range(5):
        arch = replace(LOP, n_channels=n_channels, n_residual=n_residual)
        assert_equal_to_reference(case(arch, size, seed=n_residual))


@pytest.mark.parametrize("n_levels", range(2, 16))
def test_all_numbers_of_inputs(n_levels: int) -> None:
    arch = replace(LOP, n_levels=n_levels, n_hyper=0)
    assert_equal_to_reference(case(arch, (9, 20), seed=n_levels))


@pytest.mark.parametrize("hidden", [1, 7, 9, 128])
def test_odd_numbers_of_hidden_features(hidden: int) -> None:
    assert_equal_to_reference(case(replace(LOP, synthesis_hidden=hidden), (9, 20), seed=hidden))


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (5, 3), (17, 33), (65, 64)])
@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
def test_a_factor_of_each_sample_equals_the_reference(
    n_channels: int, size: tuple[int, int]
) -> None:
    for n_residual in range(3):
        arch = replace(LOP, n_channels=n_channels, n_residual=n_residual)
        assert_equal_to_reference(case(arch, size, seed=n_residual, weighted=True))


def test_equal_factors_of_all_samples_are_those_of_their_channel() -> None:
    given = case(NAMED_POINTS["hop"], (17, 33))
    spread = replace(given, span=given.span.expand(-1, 17, 33).clone())
    torch.testing.assert_close(spread.fused(), given.fused(), rtol=1e-6, atol=0)
    for found, wanted in zip(
        spread.gradients(spread.fused), given.gradients(given.fused), strict=True
    ):
        largest = float(wanted.abs().max())
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6 * largest)


def test_samples_that_do_not_count_may_be_anything() -> None:
    given = case(NAMED_POINTS["mop"], (9, 20), weighted=True)
    hidden = given.span == 0
    assert hidden.any()
    other = replace(given, target=torch.where(hidden, 1 - given.target, given.target))
    assert not torch.equal(other.target, given.target)
    assert torch.equal(other.fused(), given.fused())
    expected = given.gradients(given.fused)
    assert all(map(torch.equal, other.gradients(other.fused), expected))


def test_the_weighted_error_is_the_mean_over_all_samples() -> None:
    """Without a synthesis that does anything, by hand: the clamped bias against the target."""
    given = case(replace(LOP, n_residual=0), (4, 5), weighted=True)
    with torch.no_grad():
        for parameter in given.synthesis.parameters():
            parameter.zero_()
        given.synthesis.output.bias.copy_(torch.tensor([0.25, 0.5, 7.0]))
    shown = torch.tensor([0.25, 0.5, 1.0])[:, None, None]
    expected = float(((shown - given.target[0]) * given.span).square().sum() / (3 * 4 * 5))
    assert given.fused().item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_threads_do_not_change_a_bit(weighted: bool) -> None:
    given = case(NAMED_POINTS["hop"], (65, 200), weighted=weighted)
    expected = [given.fused(1), *given.gradients(given.fused)]
    samples = fused_synthesis(given.synthesis, given.dense, 1)
    for threads in (2, 3):
        found = [given.fused(threads), *given.gradients(lambda n=threads: given.fused(n))]
        assert all(map(torch.equal, found, expected))
        assert torch.equal(fused_synthesis(given.synthesis, given.dense, threads), samples)


def test_a_weighted_loss_scales_the_gradients() -> None:
    given = case(LOP, (5, 9))
    once = given.gradients(given.fused)
    weighted = given.gradients(lambda: 3 * given.fused() + 1)
    for gradient, wanted in zip(weighted, once, strict=True):
        torch.testing.assert_close(gradient, 3 * wanted, rtol=1e-6, atol=0)


def test_a_saturated_picture_has_the_gradient_of_the_clamped_error() -> None:
    given = case(replace(LOP, n_residual=0), (4, 4))
    with torch.no_grad():
        given.synthesis.output.bias += 100
        given.target.fill_(0.5)
    assert given.fused().item() == pytest.approx(float((given.span * 0.5).square().mean()))
    assert_equal_to_reference(given)


def test_a_gradient_of_the_dense_representation_alone() -> None:
    given = case(LOP, (5, 9))
    given.synthesis.requires_grad_(False)
    (gradient,) = torch.autograd.grad(given.fused(), given.dense)
    (wanted,) = torch.autograd.grad(given.reference(), given.dense)
    torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


def test_no_gradient_is_computed_when_none_is_asked_for() -> None:
    given = case(LOP, (5, 9))
    with torch.no_grad():
        assert not given.fused().requires_grad
    assert not fused_synthesis(given.synthesis, given.dense, 1).requires_grad


def test_a_dense_representation_in_another_memory_layout() -> None:
    given = case(LOP, (6, 9))
    turned = given.dense.detach().transpose(2, 3).contiguous().transpose(2, 3)
    assert not turned.is_contiguous()
    other = replace(given, dense=turned.requires_grad_())
    expected = given.gradients(given.fused)
    assert all(map(torch.equal, other.gradients(other.fused), expected))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_fit_that_diverges_shows_it(value: float) -> None:
    given = case(NAMED_POINTS["hop"], (5, 9))
    with torch.no_grad():
        given.synthesis.stabiliser.weight.fill_(value)
    assert given.reference().isnan()
    assert given.fused().isnan()
