"""A fit that starts at a prior: which one, with what networks and latents, and what is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from fits import (
    FUSED,
    REFERENCE,
    context_of,
    encode_fit,
    encode_samples,
    overfit,
    plain,
    start_fit,
    target_of,
)
from numpy.typing import NDArray
from picture_files import load_samples
from places import DEMO_IMAGE
from torch import Tensor

import givre
from givre.bitstream.container import unpack
from givre.bitstream.parameters import QuantisedParameters, read_parameters
from givre.bitstream.priors import NO_PRIOR, PRIOR_HASHES, Prior, load_prior
from givre.coder.decoder import decode_samples
from givre.coder.encoder import write_fit
from givre.coder.fitting.analysis import (
    ANALYSIS_HASHES,
    N_LEVELS,
    analyse,
    image_pyramid,
    load_analysis,
)
from givre.coder.fitting.checkpoint import Fit
from givre.coder.fitting.choices import FitChoices, continued_settings, new_settings
from givre.coder.fitting.fit_kernels import FitKernels
from givre.coder.fitting.parameter_rate import FLOOR, ParameterRate
from givre.coder.fitting.prior_choice import (
    FARTHEST,
    FEW_PIXELS,
    PRIOR_LMBDAS,
    SMALL_PIXELS,
    SMALL_PRIORS,
    learned_at,
    prior_for,
    prior_for_any_size,
)
from givre.coder.fitting.schedule import Recipe, plan_step
from givre.coder.fitting.screen_content import comparable_lmbda
from givre.coder.fitting.settings import FitSettings, architecture_for
from givre.coder.fitting.source import Source
from givre.coder.fitting.starting_point import start_latents, start_networks
from givre.coder.inspection.file_info import file_info
from givre.coder.psnr import constant_error
from givre.errors import CheckpointError, UnsupportedError, UsageError
from givre.models.architecture import NAMED_POINTS, Architecture, group_names, tensor_specs
from givre.models.codec_model import CodecModel
from givre.models.filters.initial import INITIAL_KERNELS
from givre.models.geometry import grids
from givre.models.latents import FittedLatents, ProxySettings, hard_latents

Samples = NDArray[np.uint8]
HOP = NAMED_POINTS["hop"]
FAST = FitSettings(lmbda=1e-3, steps=1, complexity="hop", threads=1)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photo() -> Samples:
    return np.ascontiguousarray(load_samples(DEMO_IMAGE)[100:228, 60:188])


def ramp(width: int, height: int, channels: int = 3) -> Samples:
    y, x = np.mgrid[:height, :width]
    return np.stack([8 * x, 11 * y, 5 * (x + y), x * y], axis=-1)[..., :channels].astype(np.uint8)


# --- which prior --------------------------------------------------------------------------------


def test_the_prior_of_its_own_lambda_is_the_nearest() -> None:
    for number, lmbda in PRIOR_LMBDAS.items():
        found = prior_for(replace(FAST, lmbda=lmbda), HOP, SMALL_PIXELS)
        assert found is load_prior(HOP, number)


def test_nearness_is_a_ratio() -> None:
    """The border between two priors is at the geometric mean of their lambdas."""
    falling = sorted(PRIOR_LMBDAS, key=PRIOR_LMBDAS.__getitem__, reverse=True)
    for higher, lower in pairwise(falling):
        border = math.sqrt(PRIOR_LMBDAS[higher] * PRIOR_LMBDAS[lower])
        for lmbda, number in ((1.01 * border, higher), (0.99 * border, lower)):
            assert prior_for(replace(FAST, lmbda=lmbda), HOP, SMALL_PIXELS).number == number
    for lmbda, number in ((10.0, falling[0]), (1e-9, falling[-1])):
        assert prior_for(replace(FAST, lmbda=lmbda), HOP, SMALL_PIXELS).number == number


@pytest.mark.parametrize(("number", "small"), list(SMALL_PRIORS.items()))
def test_small_images_have_priors_of_their_own(
    number: int, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a complexity point has them, and only up to a size."""
    settings = replace(FAST, lmbda=PRIOR_LMBDAS[number])
    assert learned_at(small) == learned_at(number) == settings.lmbda
    assert prior_for(settings, HOP, FEW_PIXELS) is load_prior(HOP, small)
    assert prior_for(settings, HOP, FEW_PIXELS + 1).number == number
    assert prior_for(settings, NAMED_POINTS["mop"], 1).number == number
    assert prior_for(replace(settings, prior=number), HOP, 1).number == number
    assert prior_for(replace(settings, prior=small), HOP, 1 << 22).number == small
    monkeypatch.delitem(PRIOR_HASHES, ("hop", small))
    assert prior_for(settings, HOP, FEW_PIXELS).number == number


