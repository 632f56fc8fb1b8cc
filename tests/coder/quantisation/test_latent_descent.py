"""Single moves of rounded latents against the whole image computed anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fits import FUSED, REFERENCE, context_of, encode_fit, overfit, target_of
from hypothesis import given, settings
from hypothesis import strategies as st
from model_cases import lively_model
from numpy.typing import NDArray
from torch import Tensor

from givre.coder.decoder import decode_samples
from givre.coder.encoder import write_fit
from givre.coder.fitting.normalisation import Target
from givre.coder.fitting.settings import FitSettings
from givre.coder.quantisation.latent_descent import Descent, descend
from givre.coder.quantisation.rounds import (
    _file_loss,
    finish_fit,
    move_latents,
    quantise_fit,
)
from givre.coder.quantisation.spending import spending_for
from givre.models.architecture import NAMED_POINTS, Architecture
from givre.models.codec_model import CodecModel
from givre.models.fused.moves.moved_latents import MovedLatents
from givre.models.fused.moves.responses import axis_responses
from givre.models.geometry import LATENT_MAX, grids
from givre.models.synthesis import distortion

COARSEST = 3
ARCHITECTURES = {
    "lop": NAMED_POINTS["lop"],
    "hop": NAMED_POINTS["hop"],
    "no residual layers": replace(NAMED_POINTS["lop"], n_residual=0),
    "three residual layers": replace(NAMED_POINTS["mop"], n_residual=3),
    "no features": replace(NAMED_POINTS["lop"], n_features=0),
    "no hidden layer": replace(NAMED_POINTS["lop"], n_arm_hidden=0),
    "two levels": replace(NAMED_POINTS["lop"], n_levels=2, n_hyper=0),
    "eight levels": replace(NAMED_POINTS["mop"], n_levels=8, n_hyper=4),
    "grey": replace(NAMED_POINTS["mop"], n_channels=1),
    "four channels": replace(NAMED_POINTS["lop"], n_channels=4),
}
SPAN = 0.7


class Case:
    """A model, rounded latents for it, and a target near what they show.

    In a weighted case every sample has a factor of its own, and a third of them do not count.
    """

    def __init__(
        self, arch: Architecture, width: int, height: int, seed: int = 0, *, weighted: bool = False
    ) -> None:
        self.model = lively_model(arch, width, height)
        generator = torch.Generator().manual_seed(seed)
        self.latents = [
            torch.randn(g.height, g.width, generator=generator).round() for g in self.model.grids
        ]
        with torch.no_grad():
            shown = self.model.normalised(self.latents).clamp(0, 1)
        noise = torch.randn(shown.shape, generator=generator) * 0.2
        self.target = (shown + noise).clamp(0, 1)
        self.span = torch.full((arch.n_channels, 1, 1), SPAN)
        if weighted:
            counted = torch.rand(self.target.shape[1:], generator=generator)
            self.span = SPAN * torch.where(counted < 1 / 3, 0.0, counted.sqrt())

    def moves(self) -> MovedLatents:
        return MovedLatents(self.model, self.latents, self.target, self.span, COARSEST)

    @torch.no_grad()
    def squared_error_and_bits(self, latents: list[Tensor]) -> tuple[float, float]:
        mse = distortion(self.model.normalised(latents), self.target, self.span)
        return float(mse.double() * self.target.numel()), float(self.model.rate(latents))


def random_moves(model: CodecModel, n: int, seed: int) -> NDArray[np.int64]:
    generator = np.random.default_rng(seed)
    movable = [i for i, g in enumerate(model.grids) if g.hyper or g.level <= COARSEST]
    chosen = generator.choice(movable, n)
    places = [
        (g, generator.integers(grid.height), generator.integers(grid.width))
        for g, grid in ((g, model.grids[g]) for g in chosen)
    ]
    steps = generator.choice([-1, 1], n)
    return np.array([(*place, step) for place, step in zip(places, steps, strict=True)], np.int64)


def no_guess(moves: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.zeros(len(moves), np.float32)


@pytest.mark.parametrize("size", [1, 2, 7, 64, 75, 200])
@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_responses_are_what_the_upsampling_makes_of_a_single_latent(size: int, level: int) -> None:
    model = lively_model(NAMED_POINTS["lop"], size, size)
    halves = [p.detach().numpy() for p in model.upsampling.parameters()]
    stages = len(model.upsampling.transposed)
    found = axis_responses(size, level, halves[:stages], halves[stages:])
    n = -(-size // (1 << level))
    assert found.ends.shape == (n, 2)
    index = model.grids.index(next(g for g in model.grids if g.level == level and not g.hyper))
    for k in {0, n // 2, n - 1}:
        latents = [torch.zeros(g.height, g.width) for g in model.grids]
        latents[index][k, n - 1 - k] = 1
        with torch.no_grad():
            wanted = model.dense(latents)[0, level].numpy()
        rebuilt = np.zeros((size, size))
        (top, bottom), (left, right) = found.ends[k], found.ends[n - 1 - k]
        rows = found.factors[k, :, : bottom - top]
        columns = found.factors[n - 1 - k, :, : right - left]
        rebuilt[top:bottom, left:right] = np.einsum("fr,fc->rc", rows, columns)
        np.testing.assert_allclose(rebuilt, wanted, rtol=0, atol=3e-3 * np.abs(wanted).max())


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("size", [(1, 1), (9, 6), (40, 33)])
def test_changes_add_up_to_those_of_the_whole_image(name: str, size: tuple[int, int]) -> None:
    check_changes(Case(ARCHITECTURES[name], *size))


@pytest.mark.parametrize("name", ["lop", "no residual layers", "grey", "four channels"])
@pytest.mark.parametrize("size", [(1, 9), (9, 6), (40, 33)])
def test_changes_add_up_where_samples_count_differently(name: str, size: tuple[int, int]) -> None:
    check_changes(Case(ARCHITECTURES[name], *size, weighted=True))


def check_changes(case: Case) -> None:
    """Errors and bits after many moves are those of the whole image."""
    moves = case.moves()
    error, bits = case.squared_error_and_bits(case.latents)
    assert moves.squared_error == pytest.approx(error, rel=1e-4)
    assert moves.bits == pytest.approx(bits, rel=1e-5)
    wanted = random_moves(case.model, 400, seed=1)
    taken = moves.attempt(wanted, no_guess(wanted), 0.02, np.inf)
    changed = sum(
        int((a - b).abs().sum()) for a, b in zip(moves.latents(), case.latents, strict=True)
    )
    assert taken > 0
    assert 0 < changed <= taken
    error_after, bits_after = case.squared_error_and_bits(moves.latents())
    gain = error + 0.02 * bits - error_after - 0.02 * bits_after
    assert gain > 0
    assert moves.squared_error == pytest.approx(error_after, rel=1e-3)
    assert moves.bits == pytest.approx(bits_after, rel=1e-5)
    picture = case.model.normalised(moves.latents()).detach().numpy()
    # What is cut off the responses' tails stays.
    np.testing.assert_allclose(moves.normalised().numpy(), picture, rtol=0, atol=0.02)


def test_moves_that_change_hidden_samples_alone_follow_the_bits() -> None:
    """Where nothing is seen no error is saved: latents go to what costs least."""
    case = Case(NAMED_POINTS["lop"], 24, 20)
    case.span = torch.zeros_like(case.target[0])
    moves = case.moves()
    assert moves.squared_error == 0
    wanted = random_moves(case.model, 400, seed=3)
    bits = moves.bits
    assert moves.attempt(wanted, no_guess(wanted), 0.02, np.inf) > 0
    assert moves.squared_error == 0
    assert moves.bits < bits


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1 << 16), weight=st.floats(0, 1), weighted=st.booleans())
def test_a_move_is_kept_exactly_where_the_loss_falls(
    seed: int, weight: float, weighted: bool
) -> None:
    case = Case(NAMED_POINTS["lop"], 21, 18, seed, weighted=weighted)
    moves = case.moves()
    move = random_moves(case.model, 1, seed)
    before = case.squared_error_and_bits(case.latents)
    moved = [y.clone() for y in case.latents]
    grid, row, column, step = move[0]
    moved[grid][row, column] += step
    after = case.squared_error_and_bits(moved)
    gain = before[0] - after[0] + weight * (before[1] - after[1])
    if abs(gain) < 1e-3 * (abs(before[0] - after[0]) + weight * abs(before[1] - after[1])) + 1e-4:
        return  # a tie, by rounding or by what is cut off
    taken = moves.attempt(move, no_guess(move), weight, np.inf)
    assert taken == (gain > 0)
    expected = moved if gain > 0 else case.latents
    assert all(torch.equal(a, b) for a, b in zip(moves.latents(), expected, strict=True))


def test_a_refused_move_leaves_no_trace() -> None:
    case = Case(NAMED_POINTS["hop"], 30, 26)
    moves = case.moves()
    wanted = random_moves(case.model, 300, seed=5)
    while moves.attempt(wanted, no_guess(wanted), 0.02, np.inf):
        pass
    untouched = MovedLatents(case.model, moves.latents(), case.target, case.span, COARSEST)
    picture, bits = moves.normalised(), [moves.bits_of(g) for g in range(len(case.model.grids))]
    assert moves.attempt(wanted, no_guess(wanted), 0.02, np.inf) == 0
    assert torch.equal(moves.normalised(), picture)
    for grid, before in enumerate(bits):
        assert np.array_equal(moves.bits_of(grid), before)
        np.testing.assert_allclose(before, untouched.bits_of(grid), rtol=1e-3, atol=1e-3)


def test_a_move_that_is_expected_to_lose_is_not_tried() -> None:
    case = Case(NAMED_POINTS["lop"], 30, 26)
    wanted = random_moves(case.model, 300, seed=1)
    hopeless = np.full(len(wanted), 1e6, np.float32)
    moves = case.moves()
    assert moves.attempt(wanted, hopeless, 0.02, 1.0) == 0
    assert moves.attempt(wanted, no_guess(wanted), 0.02, np.inf) > 0


def test_latents_stay_in_the_range_of_symbols() -> None:
    case = Case(NAMED_POINTS["lop"], 16, 16)
    case.latents[0][3, 4] = LATENT_MAX
    case.latents[0][9, 9] = LATENT_MAX - 1
    with torch.no_grad():
        wish = [y.clone() for y in case.latents]
        wish[0][3, 4] += 40
        wish[0][9, 9] += 40
        case.target = case.model.normalised(wish).clamp(0, 1)
    upwards = np.array([(0, 3, 4, 1)] * 9 + [(0, 9, 9, 1)] * 9, np.int64)
    moves = case.moves()
    moves.attempt(upwards, no_guess(upwards), 0.0, np.inf)
    assert max(float(y.max()) for y in moves.latents()) <= LATENT_MAX


def test_grids_that_reach_too_far_are_refused() -> None:
    case = Case(NAMED_POINTS["lop"], 64, 64)
    index = next(i for i, g in enumerate(case.model.grids) if g.level == COARSEST + 1)
    move = np.array([(index, 0, 0, 1)], np.int64)
    with pytest.raises(ValueError, match="y4 reach too far"):
        case.moves().attempt(move, no_guess(move), 0.02, np.inf)


def small_target(case: Case) -> Target:
    height, width = case.target.shape[2:]
    samples = np.zeros((height, width, case.target.shape[1]), np.uint8)
    samples[0, 0] = 255
    return replace(target_of(samples), normalised=case.target, span=case.span)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_descent_ends_where_no_candidate_lowers_the_loss(weighted: bool) -> None:
    case = Case(NAMED_POINTS["lop"], 8, 7, weighted=weighted)
    lmbda = 0.01
    thorough = Descent(slack=1e6, silent=0.0)
    latents = descend(case.model, case.latents, small_target(case), lmbda, FUSED, 30, 0, thorough)

    def loss(candidate: list[Tensor]) -> float:
        error, bits = case.squared_error_and_bits(candidate)
        return error + 3 * lmbda * bits

    best = loss(latents)
    assert best < loss(case.latents)
    for i, grid in enumerate(case.model.grids):
        if not grid.hyper and grid.level > COARSEST:
            continue
        for place in range(grid.size):
            for step in (-1, 1):
                moved = [y.clone() for y in latents]
                moved[i].view(-1)[place] += step
                assert loss(moved) > best - 1e-3 * best


@pytest.mark.parametrize("weighted", [False, True])
def test_the_guess_spares_work_but_little_of_the_gain(weighted: bool) -> None:
    case = Case(NAMED_POINTS["hop"], 48, 40, weighted=weighted)

    def gain(descent: Descent) -> float:
        target = small_target(case)
        found = descend(case.model, case.latents, target, 0.01, FUSED, 1, 0, descent)
        error, bits = case.squared_error_and_bits(found)
        before = case.squared_error_and_bits(case.latents)
        return before[0] - error + 0.03 * (before[1] - bits)

    assert gain(Descent()) > 0.8 * gain(Descent(slack=1e6, silent=0.0)) > 0


def test_plain_torch_cannot_move_single_latents() -> None:
    case = Case(NAMED_POINTS["lop"], 12, 10)
    with pytest.raises(ValueError, match="reference kernels cannot"):
        descend(case.model, case.latents, small_target(case), 0.01, REFERENCE, 1, 0)


def photograph() -> NDArray[np.uint8]:
    generator = np.random.default_rng(3)
    rows, columns = np.mgrid[:40, :56]
    waves = (np.sin(rows / 5) + np.cos(columns / 4))[..., None]
    noise = generator.normal(0, 0.2, (40, 56, 3))
    return np.clip(128 + 40 * (waves + noise), 0, 255).astype(np.uint8)


@pytest.mark.slow
def test_finishing_a_fit_lowers_the_loss_of_its_file() -> None:
    samples = photograph()
    fit = overfit(samples, FitSettings(lmbda=1e-3, steps=250, complexity="lop", threads=1))
    context = context_of(fit, samples)
    moved, quantised = finish_fit(fit, context)
    assert any(not torch.equal(a, b) for a, b in zip(moved.latents, fit.latents, strict=True))
    loss = encode_fit(fit, samples).report.loss
    assert loss == write_fit(moved, context, quantised).report.loss
    assert loss < write_fit(fit, context, quantise_fit(fit, context)).report.loss
    on_two = replace(fit, settings=replace(fit.settings, threads=2))
    again, same = finish_fit(on_two, context_of(on_two, samples))
    assert all(torch.equal(a, b) for a, b in zip(moved.latents, again.latents, strict=True))
    assert same.exponents == quantised.exponents


def test_latents_of_long_fits_are_visited_once_more() -> None:
    samples = photograph()
    fit = overfit(samples, FitSettings(lmbda=1e-3, steps=40, complexity="lop", threads=1))
    context, target = context_of(fit, samples), target_of(samples)
    model = CodecModel(fit.architecture, 56, 40)
    model.load_state_dict(fit.parameters)

    def loss_after(steps: int) -> float:
        moved = move_latents(replace(fit, steps=steps), fit.parameters, context)
        latents = [latent.float() for latent in moved.latents]
        with torch.no_grad():
            error = REFERENCE.distortion(model, latents, target.normalised, target.span)
            return float(error + 1e-3 * model.rate(latents) / (56 * 40))

    assert loss_after(4000) < loss_after(3999) < loss_after(249)


@pytest.mark.slow
def test_long_fits_of_small_images_are_quantised_more_than_once() -> None:
    samples = photograph()
    fit = overfit(samples, FitSettings(lmbda=1e-3, steps=60, complexity="lop", threads=1))
    context = context_of(fit, samples)
    losses = []
    assert [spending_for(steps, 56 * 40).rounds for steps in (3800, 7900)] == [1, 3]
    for steps in (3800, 7900):
        moved, quantised = finish_fit(replace(fit, steps=steps), context)
        report = write_fit(moved, context, quantised).report
        losses.append(report.loss)
        byte = fit.settings.lmbda * 8 / (56 * 40)
        rounding = 1 / 12 / 255**2  # of the samples to 8 bits
        expected = report.loss - report.header_bytes * byte - rounding
        assert _file_loss(moved, quantised, context) == pytest.approx(expected, abs=2 * byte)
        assert moved.parameters is fit.parameters
    assert losses[1] < losses[0]


def test_a_channel_without_span_does_not_keep_the_others_from_moving() -> None:
    samples = photograph()
    samples[:, :, 2] = 90
    fit = overfit(samples, FitSettings(lmbda=1e-3, steps=30, complexity="lop", threads=1))
    context = context_of(fit, samples)
    assert context.target.span[2] == 0
    moved, _ = finish_fit(replace(fit, steps=250), context)
    main = [i for i, g in enumerate(grids(fit.architecture, 56, 40)) if not g.hyper]
    assert any(not torch.equal(moved.latents[i], fit.latents[i]) for i in main)


def test_a_constant_image_is_finished() -> None:
    samples = np.full((9, 12, 3), 77, np.uint8)
    fit = overfit(samples, FitSettings(lmbda=1e-3, steps=5, complexity="lop", threads=1))
    data = encode_fit(replace(fit, steps=250), samples).data
    assert np.array_equal(decode_samples(data), samples)


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"steps": 10}, {"kernels": "reference"}])
def test_short_fits_and_plain_torch_keep_their_latents(change: dict[str, object]) -> None:
    samples = photograph()
    fit = overfit(samples, FitSettings(lmbda=1e-3, steps=10, complexity="lop", threads=1))
    changed = replace(fit, steps=change.get("steps", 250))  # type: ignore[arg-type]
    changed = replace(changed, settings=replace(fit.settings, **change))  # type: ignore[arg-type]
    kept, _ = finish_fit(changed, context_of(changed, samples))
    assert kept is changed
