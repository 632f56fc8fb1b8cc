from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import upsampling_reference as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from givre.errors import UsageError
from givre.models.architecture import NAMED_POINTS
from givre.models.fused.upsampling.dense import fused_dense, fused_upsample
from givre.models.fused.upsampling.passes import SMALL_STAGE
from givre.models.fused.upsampling.plane_filters import BLOCK_ROWS
from givre.models.geometry import level_size
from givre.models.upsampling import TRAINING_FORM, Upsampling, upsample

SIZES = [(1, 1), (1, 7), (5, 3), (17, 33), (65, 64)]
KERNELS = [(4, 1), (6, 3), (8, 7), (10, 7), (16, 15)]
ROUNDING = 1e-6
"""Largest error, as a part of the sum of the terms' magnitudes."""


@dataclass(frozen=True)
class Case:
    """Inputs of the upsampler, and the gradient of some loss with respect to its output."""

    latents: list[Tensor]
    transposed: list[Tensor]
    preconcat: list[Tensor]
    grad_dense: Tensor

    @property
    def inputs(self) -> list[Tensor]:
        return [*self.latents, *self.transposed, *self.preconcat]

    def map(self, change: Callable[[Tensor], Tensor]) -> Case:
        def changed(tensors: Sequence[Tensor]) -> list[Tensor]:
            return [change(x.detach()).requires_grad_(x.requires_grad) for x in tensors]

        return Case(
            changed(self.latents),
            changed(self.transposed),
            changed(self.preconcat),
            change(self.grad_dense),
        )


def case(
    size: tuple[int, int],
    kernels: tuple[int, int] = (8, 7),
    channels: Sequence[int] = (1, 1, 1, 1),
    n_filters: tuple[int, int] | None = None,
    seed: int = 0,
) -> Case:
    """Random latents and filters; the filters are near unit gain, so that errors compare."""
    generator = torch.Generator().manual_seed(seed)
    height, width = size

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    n_transposed, n_preconcat = n_filters or (len(channels) - 1,) * 2
    n_even, n_odd = kernels[0] // 2, (kernels[1] + 1) // 2
    return Case(
        [
            normal(1, c, *level_size(width, height, i)).requires_grad_()
            for i, c in enumerate(channels)
        ],
        [(normal(n_even) / n_even**0.5).requires_grad_() for _ in range(n_transposed)],
        [(normal(n_odd) / n_odd**0.5).requires_grad_() for _ in range(n_preconcat)],
        normal(1, sum(channels), height, width),
    )


def fused(c: Case, threads: int = 1) -> Tensor:
    return fused_upsample(c.latents, c.transposed, c.preconcat, threads)


def in_torch(c: Case) -> Tensor:
    return upsample(c.latents, c.transposed, c.preconcat, TRAINING_FORM)


def gradients(dense: Tensor, c: Case) -> list[Tensor]:
    found = torch.autograd.grad(dense, c.inputs, c.grad_dense, materialize_grads=True)
    return list(found)


def assert_rounded(found: Tensor, expected: Tensor, magnitude: Tensor, name: str) -> None:
    """Every single error is in proportion to the terms of its sum, however far they cancel."""
    assert found.dtype == torch.float32
    assert found.shape == expected.shape
    assert ((found - expected).abs() <= ROUNDING * magnitude).all(), name


def assert_equals_torch(c: Case) -> None:
    # Values and gradients are sums of products of the inputs, so that the inputs' magnitudes give
    # the sums of the terms' magnitudes.
    exact, magnitude = c.map(Tensor.double), c.map(lambda x: x.double().abs())
    dense, expected, bound = fused(c), in_torch(exact), in_torch(magnitude)
    assert_rounded(dense, expected, bound, "dense")
    found = gradients(dense, c), gradients(expected, exact), gradients(bound, magnitude)
    for i, triple in enumerate(zip(*found, strict=True)):
        assert_rounded(*triple, f"gradient of input {i}")


# Against the plain torch form


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernels", KERNELS)
def test_values_and_gradients_equal_the_training_form(
    kernels: tuple[int, int], size: tuple[int, int]
) -> None:
    assert_equals_torch(case(size, kernels))


@pytest.mark.parametrize("height", [BLOCK_ROWS + d for d in (-1, 0, 1)])
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_blocks_of_rows_meet_without_a_seam(height: int, factor: int) -> None:
    assert_equals_torch(case((height * factor, 9), (16, 15), (1, 1)))


