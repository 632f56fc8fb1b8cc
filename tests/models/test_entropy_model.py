"""ARM, inter-feature contexts and the Laplace rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from givre.models.architecture import NAMED_POINTS
from givre.models.arm import gather_contexts, laplace_bits
from givre.models.codec_model import CodecModel
from givre.models.context import context_offsets
from givre.models.ifce import feature_maps, nearest_stack


def random_model(name: str, width: int, height: int, *, levels: int = 5) -> CodecModel:
    """A model of a small pyramid whose every parameter is random, in float64."""
    arch = replace(NAMED_POINTS[name], n_levels=levels, n_hyper=min(2, max(0, levels - 3)))
    model = CodecModel(arch, width, height).double()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(0.2 * torch.randn(p.shape, generator=generator, dtype=torch.float64))
    return model


def random_latents(model: CodecModel, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        (2 * torch.randn(g.height, g.width, generator=generator, dtype=torch.float64)).round()
        for g in model.grids
    ]


def test_laplace_bits_against_scipy() -> None:
    y = torch.arange(-9.0, 10.0, dtype=torch.float64)
    for mean, scale in [(0.0, 1.0), (0.3, 0.2), (-2.7, 3.0), (5.5, 0.01)]:
        law = stats.laplace(mean, scale)
        # the upper tail through the survival function, where a difference of cdfs cancels
        below = law.cdf(y + 0.5) - law.cdf(y - 0.5)
        above = law.sf(y - 0.5) - law.sf(y + 0.5)
        mass = np.where(y > mean, above, below)
        expected = -np.log2(np.maximum(mass, 2.0**-16))
        found = laplace_bits(y, torch.full_like(y, mean), torch.full_like(y, np.log(scale)))
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_laplace_bits_keep_their_precision_in_float32() -> None:
    y = torch.arange(-30.0, 31.0)
    mean, log_scale = torch.full_like(y, 0.1), torch.full_like(y, 0.9)
    exact = laplace_bits(y.double(), mean.double(), log_scale.double())
    torch.testing.assert_close(
        laplace_bits(y, mean, log_scale).double(), exact, rtol=1e-5, atol=1e-5
    )


def test_contexts_read_the_neighbours_and_zero_outside() -> None:
    grid = torch.arange(1.0, 13.0).reshape(3, 4)
    offsets = context_offsets(12)
    context = gather_contexts(grid, None, offsets, 2)
    assert context.shape == (12, 14)
    for y in range(3):
        for x in range(4):
            for n, (dy, dx) in enumerate(offsets):
                inside = y + dy >= 0 and 0 <= x + dx < 4
                expected = float(grid[y + dy, x + dx]) if inside else 0.0
                assert context[4 * y + x, n] == expected
    assert not context[:, 12:].any()


def test_features_serve_two_by_two_latents() -> None:
    features = torch.arange(2 * 2 * 3.0).reshape(2, 2, 3)
    context = gather_contexts(torch.zeros(3, 5), features, context_offsets(1), 2)
    for y in range(3):
        for x in range(5):
            assert context[5 * y + x, 1:].tolist() == features[:, y // 2, x // 2].tolist()


def test_nearest_stack_repeats_coarse_latents() -> None:
    model = random_model("lop", 13, 11)
    latents = random_latents(model)
    stack = nearest_stack(model.grids[1:], latents[1:], 1)
    assert stack.shape == (len(latents) - 1, 6, 7)
    for n, grid in enumerate(model.grids[1:]):
        for y in range(6):
            for x in range(7):
                shift = grid.level - 1
                assert stack[n, y, x] == latents[n + 1][y >> shift, x >> shift]


def test_only_the_finest_grids_have_features() -> None:
    model = random_model("lop", 40, 24)
    maps = feature_maps(model.ifce, model.grids, random_latents(model))
    present = [g.label for g, m in zip(model.grids, maps, strict=True) if m is not None]
    assert present == ["y0", "y1", "y2"]


@pytest.mark.parametrize("name", ["lop", "hop"])
def test_gradients_against_finite_differences(name: str) -> None:
    model = random_model(name, 7, 5, levels=3)
    latents = [y.requires_grad_() for y in random_latents(model)]
    model.rate(latents).backward()  # type: ignore[no-untyped-call]
    generator = torch.Generator().manual_seed(1)

    def derivative(tensor: Tensor, i: int) -> float:
        flat = tensor.data.view(-1)
        start, h = float(flat[i]), 1e-6
        values = []
        for value in (start + h, start - h):
            flat[i] = value
            values.append(float(model.rate(latents).detach()))
        flat[i] = start
        return (values[0] - values[1]) / (2 * h)

    tensors = [*latents, *model.arm.parameters(), *model.ifce.parameters()]
    for tensor in tensors:
        assert tensor.grad is not None
        for i in torch.randint(tensor.numel(), (4,), generator=generator).tolist():
            expected = derivative(tensor, i)
            assert float(tensor.grad.view(-1)[i]) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def predictions(model: CodecModel, latents: list[Tensor]) -> list[Tensor]:
    """(mean, log-scale) of every latent, for each grid (H, W, 2)."""
    found = []
    maps = feature_maps(model.ifce, model.grids, latents)
    for latent, features in zip(latents, maps, strict=True):
        context = gather_contexts(latent, features, model.arm.offsets, model.arm.n_features)
        found.append(torch.stack(model.arm(context), dim=-1).reshape(*latent.shape, 2))
    return found


def _set(latents: list[Tensor], grid: int, y: int, x: int) -> list[Tensor]:
    changed = [latent.clone() for latent in latents]
    changed[grid][y, x] += 3
    return changed


@pytest.mark.parametrize("name", ["lop", "hop", "vhop"])
def test_causality(name: str) -> None:
    """A later latent never changes the mean and scale of an earlier symbol."""
    model = random_model(name, 14, 11)
    latents = random_latents(model)
    before = predictions(model, latents)
    for grid, geometry in enumerate(model.grids):
        y, x = geometry.height // 2, geometry.width // 2
        after = predictions(model, _set(latents, grid, y, x))
        for other in range(len(latents)):
            difference = (after[other] != before[other]).any(-1).reshape(-1)
            if other > grid:  # coarser: coded before
                assert not difference.any()
            elif other == grid:
                last = y * geometry.width + x
                assert not difference[: last + 1].any()
                if last + 1 < len(difference):
                    assert difference[last + 1 :].any()
