"""The curvature of rate and distortion against sums, difference quotients and whole Jacobians."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import exp, log

import numpy as np
import pytest
import torch
from fits import FUSED, REFERENCE, target_of
from model_cases import lively_model
from numpy.typing import NDArray
from torch import Tensor

from givre.coder.fitting.fit_kernels import FitKernels
from givre.coder.fitting.normalisation import Target
from givre.coder.fitting.torch_context import torch_threads
from givre.coder.quantisation import curvature
from givre.coder.quantisation.curvature import (
    distortion_curvature,
    laplace_information,
    rate_curvature,
)
from givre.models.architecture import NAMED_POINTS, Architecture, tensor_specs
from givre.models.arm import gather_contexts
from givre.models.codec_model import CodecModel
from givre.models.ifce import feature_maps

Doubles = NDArray[np.float64]
LOP = NAMED_POINTS["lop"]
NO_RESIDUAL = replace(LOP, n_residual=0)
NO_FEATURES = replace(LOP, n_features=0, n_levels=2, n_hyper=0)
WIDTH, HEIGHT = 16, 12
ALL = 4096
"""No grid of the cases has so many latents."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As while a file is written; the tensors are too small for more."""
    with torch_threads(1):
        yield


# --- the information of one latent --------------------------------------------------------------


def log2_mass(symbols: Doubles, mean: float, log_scale: float) -> Doubles:
    """Logarithm of the Laplace mass within half a unit, from the distribution function."""

    def below(x: Doubles) -> Doubles:
        tail = 0.5 * np.exp(-np.abs(x) / exp(log_scale))
        return np.where(x < 0, tail, 1 - tail)

    mirrored = -np.abs(symbols - mean)  # where the function is small it is precise
    return np.log2(below(mirrored + 0.5) - below(mirrored - 0.5))


def expected_bits(
    symbols: Doubles, true: tuple[float, float], assumed: tuple[float, float]
) -> float:
    """Code length of latents of one distribution with the code for another."""
    return float(-(np.exp2(log2_mass(symbols, *true)) * log2_mass(symbols, *assumed)).sum())


def bent(symbols: Doubles, mean: float, log_scale: float) -> Doubles:
    """Second derivative of the expected code length, (2, 2), by difference quotients."""
    h = 1e-3
    true, units = np.array([mean, log_scale]), np.eye(2) * h

    def at(shift: Doubles) -> float:
        point = true + shift
        return expected_bits(symbols, (mean, log_scale), (point[0], point[1]))

    result = np.empty((2, 2))
    for i in range(2):
        for j in range(2):
            ends = [at(s * units[i] + t * units[j]) * s * t for s in (1, -1) for t in (1, -1)]
            result[i, j] = sum(ends) / (4 * h * h)
    return result


@pytest.mark.parametrize("log_scale", [-2.0, -1.0, -0.4, 0.0])
@pytest.mark.parametrize("mean", [0.0, 0.31, -1.47, 0.6, 7.2])
def test_information_is_the_second_derivative_of_the_expected_bits(
    mean: float, log_scale: float
) -> None:
    """Without the symbols of more than 16 bits, for which the clamped rate has no slope."""
    symbols = np.arange(-12, 13) + np.rint(mean)
    found = laplace_information(torch.tensor([mean]), torch.tensor([log_scale]))
    assert found.shape == (1, 2, 2)
    assert found.dtype == torch.float64
    expected = bent(symbols[log2_mass(symbols, mean, log_scale) > -16], mean, log_scale)
    np.testing.assert_allclose(found[0].numpy(), expected, rtol=6e-3, atol=5e-4)


@pytest.mark.parametrize("log_scale", [0.5, 1.0, 1.5])
def test_information_on_the_mean_of_a_wide_distribution(log_scale: float) -> None:
    """1 / (b^2 ln 2) for what lies beyond the central symbol, up to twelve units away."""
    scale = exp(log_scale)
    found = laplace_information(torch.zeros(1), torch.tensor([log_scale]))[0, 0, 0].item()
    share = exp(-0.5 / scale) - exp(-12.5 / scale)
    assert found == pytest.approx(share / (scale**2 * log(2)), rel=1e-6)
    assert found == pytest.approx(1 / (scale**2 * log(2)), rel=0.3)