@pytest.mark.parametrize("name", NAMED_POINTS)
def test_module_of_every_named_architecture(name: str) -> None:
    arch = NAMED_POINTS[name]
    stages = arch.n_levels - 1
    module = Upsampling(arch.ups_k_size, arch.ups_preconcat_k_size, stages, stages)
    c = case((45, 70), channels=[1] * arch.n_levels)
    assert_equals_torch(
        Case(
            c.latents,
            [layer.get_parameter("weight") for layer in module.transposed],
            [layer.get_parameter("weight") for layer in module.preconcat],
            c.grad_dense,
        )
    )


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    channels=st.lists(st.sampled_from([0, 1, 3]), min_size=1, max_size=5),
    kernels=st.tuples(st.sampled_from([4, 6, 8, 10]), st.sampled_from([1, 3, 5, 7, 9])),
    n_filters=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_pyramid_equals_the_training_form(
    *,
    size: tuple[int, int],
    channels: list[int],
    kernels: tuple[int, int],
    n_filters: tuple[int, int],
    seed: int,
) -> None:
    assert_equals_torch(case(size, kernels, channels, n_filters, seed))


# Against the definition


@pytest.mark.parametrize(("k", "preconcat_k"), KERNELS[:4])
@pytest.mark.parametrize("size", [(1, 4), (6, 5), (9, 14)])
def test_values_equal_the_defining_sums(k: int, preconcat_k: int, size: tuple[int, int]) -> None:
    c = case(size, (k, preconcat_k), (1, 2, 1))
    expected = reference.upsample(
        *(
            [x.detach().double().numpy() for x in tensors]
            for tensors in (c.latents, c.transposed, c.preconcat)
        ),
    )
    bound = ROUNDING * np.abs(expected).max()
    np.testing.assert_allclose(fused(c).detach(), expected, rtol=0, atol=bound)


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (64, 65), (131, 70)])
@pytest.mark.parametrize("kernels", KERNELS)
def test_the_latents_gradient_is_the_adjoint(
    kernels: tuple[int, int], size: tuple[int, int]
) -> None:
    """The dense representation D x is linear in the latents: <D x, g> = <x, D* g>."""
    c = case(size, kernels)
    dense = fused(c)
    adjoint = gradients(dense, c)[: len(c.latents)]
    forward_terms = dense.double() * c.grad_dense
    adjoint_terms = [x.double() * g for x, g in zip(c.latents, adjoint, strict=True)]
    difference = forward_terms.sum() - torch.stack([t.sum() for t in adjoint_terms]).sum()
    # Rounding is in proportion to the terms, not to their sum, in which they cancel.
    assert abs(difference.item()) < 1e-6 * forward_terms.abs().sum().item()


def test_gradients_of_a_scaled_output_are_scaled() -> None:
    c = case((33, 20))
    once = gradients(fused(c), c)
    fourfold = torch.autograd.grad(fused(c), c.inputs, 4 * c.grad_dense)
    assert all(torch.equal(4 * a, b) for a, b in zip(once, fourfold, strict=True))


# Threads


@pytest.mark.parametrize("channels", [[1] * 7, [2, 0, 3]])
def test_threads_do_not_change_a_bit(channels: list[int]) -> None:
    c = case((151, 130), channels=channels)
    assert c.grad_dense.numel() > SMALL_STAGE
    dense = fused(c)
    expected = gradients(dense, c)
    for threads in (1, 2, 3):
        found = fused(c, threads)
        assert torch.equal(found, dense)
        assert all(map(torch.equal, gradients(found, c), expected))


# As a part of a graph


