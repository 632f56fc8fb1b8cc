"""Lambda for a rate, a quality or a size: the controller by itself, then whole encodes."""

from __future__ import annotations

from dataclasses import replace
from math import exp, inf, log
from pathlib import Path

import numpy as np
import pytest
import torch
from fits import start_fit
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import givre
from givre.coder.files.picture import Picture
from givre.coder.fitting.choices import FitChoices, continued_settings
from givre.coder.fitting.progress import FITTING, Progress
from givre.coder.fitting.schedule import Recipe, learning_left, plan_step
from givre.coder.fitting.settings import FitSettings
from givre.coder.fitting.torch_context import torch_threads
from givre.coder.fitting.trainer import Trainer
from givre.coder.psnr import mean_squared_error, psnr_db
from givre.coder.rate_control.correction import (
    CHECKS,
    LMBDA_HIGHEST,
    LMBDA_LOWEST,
    REWINDS,
    Probe,
    Search,
    Steering,
    at_limit,
    first_lmbda,
)
from givre.coder.rate_control.goal import Goal, goal_of
from givre.coder.rate_control.lmbda_response import QualityResponse, RateResponse, susceptibility
from givre.coder.rate_control.targeted_encode import encode_to_goal
from givre.coder.report import _CONVERGED_STEPS
from givre.errors import CollapseError, TargetError, UsageError
from givre.scripts.main import main

PIXELS = 64 * 48
FAST = FitSettings(steps=60, complexity="lop", threads=1)


# --- the controller -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("goal", "size", "psnr", "admitted", "met"),
    [
        (Goal("size", 1000), 1000, 20, True, True),
        (Goal("size", 1000), 1001, 20, False, False),
        (Goal("size", 1000), 979, 20, True, False),
        (Goal("bpp", 1.0), 384, 20, True, True),
        (Goal("bpp", 1.0), 391, 20, True, True),
        (Goal("bpp", 1.0), 392, 20, False, False),
        (Goal("bpp", 1.0), 376, 20, False, False),
        (Goal("psnr", 30), 384, 30.09, True, True),
        (Goal("psnr", 30), 384, 29.89, False, False),
    ],
)
def test_goal_says_which_files_will_do(
    goal: Goal, size: int, psnr: float, admitted: bool, met: bool
) -> None:
    assert goal.admits(size, psnr, PIXELS) is admitted
    assert goal.meets(size, psnr, PIXELS) is met


def test_excess_is_zero_at_the_aim() -> None:
    assert Goal("bpp", 1.0).excess(PIXELS - 300, 300, 0, PIXELS) == pytest.approx(0)
    assert Goal("psnr", 30).excess(1, 1, 31.5, PIXELS) == 1.5
    # a size is a limit: the aim lies below it, within what counts as filled
    at_limit_of_size = Goal("size", 500).excess(4000 - 300, 300, 0, PIXELS)
    at_least_filled = Goal("size", 500).excess(0.98 * 4000 - 300, 300, 0, PIXELS)
    assert at_least_filled < 0 < at_limit_of_size


def test_excess_stays_finite() -> None:
    assert Goal("bpp", 0.1).excess(0, 1e9, 0, PIXELS) < Goal("bpp", 0.1).excess(1e6, 1e9, 0, PIXELS)
    assert 0 < Goal("psnr", 30).excess(0, 0, inf, PIXELS) < inf


@pytest.mark.parametrize("value", [0, -1, inf, float("nan")])
def test_goal_must_be_above_zero(value: float) -> None:
    with pytest.raises(UsageError, match="above 0"):
        Goal("bpp", value)


def test_first_lambda_lies_between_the_probes_around_the_goal() -> None:
    goal = Goal("bpp", 0.5)
    probes = [Probe(0.004, -0.5, 0.3), Probe(0.0004, 1.5, 1.0), Probe(0.001, 0.9, 0.6)]
    assert 0.001 < first_lmbda(goal, probes, 0.5) < 0.004
    larger = [Probe(p.lmbda, p.excess + 0.3, p.bpp) for p in probes]
    assert first_lmbda(goal, larger, 0.5) > first_lmbda(goal, probes, 0.5)
    # beyond the probes it goes on in their direction
    assert first_lmbda(goal, [Probe(p.lmbda, 3.0, 1.0) for p in probes], 0.5) > 0.004
    assert first_lmbda(goal, [Probe(p.lmbda, -3.0, 0.1) for p in probes], 0.5) < 0.0004


@pytest.mark.parametrize("kind", ["bpp", "psnr"])
def test_first_lambda_without_probes_follows_the_goal(kind: str) -> None:
    values = (0.05, 0.5, 5.0) if kind == "bpp" else (25.0, 35.0, 45.0)
    found = [first_lmbda(Goal(kind, value), [], value) for value in values]
    assert found == sorted(found, reverse=True)
    assert LMBDA_LOWEST <= found[-1] < found[0] <= LMBDA_HIGHEST