def test_information_is_of_each_latent_alone() -> None:
    mean, log_scale = torch.tensor([0.2, -3.3, 0.0]), torch.tensor([-1.0, 0.5, 2.0])
    together = laplace_information(mean, log_scale)
    for i in range(3):
        alone = laplace_information(mean[i : i + 1], log_scale[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-12, atol=0)
    assert torch.linalg.eigvalsh(together).min() > 0


# --- whole matrices -----------------------------------------------------------------------------


def case(arch: Architecture) -> CodecModel:
    return lively_model(arch, WIDTH, HEIGHT)


def some_latents(model: CodecModel) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [
        torch.round(torch.randn(grid.height, grid.width, generator=generator))
        for grid in model.grids
    ]


def no_latents(model: CodecModel) -> list[Tensor]:
    return [torch.zeros(grid.height, grid.width) for grid in model.grids]


def a_target(model: CodecModel) -> Target:
    grid = model.grids[0]
    shape = (grid.height, grid.width, model.arch.n_channels)
    samples = np.random.default_rng(5).integers(0, 256, shape) // np.array([1, 2, 4])
    return target_of(samples.astype(np.uint8))


def some_weights() -> Tensor:
    """Factors of all samples, (3, H, W); every third pixel of a row does not count."""
    generator = torch.Generator().manual_seed(2)
    weights = torch.rand(3, HEIGHT, WIDTH, generator=generator)
    weights[:, :, ::3] = 0
    return weights


def names_of(arch: Architecture, *parts: str) -> list[str]:
    return [spec.name for spec in tensor_specs(arch) if spec.name.startswith(parts)]


def whole_jacobian(
    model: CodecModel, names: Sequence[str], compute: Callable[[CodecModel], Tensor]
) -> Tensor:
    """Jacobian (outputs, P) of what is computed from the model, in float64."""
    parameters = dict(model.double().named_parameters())
    outputs = compute(model).reshape(-1)
    slopes = torch.autograd.grad(
        outputs,
        [parameters[name] for name in names],
        torch.eye(len(outputs), dtype=torch.float64),
        is_grads_batched=True,
    )
    return torch.cat([slope.flatten(1) for slope in slopes], dim=1)


def predictions(model: CodecModel, latents: Sequence[Tensor]) -> Tensor:
    """Mean and log-scale of every latent, (n, 2)."""
    pairs = []
    for grid, features in zip(latents, feature_maps(model.ifce, model.grids, latents), strict=True):
        context = gather_contexts(grid, features, model.arm.offsets, model.arm.n_features)
        pairs.append(torch.stack(model.arm(context), dim=1))
    return torch.cat(pairs)


def assert_same_entries(found: Tensor, expected: Tensor, tolerance: float) -> None:
    """Equal in units in which the expected matrix has ones, or zeros, on its diagonal."""
    assert found.dtype == torch.float64
    root = expected.diagonal().clamp_min(1e-6 * float(expected.diagonal().max())).sqrt()
    units = torch.outer(root, root)
    torch.testing.assert_close(found / units, expected / units, rtol=0, atol=tolerance)


def assert_semi_definite(matrix: Tensor) -> None:
    torch.testing.assert_close(matrix, matrix.t(), rtol=1e-12, atol=1e-9)
    values = torch.linalg.eigvalsh(matrix)
    assert values[0] > -1e-9 * values[-1]
    assert values[-1] > 0


def state(model: CodecModel) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_unchanged(model: CodecModel, before: dict[str, Tensor]) -> None:
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("arch", [LOP, NO_FEATURES], ids=["lop", "no features"])
def test_rate_bends_as_the_predictions_of_all_latents_say(arch: Architecture) -> None:
    model, names = case(arch), names_of(arch, "arm.", "ifce.")
    latents, before = some_latents(model), state(model)
    found = rate_curvature(model, latents, names, ALL, torch.Generator())
    assert_semi_definite(found)
    assert_unchanged(model, before)
    grids = [latent.double() for latent in latents]
    jacobian = whole_jacobian(model, names, lambda m: predictions(m, grids))
    predicted = predictions(model, grids).detach()
    information = laplace_information(predicted[:, 0], predicted[:, 1])
    rows = jacobian.reshape(len(predicted), 2, -1)
    expected = torch.einsum("nip,nij,njq->pq", rows, information, rows)
    assert_same_entries(found, expected, 1e-4)


def test_names_order_the_rows() -> None:
    model, names = case(LOP), names_of(LOP, "arm.", "ifce.")
    latents = some_latents(model)
    sizes = {spec.name: spec.size for spec in tensor_specs(LOP)}
    matrix = rate_curvature(model, latents, names, ALL, torch.Generator())
    swapped = rate_curvature(model, latents, names[::-1], ALL, torch.Generator())
    at = dict(zip(names, torch.arange(len(matrix)).split([sizes[n] for n in names]), strict=True))
    order = torch.cat([at[name] for name in names[::-1]])
    torch.testing.assert_close(swapped, matrix[order][:, order], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("arch", "kernels", "weighted"),
    [
        (LOP, REFERENCE, False),
        (LOP, FUSED, False),
        (NO_RESIDUAL, FUSED, False),
        (LOP, FUSED, True),
        (NO_RESIDUAL, REFERENCE, True),
    ],
    ids=["reference", "fused", "no residual", "weighted", "weighted, no residual"],
)
def test_distortion_bends_as_the_samples_of_all_pixels_say(
    arch: Architecture, kernels: FitKernels, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exact for the synthesis, which has one residual layer at most; filters by difference.

    A separable filter is quadratic in its taps, and some pixels pass a ReLU: the error falls with
    the step.
    """
    model, target = case(arch), a_target(case(arch))
    if weighted:
        target = replace(target, span=target.span * some_weights())
        monkeypatch.setattr(curvature, "_CHUNK", 50)
    names = names_of(arch, "synthesis.") + names_of(arch, "upsampling.")
    latents, before = some_latents(model), state(model)
    found = distortion_curvature(model, latents, target, names, kernels, ALL, torch.Generator())
    monkeypatch.setattr(curvature, "_FILTER_STEP", 1e-3)
    finer = distortion_curvature(model, latents, target, names, kernels, ALL, torch.Generator())
    assert_semi_definite(found)
    assert_unchanged(model, before)
    grids = [latent.double() for latent in latents]
    span = target.span.double()
    jacobian = whole_jacobian(model, names, lambda m: m.normalised(grids) * span)
    expected = 2 / len(jacobian) * jacobian.t() @ jacobian
    assert len(jacobian) == WIDTH * HEIGHT * 3
    n = sum(spec.size for spec in tensor_specs(arch) if spec.name.startswith("synthesis."))
    assert_same_entries(found[:n, :n], expected[:n, :n], 1e-4)
    assert_same_entries(found, expected, 4e-2)
    assert_same_entries(finer, expected, 1e-2)


def test_a_sample_of_pixels_takes_their_own_factors() -> None:
    """Where one pixel alone counts, it is picked or it is not: nothing of it goes to another."""
    model, target = case(LOP), a_target(case(LOP))
    names, latents = names_of(LOP, "synthesis."), some_latents(case(LOP))
    lone = torch.zeros(3, HEIGHT, WIDTH)
    lone[:, 5, 9] = 1

    def curvature_of(limit: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return distortion_curvature(
            model, latents, replace(target, span=lone), names, REFERENCE, limit, generator
        )

    n_pixels, n_picked = WIDTH * HEIGHT, WIDTH * HEIGHT // 2
    whole = curvature_of(ALL, 0)
    assert_semi_definite(whole)
    scaled = whole * (n_pixels / n_picked)
    found = [curvature_of(n_picked, seed) for seed in range(8)]
    picked = [bool(matrix.any()) for matrix in found]
    assert 0 < sum(picked) < 8
    for matrix, with_it in zip(found, picked, strict=True):
        expected = scaled if with_it else torch.zeros_like(scaled)
        torch.testing.assert_close(matrix, expected, rtol=1e-5, atol=1e-9)


def matrices(
    model: CodecModel, latents: Sequence[Tensor]
) -> Callable[[int, int], tuple[Tensor, Tensor]]:
    """A function from a seed and the size of samples to the curvatures of rate and distortion."""
    target = a_target(case(LOP))
    entropy, picture = names_of(LOP, "arm.", "ifce."), names_of(LOP, "synthesis.")

    def both(seed: int, limit: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return (
            rate_curvature(model, latents, entropy, limit, generator),
            distortion_curvature(model, latents, target, picture, REFERENCE, limit, generator),
        )

    return both


def test_matrices_do_not_depend_on_which_of_equal_samples_are_picked() -> None:
    """Without latents all contexts, and all pixels, are alike: then any sample is exact."""
    model = case(LOP)
    both = matrices(model, no_latents(model))
    whole = both(0, ALL)
    for found, expected in zip(both(1, 7), whole, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


def test_a_sample_stands_for_the_whole_and_the_generator_picks_it() -> None:
    both = matrices(case(LOP), some_latents(case(LOP)))
    whole = both(0, ALL)
    first, again, other = both(1, 100), both(1, 100), both(2, 100)
    for one, same, different, expected in zip(first, again, other, whole, strict=True):
        assert torch.equal(one, same)
        assert not torch.equal(one, different)
        assert float(one.trace()) == pytest.approx(float(expected.trace()), rel=0.2)