def test_only_priors_that_there_are_count(monkeypatch: pytest.MonkeyPatch) -> None:
    only = 3
    for point, number in list(PRIOR_HASHES):
        if point == "hop" and number != only:
            monkeypatch.delitem(PRIOR_HASHES, (point, number))
    for lmbda in PRIOR_LMBDAS.values():
        assert prior_for(replace(FAST, lmbda=lmbda), HOP, SMALL_PIXELS).number == only
    monkeypatch.delitem(PRIOR_HASHES, ("hop", only))
    assert prior_for(FAST, HOP, SMALL_PIXELS) is NO_PRIOR


def test_screen_content_starts_like_a_photograph_at_a_smaller_lambda() -> None:
    columns = np.arange(64) // 8 * 30
    screen = np.broadcast_to(columns[:, None], (40, 64, 3)).astype(np.uint8)
    for samples, number in ((screen, 3), (ramp(64, 40), 2), (screen[:, ::8], 2)):
        settings, _ = start_fit(samples, replace(FAST, lmbda=4e-3))
        assert prior_for_any_size(settings.prior or 0) == number
    settings, _ = start_fit(screen, replace(FAST, lmbda=4e-3, prior=1))
    assert settings.prior == 1


@pytest.mark.parametrize("width", [1, 2, 5])
def test_what_repeats_is_no_photograph(width: int) -> None:
    constant = np.full((3, width, 1), 9, np.uint8)
    assert comparable_lmbda(Source(constant), 3.0) == (3.0 if width == 1 else 1.0)
    one_channel_changes = np.stack([constant[..., 0], np.arange(3 * width).reshape(3, width)], 2)
    assert comparable_lmbda(Source(one_channel_changes.astype(np.uint8)), 3.0) == 3.0


@pytest.mark.parametrize(("lmbda", "like"), [(4e-3, 4e-3 / 3), (2e-3, 1e-3), (5e-4, 5e-4)])
def test_screen_content_is_not_like_photographs_at_the_least_lambdas(
    lmbda: float, like: float
) -> None:
    assert comparable_lmbda(plain(np.zeros((4, 4, 3), np.uint8)), lmbda) == like


def test_large_images_far_above_every_prior_go_without() -> None:
    for arch, highest in ((HOP, 1), (NAMED_POINTS["mop"], 2)):
        border = FARTHEST * PRIOR_LMBDAS[highest]
        for lmbda, pixels, has in (
            (1.01 * border, SMALL_PIXELS, True),
            (1.01 * border, SMALL_PIXELS + 1, False),
            (0.99 * border, 1 << 22, True),
        ):
            found = prior_for(replace(FAST, lmbda=lmbda), arch, pixels)
            assert found.number == (highest if has else 0)
    assert prior_for(replace(FAST, lmbda=1.0, prior=1), HOP, 1 << 22).number == 1


def haze(width: int, height: int) -> Samples:
    """A sky with a little grain: next to nothing that a few coarse latents do not show."""
    y, x = np.mgrid[:height, :width] / 64
    grain = np.random.default_rng(0).normal(0, 0.7, (height, width))
    sky = [200 + 9 * np.sin(x) - 8 * y, 210 - 9 * y, 220 - 6 * y + x]
    return np.stack([channel + grain for channel in sky], -1).astype(np.uint8)


