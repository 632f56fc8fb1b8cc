"""What may be spent after a fit: more after a longer one, and never by a clock."""

from __future__ import annotations

from itertools import pairwise

import pytest

from givre.coder.fitting.fit_kernels import FEWEST_STEPS_TO_MOVE
from givre.coder.fitting.setting_table import EFFORT_STEPS
from givre.coder.quantisation.spending import BRIEF, THOROUGH, Spending, spending_for

SIZES = [1, 48 * 32, 192 * 128, 256 * 256, 768 * 512, 2_000_000, 12_000_000]


def measures(spending: Spending) -> tuple[int, ...]:
    """All that grows with what may be spent."""
    s = spending
    return (
        s.latents,
        s.pixels,
        s.polishing,
        s.trials,
        s.improving,
        s.passes_before,
        s.passes_after,
    )


@pytest.mark.parametrize("pixels", SIZES)
def test_a_longer_fit_may_be_followed_by_no_less(pixels: int) -> None:
    for shorter, longer in pairwise(spending_for(steps, pixels) for steps in EFFORT_STEPS):
        for less, more in zip(measures(shorter), measures(longer), strict=True):
            assert less <= more


@pytest.mark.parametrize("pixels", SIZES)
def test_latents_move_after_fits_that_are_long_enough(pixels: int) -> None:
    assert spending_for(FEWEST_STEPS_TO_MOVE - 1, pixels).passes_after == 0
    assert spending_for(FEWEST_STEPS_TO_MOVE, pixels).passes_after == 1


def test_a_small_picture_gets_little_after_a_short_fit_and_all_after_a_long_one() -> None:
    assert spending_for(25, 256 * 256) == BRIEF
    assert spending_for(10_000, 256 * 256).latents == THOROUGH.latents


def test_rounds_are_for_long_fits_of_few_pixels() -> None:
    assert spending_for(30_000, 192 * 128).rounds == 3
    assert spending_for(30_000, 256 * 256).rounds == 1
    assert spending_for(1000, 192 * 128).rounds == 1


def test_single_passes_over_a_huge_image_are_few_after_a_short_fit() -> None:
    small, huge = spending_for(25, 500_000), spending_for(25, 12_000_000)
    assert (huge.polishing, huge.improving) < (small.polishing, small.improving)
