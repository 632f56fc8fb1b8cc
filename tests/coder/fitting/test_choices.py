from __future__ import annotations

import pytest

from givre.coder.fitting.choices import FitChoices, continued_settings, new_settings
from givre.coder.fitting.setting_table import EFFORT_STEPS
from givre.coder.fitting.settings import FitSettings, lmbda_for_quality
from givre.errors import UsageError


def test_choices_become_settings() -> None:
    assert new_settings(FitChoices()) == FitSettings()
    found = new_settings(FitChoices(quality=30, effort=2, seed=4))
    assert found == FitSettings(lmbda=lmbda_for_quality(30), steps=EFFORT_STEPS[2], seed=4)
    for wrong in ({"quality": 1, "lmbda": 1}, {"effort": 1, "steps": 1}):
        with pytest.raises(UsageError, match="exclude each other"):
            FitChoices(**wrong)


def test_initial_upsampling_filters_are_named() -> None:
    assert new_settings(FitChoices(ups_init="kaiser")).ups_init == "kaiser"
    with pytest.raises(UsageError, match="'lanczos', it must be one of bilinear, bicubic, kaiser"):
        new_settings(FitChoices(ups_init="lanczos"))


@pytest.mark.parametrize("asked", [None, "auto"])
def test_lambda_chooses_the_complexity_unless_one_is_given(asked: str | None) -> None:
    found = {
        lmbda: new_settings(FitChoices(lmbda=lmbda, complexity=asked)).complexity
        for lmbda in (0.1, 0.02, 0.0001)
    }
    assert found == {0.1: "lop", 0.02: "hop", 0.0001: "hop"}
    assert new_settings(FitChoices(quality=0, complexity=asked)).complexity == "hop"
    assert new_settings(FitChoices(lmbda=0.02, complexity="mop")).complexity == "mop"
    earlier = FitSettings(lmbda=0.02, steps=10, complexity="vhop")
    assert continued_settings(FitChoices(complexity=asked), earlier, done=5) == earlier


@pytest.mark.parametrize("before", [None, "kaiser"])
def test_carried_on_fit_ignores_how_to_start(before: str | None) -> None:
    earlier = FitSettings(steps=10, ups_init=before)
    assert continued_settings(FitChoices(ups_init="bilinear"), earlier, done=5) == earlier


def test_carried_on_fit_keeps_its_settings() -> None:
    earlier = FitSettings(lmbda=0.02, steps=10, complexity="lop", seed=3)
    assert continued_settings(FitChoices(), earlier, done=5) == earlier
    choices = FitChoices(steps=20, lmbda=0.02, threads=2)
    expected = FitSettings(lmbda=0.02, steps=20, complexity="lop", seed=3, threads=2)
    assert continued_settings(choices, earlier, done=10) == expected
    with pytest.raises(UsageError, match="has made 5 steps already"):
        continued_settings(FitChoices(steps=4), earlier, done=5)