@pytest.mark.parametrize(
    ("samples", "settings", "number"),
    [
        (haze(192, 128), FAST, 2),
        (haze(192, 128), replace(FAST, prior=3), 3),
        (haze(192, 128), replace(FAST, lmbda=0.02), 1),
        (haze(192, 192), FAST, 3),
        (ramp(192, 128), FAST, 3),
    ],
    ids=["smooth", "asked for", "no coarser one", "large", "rough"],
)
def test_small_smooth_images_start_from_a_coarser_prior(
    samples: Samples, settings: FitSettings, number: int
) -> None:
    """Where its start is clearly better; the choice is fixed in the settings."""
    if settings.prior is None and samples.shape[0] * samples.shape[1] <= FEW_PIXELS:
        number = SMALL_PRIORS.get(number, number)
    chosen, trainer = start_fit(samples, settings)
    assert chosen == replace(settings, prior=number)
    arch = architecture_for(settings, samples.shape[1], samples.shape[0], 3)
    expected = load_prior(arch, number).values(arch)["arm.output.weight"]
    assert np.array_equal(trainer.parameters()["arm.output.weight"].double().numpy(), expected)


def test_a_prior_that_is_asked_for_is_taken_at_any_lambda() -> None:
    for number in PRIOR_LMBDAS:
        assert prior_for(replace(FAST, prior=number), HOP, SMALL_PIXELS).number == number


def test_zero_is_no_prior() -> None:
    assert prior_for(replace(FAST, prior=0), HOP, SMALL_PIXELS) is NO_PRIOR


def test_other_decoders_have_no_prior() -> None:
    custom = replace(HOP, n_spatial=13)
    assert prior_for(FAST, custom, SMALL_PIXELS) is NO_PRIOR
    with pytest.raises(UsageError, match="those of this decoder are none; 0 is no prior"):
        prior_for(replace(FAST, prior=1), custom, SMALL_PIXELS)


def test_an_unknown_prior_is_a_usage_error_of_one_line() -> None:
    with pytest.raises(
        UsageError, match=r"prior is 15, those of this decoder are .*; 0 is no prior"
    ) as error:
        prior_for(replace(FAST, prior=15), HOP, SMALL_PIXELS)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("number", [-1, 16])
def test_numbers_that_no_header_holds_are_refused(number: int) -> None:
    with pytest.raises(UsageError, match=r"it must be a whole number 0 to 15"):
        FitSettings(prior=number)


# --- networks -----------------------------------------------------------------------------------


def started(
    prior: Prior, channels: int = 3, ups_init: str | None = None, seed: int = 0
) -> dict[str, NDArray[np.float64]]:
    """The networks for 40x32 pixels after `start_networks`."""
    arch = architecture_for(FAST, 40, 32, channels)
    model = CodecModel(arch, 40, 32)
    start_networks(model, target_of(ramp(40, 32, channels)), seed, prior, ups_init)
    return {name: p.detach().double().numpy() for name, p in model.named_parameters()}


def hop_with(channels: int) -> Architecture:
    return architecture_for(FAST, 40, 32, channels)


@pytest.mark.parametrize("number", PRIOR_LMBDAS)
def test_networks_start_at_the_prior_exactly(number: int) -> None:
    prior = load_prior(hop_with(3), number)
    expected = prior.values(hop_with(3))
    found = started(prior)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert np.array_equal(value, expected[name]), name