def test_shared_filters_collect_the_gradient_of_every_stage() -> None:
    shared = case((30, 21), channels=(1, 1, 1), n_filters=(1, 1))
    own = Case(
        shared.latents,
        [shared.transposed[0].detach().clone().requires_grad_() for _ in range(2)],
        [shared.preconcat[0].detach().clone().requires_grad_() for _ in range(2)],
        shared.grad_dense,
    )
    *_, transposed, preconcat = gradients(fused(shared), shared)
    *_, first, second, preconcat_first, preconcat_second = gradients(fused(own), own)
    torch.testing.assert_close(transposed, first + second, rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(preconcat, preconcat_first + preconcat_second, rtol=1e-6, atol=1e-5)


def test_graphs_of_two_calls_are_independent() -> None:
    a, b = case((20, 33), seed=1), case((20, 33), seed=2)
    expected = gradients(fused(a), a)
    dense_a = fused(a)
    dense_b = fused(b)
    gradients(dense_b, b)
    assert all(map(torch.equal, gradients(dense_a, a), expected))


def test_only_what_requires_a_gradient_gets_one() -> None:
    c = case((12, 9))
    for tensor in c.inputs[1:]:
        tensor.requires_grad_(False)
    found = torch.autograd.grad(fused(c), c.latents[0], c.grad_dense)
    expected = torch.autograd.grad(in_torch(c), c.latents[0], c.grad_dense)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    c.latents[0].requires_grad_(False)
    assert not fused(c).requires_grad


def test_without_gradients_the_values_are_the_same() -> None:
    c = case((67, 40))
    with torch.no_grad():
        dense = fused(c)
    assert not dense.requires_grad
    assert torch.equal(dense, fused(c))


def test_inputs_are_left_alone_and_may_be_strided() -> None:
    c = case((24, 24))
    strided = [x.detach().mT.contiguous().mT.requires_grad_() for x in c.latents]
    halves = [torch.stack((h.detach(), h.detach()), 1)[:, 0] for h in c.transposed]
    grad_dense = c.grad_dense.mT.contiguous().mT
    assert not any(x.is_contiguous() for x in (*strided, *halves[:1], grad_dense) if x.numel() > 9)
    copies = [x.detach().clone() for x in c.inputs]
    dense = fused_upsample(strided, halves, c.preconcat, 1)
    assert torch.equal(dense, fused(c))
    found = torch.autograd.grad(dense, strided, grad_dense)
    expected = gradients(fused(c), c)[: len(strided)]
    assert all(map(torch.equal, found, expected))
    assert all(map(torch.equal, c.inputs, copies))


def test_a_latent_changed_before_the_backward_pass_is_an_error() -> None:
    c = case((12, 9))
    dense = fused(c)
    with torch.no_grad():
        c.latents[0].add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        gradients(dense, c)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_diverged_latent_shows(value: float) -> None:
    c = case((12, 9))
    with torch.no_grad():
        c.latents[-1][0, 0, 0, 0] = value
    assert not fused(c)[0, -1].isfinite().all()


def test_a_single_latent_is_already_dense() -> None:
    (y,) = case((5, 4), channels=(3,)).latents
    assert torch.equal(fused_upsample([y], [], [], 1), y)


# Errors


def test_errors_of_the_plain_form_are_kept() -> None:
    c = case((12, 9))
    with pytest.raises(UsageError, match="there are no latent grids"):
        fused_upsample([], c.transposed, c.preconcat, 1)
    with pytest.raises(UsageError, match="in the pyramid of a 12 x 9 image"):
        fused_upsample([c.latents[0], c.latents[2]], c.transposed, c.preconcat, 1)
    with pytest.raises(UsageError, match="need at least one filter of each kind"):
        fused_upsample(c.latents, c.transposed, [], 1)


def test_tensors_that_no_kernel_is_for() -> None:
    c = case((12, 9))
    with pytest.raises(UsageError, match="takes float32 on the CPU"):
        fused(c.map(Tensor.double))
    with pytest.raises(UsageError, match=r"float64 on cpu, .* takes float32"):
        fused_upsample(c.latents, c.transposed, c.map(Tensor.double).preconcat, 1)
    twice = [y.expand(2, -1, -1, -1) for y in c.latents]
    with pytest.raises(UsageError, match="the batch is 2, the fused upsampler takes one image"):
        fused_upsample(twice, c.transposed, c.preconcat, 1)


@pytest.mark.parametrize("largest", [0, 100, 1 << 30])
def test_stages_may_all_be_coarse_or_none(largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("givre.models.fused.upsampling.passes.SMALL_STAGE", largest)
    assert_equals_torch(case((37, 70), channels=(2, 1, 0, 3, 1), n_filters=(2, 3)))


def test_a_models_grids_give_what_its_pyramid_gives() -> None:
    c = case((37, 70))
    grids = [latent.detach()[0, 0].requires_grad_() for latent in c.latents]
    dense = fused_dense(grids, c.transposed, c.preconcat, 1)
    assert torch.equal(dense, fused(c))
    found = torch.autograd.grad(dense, grids, c.grad_dense)
    for grad, expected in zip(found, gradients(fused(c), c), strict=False):
        assert torch.equal(grad, expected[0, 0])
    assert torch.equal(fused_dense(grids[-1:], [], [], 1), c.latents[-1])