@given(
    excess=st.floats(-20, 20),
    share=st.sampled_from(CHECKS),
    lmbda=st.floats(LMBDA_LOWEST, LMBDA_HIGHEST),
    kind=st.sampled_from(["bpp", "psnr"]),
)
def test_lambda_changes_by_little_and_stays_in_its_range(
    excess: float, share: float, lmbda: float, kind: str
) -> None:
    goal = Goal(kind, 1.0)
    found = Steering(goal, 500).next(lmbda, excess, share, 1.0)
    assert LMBDA_LOWEST <= found <= LMBDA_HIGHEST
    assert abs(log(found / lmbda)) <= 0.8 + 1e-9
    more = Steering(goal, 500).next(lmbda, excess + 0.5, share, 1.0)
    assert more >= found  # a larger or better file never lowers lambda


@given(
    surprise=st.floats(-0.4, 0.4),
    kind=st.sampled_from(["bpp", "psnr"]),
    steps=st.sampled_from([250, 2000]),
)
def test_steering_comes_to_rest_on_a_fit_that_answers_slowly(
    surprise: float, kind: str, steps: int
) -> None:
    """An image that is off by a surprise at first, and follows the model from there."""
    goal, bpp, first = Goal(kind, 1.0), 1.0, 1e-3
    if goal.is_quality:
        surprise *= 4
    steering, changes, lmbda = Steering(goal, steps), [], first
    response = goal.response
    for share in CHECKS:
        excess = surprise + response.pending_change(share, lmbda, bpp, steps)
        for earlier, change in changes:
            effect = response.elasticity * susceptibility(earlier) * change
            excess -= effect * response.settled(share - earlier)
        found = steering.next(lmbda, excess, share, bpp)
        changes.append((share, log(found / lmbda)))
        lmbda = found
    left = surprise - sum(response.elasticity * susceptibility(s) * c for s, c in changes)
    assert left == pytest.approx(0, abs=1e-9)
    # once it is asked for, nothing is taken back
    assert all(change * surprise >= -1e-9 for _, change in changes)


def test_answers_settle_and_what_is_pending_dies_away() -> None:
    for response in (RateResponse(), QualityResponse()):
        found = [response.settled(elapsed) for elapsed in (0.0, 0.05, 0.1, 0.4, 1e9)]
        assert found == sorted(found)
        assert found[0] == 0
        assert found[-1] == pytest.approx(1)
        pending = [abs(response.pending_change(s, 1e-3, 0.5, 500)) for s in (*CHECKS, 1.0)]
        assert pending == sorted(pending, reverse=True)
        assert pending[-1] == 0


@pytest.mark.parametrize("power", [0.5, 0.7, 1.0, 2.0])
@pytest.mark.parametrize("share", [0.0, 0.35, 0.9, 1.0])
def test_what_is_left_of_the_learning_rate_is_its_sum(power: float, share: float) -> None:
    recipe = Recipe(learning_rate=1.0, final_learning_rate=0.0, decay_power=power, warmup_steps=0)
    steps = 4000
    rates = [plan_step(recipe, i, steps).learning_rate for i in range(int(share * steps), steps)]
    assert learning_left(recipe, share) == pytest.approx(sum(rates) / steps, abs=1e-3)