@pytest.mark.parametrize("ups_init", INITIAL_KERNELS)
def test_an_interpolation_that_is_asked_for_replaces_the_priors_filters(ups_init: str) -> None:
    prior = load_prior(hop_with(3), 3)
    expected = prior.values(hop_with(3))
    found, without = started(prior, ups_init=ups_init), started(NO_PRIOR, ups_init=ups_init)
    for name, value in found.items():
        if name.startswith("upsampling."):
            assert np.array_equal(value, without[name]), name
            assert not np.array_equal(value, expected[name]), name
        else:
            assert np.array_equal(value, expected[name]), name


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_other_channels_have_a_prior_too(channels: int) -> None:
    prior = load_prior(hop_with(channels), 3)
    expected = prior.values(hop_with(channels))
    found = started(prior, channels)
    for name, value in found.items():
        if name == "synthesis.output.bias" and channels % 2 == 0:
            assert np.array_equal(value[:-1], expected[name][:-1])
            assert value[-1] > 0  # the mean of alpha
        else:
            assert np.array_equal(value, expected[name]), name


@pytest.mark.parametrize(
    ("width", "channels", "prior", "point", "held"),
    [
        (192, 3, None, "hop", True),
        (192, 3, 0, "hop", False),
        (192, 1, None, "hop", True),
        (241, 3, None, "hop", False),
        (192, 3, None, "mop", False),
    ],
)
@pytest.mark.parametrize("kernels", ["reference", "fused"])
def test_the_hidden_layer_of_a_small_image_stays_at_the_prior(
    width: int, channels: int, prior: int | None, point: str, held: bool, kernels: str
) -> None:
    """Up to 32,768 pixels, if the prior has such a layer."""
    samples = ramp(width, 136, channels)
    settings = replace(FAST, prior=prior, kernels=kernels, complexity=point)
    _, trainer = start_fit(samples, settings)
    before = trainer.parameters()
    for step in range(3):
        trainer.step(step, plan_step(Recipe(), 50, 100), None)
    moved = {name for name, p in trainer.parameters().items() if not torch.equal(p, before[name])}
    assert ("synthesis.hidden.weight" not in moved) == held
    assert moved >= {"synthesis.hidden.bias", "synthesis.output.weight", "arm.output.weight"}


def test_without_a_prior_the_seed_decides() -> None:
    first, second, same = started(NO_PRIOR), started(NO_PRIOR, seed=1), started(NO_PRIOR)
    assert all(np.array_equal(first[name], same[name]) for name in first)
    name = "arm.output.weight"
    assert not np.array_equal(first[name], second[name])


# --- latents ------------------------------------------------------------------------------------


