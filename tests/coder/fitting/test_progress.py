"""What a listener is told: stages in order, and a time left that counts all that follows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from fits import encode_samples

from givre.coder.fitting import progress
from givre.coder.fitting.progress import (
    FITTING,
    QUANTISING,
    WRITING,
    FinishTeller,
    Following,
    Progress,
    ProgressTeller,
)
from givre.coder.fitting.settings import FitSettings


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(progress, "perf_counter", found)
    return found


def test_the_time_left_counts_what_follows_the_fit(clock: Clock) -> None:
    told: list[Progress] = []
    teller = ProgressTeller(told.append, following=Following(quantising=30, writing=10))
    clock.now = 12.0
    teller.tell(60, 100, 0.5, 0.01)
    clock.now = 20.0
    teller.tell(100, 100, 0.5, 0.01)
    assert [state.eta_seconds for state in told] == pytest.approx([0.2 * 80, 0.2 * 40])
    assert [state.fraction for state in told] == [0.6, 1.0]


def test_what_has_been_quantised_tells_how_long_the_rest_takes(clock: Clock) -> None:
    told: list[Progress] = []
    following = Following(quantising=30, writing=10)
    teller = FinishTeller(told.append, 0.5, 30.0, 20.0, 0.2, following)
    teller.quantising(0)
    clock.now = 6.0  # twice as long as half of 30 steps should take
    teller.quantising(0.5)
    teller.writing(0)
    teller.writing(1)
    assert [state.stage for state in told] == [QUANTISING, QUANTISING, WRITING, WRITING]
    assert [state.eta_seconds for state in told] == pytest.approx([8.0, 10.0, 2.0, 0.0])
    assert [state.seconds for state in told] == [20.0, 26.0, 26.0, 26.0]
    assert [state.fraction for state in told] == [0, 0.5, 0, 1]


def test_an_encode_tells_of_all_its_stages() -> None:
    samples = np.random.default_rng(1).integers(0, 256, (12, 16, 3)).astype(np.uint8)
    settings = FitSettings(lmbda=1e-3, steps=3, complexity="lop", threads=1)
    told: list[Progress] = []
    encode_samples(samples, settings, on_progress=told.append)
    stages = [state.stage for state in told if state.stage != progress.COMPILING]
    assert list(dict.fromkeys(stages)) == [FITTING, QUANTISING, WRITING]
    assert stages == sorted(stages)  # they happen to be in the order of the alphabet
    quantising = [state for state in told if state.stage == QUANTISING]
    assert len(quantising) > 3
    for earlier, later in pairwise(quantising):
        assert earlier.fraction <= later.fraction
    assert quantising[-1].fraction == 1
    assert [state.eta_seconds > 0 for state in told if state.stage == FITTING] == [True] * len(
        [stage for stage in stages if stage == FITTING]
    )
    assert told[-1].stage == WRITING
    assert told[-1].eta_seconds == 0