def test_lambda_counts_for_less_towards_the_end() -> None:
    found = [susceptibility(share) for share in (0.0, *REWINDS, 1.0)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx(0, abs=1e-6)


@given(
    excess=st.floats(-0.5, 0.5),
    true_responsiveness=st.floats(0.4, 2.5),
    kind=st.sampled_from(["bpp", "psnr", "size"]),
)
def test_corrections_converge_on_images_that_respond_in_their_own_way(
    excess: float, true_responsiveness: float, kind: str
) -> None:
    goal = Goal(kind, 1000.0)
    if goal.is_quality:
        excess *= 4
    search, lmbda = Search(goal), 1e-3
    tolerance = 0.1 if goal.is_quality else 0.01
    rounds = 0
    while abs(excess) > tolerance and rounds < 10:
        back = search.next(lmbda, excess, 0.5)
        strength = goal.response.elasticity * susceptibility(back.share) * true_responsiveness
        found = excess - strength * log(back.lmbda / lmbda)
        search.learn(lmbda, excess, back, found)
        lmbda, excess, rounds = back.lmbda, found, rounds + 1
    assert abs(excess) <= tolerance


def test_small_corrections_go_back_less() -> None:
    search = Search(Goal("bpp", 1.0))
    small, large = search.next(1e-3, 0.005, 0.7), search.next(1e-3, 0.12, 0.7)
    assert small.share == REWINDS[-1]
    assert large.share < small.share
    assert small.lmbda > 1e-3 < large.lmbda
    assert search.next(1e-3, 0.12, 0.3).share >= 0.7  # as far as it can be afforded


def test_limit_is_reached_on_the_side_that_matters() -> None:
    assert at_limit(LMBDA_HIGHEST, 1.0)
    assert not at_limit(LMBDA_HIGHEST, -1.0)
    assert at_limit(LMBDA_LOWEST, -1.0)
    assert not at_limit(LMBDA_LOWEST, 1.0)


def test_targets_exclude_each_other_and_lambda() -> None:
    for wrong in (
        {"target_bpp": 1.0, "quality": 50},
        {"target_psnr": 30.0, "lmbda": 1e-3},
        {"target_size": 1000, "target_bpp": 1.0},
    ):
        with pytest.raises(UsageError, match="exclude each other"):
            FitChoices(**wrong)
    with pytest.raises(UsageError, match="target size is 0, it must be a whole number from 1"):
        FitChoices(target_size=0)
    with pytest.raises(UsageError, match="leave out the target"):
        continued_settings(FitChoices(target_bpp=1.0), FitSettings(), 10)
    assert goal_of(FitChoices(target_psnr=30.0)) == Goal("psnr", 30.0)
    assert goal_of(FitChoices(quality=30)) is None


# --- whole encodes ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def samples() -> NDArray[np.uint8]:
    """A picture with smooth and rough parts, (48, 64, 3)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:48, :64] / 16
    smooth = 120 + 60 * np.sin(x + 2 * y)[..., None] * np.array([1.0, 0.8, -0.5])
    rough = 40 * rng.standard_normal((48, 64, 1)) * (x > 2)[..., None]
    return np.clip(smooth + rough, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "goal", [Goal("bpp", 2.5), Goal("psnr", 29.0), Goal("size", 900)], ids=lambda g: g.kind
)
def test_file_meets_its_goal(samples: NDArray[np.uint8], goal: Goal) -> None:
    found = encode_to_goal(Picture(samples), FAST, goal)
    decoded = np.asarray(givre.decode(found.data))
    quality = psnr_db(mean_squared_error(samples, decoded))
    assert goal.admits(len(found.data), quality, PIXELS)
    assert found.report.bytes == len(found.data)
    assert found.report.psnr_db == pytest.approx(quality)
    assert LMBDA_LOWEST <= found.report.lmbda <= LMBDA_HIGHEST
    assert found.report.steps >= FAST.steps


@pytest.mark.slow
def test_same_goal_gives_the_same_bytes(samples: NDArray[np.uint8]) -> None:
    goal = Goal("size", 700)
    first, second = (encode_to_goal(Picture(samples), FAST, goal).data for _ in range(2))
    assert first == second
    assert len(first) <= 700


@pytest.mark.slow
def test_size_beyond_all_use_is_kept_not_filled(samples: NDArray[np.uint8]) -> None:
    assert len(encode_to_goal(Picture(samples), FAST, Goal("size", 10**6)).data) < 10**5


@pytest.mark.slow
@pytest.mark.parametrize(
    "goal", [Goal("size", 20), Goal("psnr", 90), Goal("bpp", 100)], ids=lambda g: g.kind
)
def test_goal_out_of_reach_says_what_is_not(samples: NDArray[np.uint8], goal: Goal) -> None:
    with pytest.raises(TargetError, match=r"the closest file has \d+ bytes") as found:
        encode_to_goal(Picture(samples), FAST, goal)
    assert "\n" not in str(found.value)


def uniform_noise() -> NDArray[np.uint8]:
    """An image unlike photographs, (12, 16, 3): a constant grey is within 10.7 dB of it."""
    return np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)


@pytest.mark.slow
def test_an_image_unlike_photographs_is_fitted_a_second_time() -> None:
    """The networks of the first fit, at a lambda for photographs, are of no use."""
    told: list[Progress] = []
    settings, goal = replace(FAST, steps=40), Goal("psnr", 12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("givre.coder.fitting.progress._INTERVAL_SECONDS", -1.0)
        found = encode_to_goal(
            Picture(uniform_noise()), settings, goal, on_progress=told.append
        ).report
    assert found.psnr_db == pytest.approx(12, abs=0.1)
    assert found.steps >= 2 * 40
    # the clock goes on through both fits and all corrections
    steps = [p.step for p in told if p.stage == FITTING]
    assert steps == sorted(set(steps))
    assert [p.seconds for p in told] == sorted(p.seconds for p in told)
    assert all(p.step <= p.steps for p in told)
    last = [p for p in told if p.stage == FITTING][-1]
    assert last.step == last.steps == found.steps


def test_a_quality_next_to_that_of_a_constant_image_is_no_collapse() -> None:
    settings = replace(FAST, steps=_CONVERGED_STEPS)
    found = encode_to_goal(Picture(uniform_noise()), settings, Goal("psnr", 10.8))
    decoded = np.asarray(givre.decode(found.data))
    quality = psnr_db(mean_squared_error(uniform_noise(), decoded))
    assert quality == pytest.approx(10.8, abs=0.1)


@pytest.mark.slow
def test_a_size_filled_with_nothing_is_a_collapse() -> None:
    """At the last byte but one lambda may end where nothing is worth its bits, as it should."""
    settings = replace(FAST, steps=_CONVERGED_STEPS)
    with pytest.raises(CollapseError, match="no better than a constant image"):  # noqa: PT012
        for size in (23, 22):
            encode_to_goal(Picture(uniform_noise()), settings, Goal("size", size))


def test_fit_without_start_from_an_image_meets_its_goal() -> None:
    """Grey, without a prior: nothing is known before the first check."""
    grey = (np.add.outer(np.arange(24), 3 * np.arange(32)) % 200).astype(np.uint8)[..., None]
    settings = FitSettings(steps=60, complexity="lop", threads=1, prior=0)
    found = encode_to_goal(Picture(grey), settings, Goal("size", 700))
    assert len(found.data) <= 700


@pytest.mark.parametrize("kernels", ["reference", "fused"])
def test_latents_go_back_and_on_as_before(samples: NDArray[np.uint8], kernels: str) -> None:
    settings = FitSettings(steps=8, complexity="lop", threads=1, kernels=kernels)
    recipe = Recipe()

    def steps(trainer: Trainer, first: int, last: int) -> list[NDArray[np.int8]]:
        for i in range(first, last):
            plan, upcoming = (plan_step(recipe, i + j, settings.steps) for j in (0, 1))
            trainer.step(i, plan, upcoming, latents_only=True)
        return [latent.numpy().copy() for latent in trainer.symbols()]

    with torch_threads(1):
        _, trainer = start_fit(samples, settings)
        networks = trainer.parameters()
        steps(trainer, 0, 3)
        state = trainer.latent_state()
        expected = steps(trainer, 3, 6)
        trainer.lmbda = 1.0
        trainer.load_latent_state(state)
        other = steps(trainer, 3, 6)
        trainer.lmbda = settings.lmbda
        trainer.load_latent_state(state)
        again = steps(trainer, 3, 6)
    assert all(np.array_equal(a, b) for a, b in zip(again, expected, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(other, expected, strict=True))
    assert all(torch.equal(p, networks[name]) for name, p in trainer.parameters().items())


@pytest.mark.slow
def test_command_meets_a_size(
    samples: NDArray[np.uint8], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, output = tmp_path / "a.png", tmp_path / "a.givre"
    Image.fromarray(samples).save(image)
    words = ["--complexity", "lop", "--threads", "1", "--steps", "40"]
    assert main(["encode", str(image), str(output), "--target-size", "800", *words]) == 0
    assert output.stat().st_size <= 800
    assert "lambda" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.givre", "a.png"]
    data = givre.encode(image, target_size=800, complexity="lop", threads=1, steps=40)
    assert data == output.read_bytes()


def test_command_refuses_in_one_line(
    samples: NDArray[np.uint8], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, output = tmp_path / "a.png", tmp_path / "a.givre"
    Image.fromarray(samples).save(image)
    words = ["encode", str(image), str(output), "--complexity", "lop", "--quiet"]
    for more, code, message in (
        (["--target-size", "20", "--steps", "20"], 8, "20 bytes cannot be reached"),
        (["--target-bpp", "-1"], 2, "above 0"),
        (["--target-psnr", "30", "--from", "a.fit"], 2, "exclude each other"),
    ):
        assert main([*words, *more]) == code
        error = capsys.readouterr().err
        assert error.startswith("givre: error: ")
        assert message in error
        assert error.count("\n") == 1
        assert not output.exists()
    for first, second in (("--target-bpp", "--quality"), ("--target-size", "--target-psnr")):
        with pytest.raises(SystemExit) as refused:
            main([*words, first, "1", second, "1"])
        assert refused.value.code == 2


def test_limits_of_lambda_are_met_exactly() -> None:
    """A lambda outside of its range would be refused as a setting."""
    assert first_lmbda(Goal("bpp", 1e-9), [], 1e-9) == LMBDA_HIGHEST
    assert first_lmbda(Goal("bpp", 1e9), [], 1e9) == LMBDA_LOWEST
    assert exp(log(LMBDA_HIGHEST)) != LMBDA_HIGHEST  # why it has to be looked after