def halved(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centres of pairs of pixels, the last of an odd number paired with itself."""
    n = len(positions)
    return np.array([(positions[i] + positions[min(i + 1, n - 1)]) / 2 for i in range(0, n, 2)])


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (37, 50), (5, 64)])
def test_a_pyramid_of_a_plane_is_the_plane_at_the_pixels_centres(height: int, width: int) -> None:
    y, x = np.arange(height) * 1.0, np.arange(width) * 1.0
    slopes = ((2.0, -3.0, 5.0), (-0.5, 0.25, 1.0))
    image = np.stack([a + b * y[:, None] + c * x for a, b, c in slopes])
    for level in image_pyramid(torch.from_numpy(image)[None], 7):
        expected = np.stack([a + b * y[:, None] + c * x for a, b, c in slopes])
        torch.testing.assert_close(level[0], torch.from_numpy(expected), rtol=0, atol=1e-12)
        y, x = halved(y), halved(x)


def test_analysis_is_a_dot_product_at_every_pixel() -> None:
    rng = np.random.default_rng(4)
    image = rng.random((1, 3, 19, 13)).astype(np.float32)
    filters = rng.normal(size=(N_LEVELS, 76)).astype(np.float32)
    all_grids = grids(hop_with(3), 13, 19)
    found = analyse(torch.from_numpy(filters), torch.from_numpy(image), all_grids)
    pyramid = [level[0].numpy() for level in image_pyramid(torch.from_numpy(image), N_LEVELS)]
    assert any(grid.hyper for grid in all_grids)
    for grid, values in zip(all_grids, found, strict=True):
        assert values.shape == (grid.height, grid.width)
        if grid.hyper:
            assert not values.any()
            continue
        plane, row = pyramid[grid.level].astype(np.float64), filters[grid.level].astype(np.float64)
        for y in range(grid.height):
            for x in range(grid.width):
                total = row[75]
                for channel in range(3):
                    for dy in range(5):
                        for dx in range(5):
                            at_y = min(max(y + dy - 2, 0), grid.height - 1)
                            at_x = min(max(x + dx - 2, 0), grid.width - 1)
                            tap = row[25 * channel + 5 * dy + dx]
                            total += tap * plane[channel, at_y, at_x]
                assert float(values[y, x]) == pytest.approx(total, abs=1e-4)


def test_coarser_levels_than_the_filters_start_at_zero() -> None:
    arch = replace(HOP, n_levels=9, n_hyper=5)
    all_grids = grids(arch, 24, 16)
    found = analyse(torch.ones(N_LEVELS, 76), torch.ones(1, 3, 16, 24), all_grids)
    for grid, values in zip(all_grids, found, strict=True):
        expected = 0 if grid.hyper or grid.level >= N_LEVELS else 76
        assert values.shape == (grid.height, grid.width)
        assert (values == expected).all()


def test_latents_start_at_zero_where_no_prior_fixes_their_meaning() -> None:
    arch = hop_with(3)
    found = start_latents(CodecModel(arch, 40, 32), target_of(ramp(40, 32, 3)), NO_PRIOR)
    shapes = [(grid.height, grid.width) for grid in grids(arch, 40, 32)]
    assert [tuple(values.shape) for values in found] == shapes
    assert not any(values.any() for values in found)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_latents_of_grey_and_of_alpha_start_as_those_of_their_colours(channels: int) -> None:
    colours = ramp(40, 32, 3)
    if channels < 3:
        colours[:] = colours[:, :, :1]
    samples = colours[:, :, :1] if channels < 3 else colours
    if channels % 2 == 0:
        soft = np.linspace(1, 254, samples[:, :, 0].size).reshape(*samples.shape[:2], 1)
        samples = np.concatenate([samples, soft.astype(np.uint8)], axis=2)
    expected, found = (
        start_latents(CodecModel(arch, 40, 32), target_of(image), load_prior(arch, 3))
        for arch, image in ((hop_with(3), colours), (hop_with(channels), samples))
    )
    for first, second in zip(expected, found, strict=True):
        assert torch.allclose(first, second, atol=1e-4)


@pytest.mark.parametrize(("point", "number"), list(PRIOR_HASHES))
def test_every_prior_has_its_analysis(point: str, number: int) -> None:
    filters = load_analysis(point, number)
    assert filters.shape == (N_LEVELS, 76)
    assert filters.isfinite().all()
    assert filters.any(dim=1).all()


def test_a_damaged_analysis_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANALYSIS_HASHES, ("lop", 1), "0" * 64)
    load_analysis.cache_clear()
    with pytest.raises(UnsupportedError, match=r"lop-1\.npy are missing or damaged: install"):
        load_analysis("lop", 1)


def both_kinds(arch: Architecture, width: int, height: int) -> Sequence[FittedLatents]:
    all_grids = grids(arch, width, height)
    return [kernels.latents(all_grids, CPU) for kernels in (REFERENCE, FUSED)]


def random_latents(arch: Architecture, width: int, height: int, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        3 * torch.randn(g.height, g.width, generator=generator) for g in grids(arch, width, height)
    ]


SOFT = ProxySettings(gain=16.0, temperature=0.35, noise=0.22, seed=3, step=0)


def test_both_kinds_of_latents_start_at_the_given_values() -> None:
    values = random_latents(HOP, 40, 32, seed=0)
    reference, fused = both_kinds(HOP, 40, 32)
    for latents in (reference, fused):
        latents.start(values, SOFT.gain)
    for wanted, a, b in zip(values, reference.values(), fused.values(), strict=True):
        assert torch.equal(a, wanted / SOFT.gain)
        assert torch.equal(a, b)
    for latents in (reference, fused):
        for wanted, rounded in zip(values, latents.rounded(SOFT.gain), strict=True):
            assert torch.equal(rounded, wanted.round())
    proxies = zip(values, reference.proxy(SOFT), fused.proxy(SOFT), strict=True)
    for wanted, a, b in proxies:
        torch.testing.assert_close(a, b, rtol=0, atol=1e-4)
        assert float((a - wanted).detach().abs().max()) < 2


@pytest.mark.parametrize("kind", [0, 1])
def test_a_start_replaces_a_proxy_that_was_made_ahead(kind: int) -> None:
    arch, following = HOP, replace(SOFT, step=1)
    values = random_latents(arch, 40, 32, seed=1)
    used, fresh = both_kinds(arch, 40, 32)[kind], both_kinds(arch, 40, 32)[kind]
    used.start(random_latents(arch, 40, 32, seed=2), SOFT.gain)
    torch.autograd.backward([y.sum() for y in used.proxy(SOFT)])
    used.update(0.01, following)
    for latents in (used, fresh):
        latents.start(values, SOFT.gain)
    for a, b in zip(used.proxy(following), fresh.proxy(following), strict=True):
        assert torch.equal(a, b)


# --- rate of the parameters ---------------------------------------------------------------------


def standing(model: CodecModel) -> dict[str, np.ndarray]:
    """A model's parameters as they are now, copied as the values of a prior."""
    return {name: p.detach().double().numpy().copy() for name, p in model.named_parameters()}


def moved_model(seed: int = 0, kernels: FitKernels = REFERENCE) -> tuple[CodecModel, ParameterRate]:
    """A model whose parameters are 0.5 to 2 away from where its rate began."""
    arch = NAMED_POINTS["lop"]
    model = CodecModel(arch, 16, 16)
    generator = torch.Generator().manual_seed(seed)
    model.initialise(generator, torch.zeros(3))
    rate = kernels.parameter_rate(arch, model, standing(model))
    with torch.no_grad():
        for p in model.parameters():
            sign = torch.randint(0, 2, p.shape, generator=generator) * 2 - 1
            p.add_(sign * (0.5 + 1.5 * torch.rand(p.shape, generator=generator)))
    return model, rate


def test_bits_are_the_logarithms_of_the_mean_differences() -> None:
    arch = NAMED_POINTS["lop"]
    model = CodecModel(arch, 16, 16)
    rate = ParameterRate(arch, model, standing(model))
    sizes = dict.fromkeys(group_names(arch), 0)
    groups = {spec.name: spec.group for spec in tensor_specs(arch)}
    with torch.no_grad():
        for name, p in model.named_parameters():
            sizes[groups[name]] += p.numel()
            p.add_(2.0 ** -list(sizes).index(groups[name]))
    expected = sum(n * math.log2(2.0**-index + FLOOR) for index, n in enumerate(sizes.values()))
    assert rate.bits() == pytest.approx(expected, rel=1e-5)


def test_the_gradient_is_the_slope_of_the_bits() -> None:
    """Differences are large against FLOOR: there the smoothed sign is 1 up to 1 %."""
    model, rate = moved_model()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    rate.add_gradient(1.0)
    step = 0.02
    for name, p in model.named_parameters():
        gradient = p.grad
        assert gradient is not None
        ends = []
        for direction in (1, -1):
            with torch.no_grad():
                p.copy_(before[name] + direction * step * gradient.sign())
            ends.append(rate.bits())
            with torch.no_grad():
                p.copy_(before[name])
        slope = (ends[0] - ends[1]) / (2 * step)
        assert float(gradient.abs().sum()) == pytest.approx(slope, rel=0.01)


def test_the_compiled_slope_has_the_same_bits() -> None:
    gradients = []
    for kernels in (REFERENCE, FUSED):
        model, rate = moved_model(kernels=kernels)
        with torch.no_grad():
            model.arm.hidden[0].weight.copy_(moved_model(1)[0].arm.hidden[0].weight)
        rate.add_gradient(0.37)
        gradients.append(
            torch.cat([p.grad.view(-1) for p in model.parameters() if p.grad is not None])
        )
    assert gradients[0].any()
    assert torch.equal(*gradients)


def test_the_gradient_is_weighted_and_added() -> None:
    model, rate = moved_model()
    rate.add_gradient(1.0)
    once = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    rate.add_gradient(-3.0)
    for p, first in zip(model.parameters(), once, strict=True):
        torch.testing.assert_close(p.grad, -2 * first)


@pytest.mark.slow
def test_the_files_parameters_take_about_what_was_said(photo: Samples) -> None:
    guesses, found = [], []
    for lmbda in (0.01, 0.001):
        settings = FitSettings(lmbda=lmbda, steps=250, complexity="lop", threads=1)
        fit = overfit(photo, settings)
        model = CodecModel(fit.architecture, fit.width, fit.height)
        model.load_state_dict(fit.parameters)
        rate = ParameterRate(fit.architecture, model, fit.prior.values(fit.architecture))
        guesses.append(rate.coded_bits())
        found.append(8 * encode_fit(fit, photo).report.parameter_bytes)
    assert found[1] > 1.3 * found[0]
    assert guesses == pytest.approx(found, rel=0.25)


def test_at_the_prior_there_is_no_gradient() -> None:
    arch = NAMED_POINTS["lop"]
    model = CodecModel(arch, 16, 16)
    ParameterRate(arch, model, standing(model)).add_gradient(1.0)
    for p in model.parameters():
        assert p.grad is not None
        assert not p.grad.any()


# --- fits and files -----------------------------------------------------------------------------


def loss(fit: Fit) -> float:
    return 10 ** (-fit.psnr_db / 10) + fit.settings.lmbda * fit.bpp


@pytest.mark.parametrize("steps", [1, 2])
def test_a_fit_begins_better_than_a_constant_and_than_from_nothing(
    photo: Samples, steps: int
) -> None:
    settings = replace(FAST, steps=steps)
    found, without = overfit(photo, settings), overfit(photo, replace(settings, prior=0))
    constant = constant_error(photo)
    assert loss(found) < 0.5 * constant
    assert loss(found) < 0.5 * loss(without)


def fit_at_prior(samples: Samples, number: int) -> Fit:
    """What no step at all would leave: networks at the prior, latents from the analysis."""
    height, width, channels = samples.shape
    settings = replace(FAST, prior=number)
    arch = architecture_for(settings, width, height, channels)
    prior, target = load_prior(arch, number), target_of(samples)
    latents = hard_latents(start_latents(CodecModel(arch, width, height), target, prior))
    return Fit(
        settings=settings,
        width=width,
        height=height,
        channels=channels,
        digest=plain(samples).digest,
        parameters={name: torch.from_numpy(v).float() for name, v in prior.values(arch).items()},
        latents=[latent.to(torch.int8) for latent in latents],
        bpp=1.0,
        psnr_db=20.0,
        steps=1,
        seconds=0.0,
        source=plain(samples),
    )


def test_a_file_at_its_prior_has_no_parameters(photo: Samples) -> None:
    samples = np.ascontiguousarray(photo[:45, :60])
    fit = fit_at_prior(samples, 3)
    specs = tensor_specs(fit.architecture)
    integers = {spec.name: np.zeros(spec.shape, np.int32) for spec in specs}
    at_prior = QuantisedParameters(integers, {spec.group: 0 for spec in specs}, fit.prior)
    data = write_fit(fit, context_of(fit, samples), at_prior).data
    container = unpack(data)
    assert (container.parameters(0), container.header.prior) == (b"", 3)
    arch, target = fit.architecture, target_of(samples)
    model = CodecModel(arch, fit.width, fit.height)
    model.load_state_dict(fit.parameters)
    with torch.no_grad():
        dense = model.dense([latent.float() for latent in fit.latents])
        out = model.synthesis(dense)[0].clamp(0, 1).double().numpy()
    low, high = (np.array(x, float)[:, None, None] for x in (target.low, target.high))
    expected = np.rint(low + out * (high - low)).transpose(1, 2, 0)
    error = np.abs(decode_samples(data, threads=1) - expected)
    assert error.max() <= 1  # the float32 picture may lie on the other side of a half
    assert (error == 0).mean() > 0.99
    assert expected.std() > 10


@pytest.mark.parametrize(("wanted", "written"), [(None, 2), (0, 0), (4, 4)])
def test_the_header_names_the_prior(wanted: int | None, written: int) -> None:
    lmbda = PRIOR_LMBDAS[2]
    samples = ramp(24, 16)
    data = givre.encode(samples, lmbda=lmbda, steps=1, complexity="lop", threads=1, prior=wanted)
    header = unpack(data).header
    assert header.prior == written
    assert file_info(data)["prior"] == written
    assert givre.info(data)["prior"] == written
    arch = header.architecture
    parameters = read_parameters(arch, unpack(data).parameters(0), load_prior(arch, written))
    assert parameters.prior.number == written
    assert decode_samples(data, threads=1).shape == samples.shape


def test_the_parameters_rate_holds_the_networks_at_the_prior(photo: Samples) -> None:
    """The heavier it weighs, the nearer they stay; Adam's steps are of one size otherwise."""
    samples, settings = np.ascontiguousarray(photo[:64, :64]), replace(FAST, steps=60)
    distances = []
    for weight in (0.0, 1.0, 1e4):
        fit = overfit(samples, settings, recipe=Recipe(parameter_weight=weight))
        prior = fit.prior.values(fit.architecture)
        gaps = [np.abs(p.numpy() - prior[name]).sum() for name, p in fit.parameters.items()]
        distances.append(float(sum(gaps)))
    assert distances[0] > 1.5 * distances[1] > 3 * distances[2] > 0


def test_same_seed_same_bytes_with_a_prior() -> None:
    samples = ramp(31, 22)
    settings = replace(FAST, steps=6, complexity="lop")
    first = encode_samples(samples, settings).data
    assert encode_samples(samples, settings).data == first
    assert encode_samples(samples, replace(settings, prior=3)).data == first


@pytest.mark.parametrize(("before", "after"), [(3, 4), (3, 0), (0, 3), (None, 0)])
def test_a_fit_is_not_carried_on_with_another_prior(before: int | None, after: int) -> None:
    earlier = replace(FAST, prior=before)
    with pytest.raises(UsageError, match=f"prior {after} contradicts the fit"):
        continued_settings(FitChoices(prior=after, steps=9), earlier, done=1)
    assert continued_settings(FitChoices(steps=9), earlier, done=1).prior == before
    fit = overfit(ramp(12, 10), earlier)
    with pytest.raises(
        CheckpointError, match=f"made with prior {fit.settings.prior}; use the same"
    ):
        overfit(ramp(12, 10), replace(earlier, prior=after, steps=2), resume=fit)


@pytest.mark.slow
def test_a_fit_from_a_prior_goes_on_where_it_was(tmp_path: Path) -> None:
    """The rate of its parameters still counts from the prior, not from where the fit stopped."""
    samples, settings = ramp(31, 22), replace(FAST, steps=8)
    whole = overfit(samples, settings)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "x.fit"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("givre.coder.fitting.progress._INTERVAL_SECONDS", -1.0)
        with pytest.raises(KeyboardInterrupt):
            overfit(samples, settings, on_progress=stop, checkpoint=path)
    stopped = Fit.load(path)
    assert stopped.steps == 1
    resumed = overfit(samples, settings, resume=stopped)
    assert resumed.prior.number == 5
    for name, value in resumed.parameters.items():
        assert torch.equal(value, whole.parameters[name]), name
    assert encode_fit(resumed, samples).data == encode_fit(whole, samples).data


def test_the_prior_is_a_choice() -> None:
    assert new_settings(FitChoices()).prior is None
    assert new_settings(FitChoices(prior=2)).prior == 2
    assert new_settings(FitChoices(prior=0)).prior == 0
