from __future__ import annotations

from math import inf, log10

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from givre.coder.files.picture import AnySamples
from givre.coder.psnr import constant_error, mean_squared_error, psnr_db


def samples(depth: int, seed: int, shape: tuple[int, int, int] = (7, 5, 3)) -> AnySamples:
    found = np.random.default_rng(seed).integers(0, 1 << depth, shape)
    return found.astype(np.uint8) if depth == 8 else found.astype(np.uint16)


def test_the_error_of_opposite_ends_is_one_at_every_depth() -> None:
    for depth in range(8, 17):
        largest = (1 << depth) - 1
        black = np.zeros((3, 4, 3), np.uint8 if depth == 8 else np.uint16)
        white = black + black.dtype.type(largest)
        assert mean_squared_error(black, white, largest) == pytest.approx(1, abs=1e-15)
        assert mean_squared_error(white, black, largest) == pytest.approx(1, abs=1e-15)
        assert psnr_db(mean_squared_error(black, white, largest)) == pytest.approx(0, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(8, 16), st.integers(0, 999), st.sampled_from([1, 3]))
def test_errors_are_the_weighted_means(depth: int, seed: int, channels: int) -> None:
    shape = (7, 5, channels)
    a, b = samples(depth, seed, shape), samples(depth, seed + 1, shape)
    largest = (1 << depth) - 1
    squares = ((a.astype(float) - b) / largest) ** 2
    assert mean_squared_error(a, b, largest) == pytest.approx(squares.mean(), rel=1e-12)
    opacity = np.random.default_rng(seed).random((7, 5)).astype(np.float32)
    expected = np.average(squares.mean(axis=2), weights=opacity.astype(float))
    found = mean_squared_error(a, b, largest, opacity)
    assert found == pytest.approx(expected, rel=1e-12)


def test_hidden_pixels_do_not_count() -> None:
    a = samples(10, 1)
    b, opacity = a.copy(), np.ones((7, 5), np.float32)
    b[2, 3], opacity[2, 3] = 1023 - a[2, 3], 0
    assert mean_squared_error(a, b, 1023) > 0
    assert mean_squared_error(a, b, 1023, opacity) == 0
    assert psnr_db(mean_squared_error(a, b, 1023, opacity)) == inf


def test_equal_opacity_of_all_pixels_is_no_opacity() -> None:
    a, b = samples(8, 1), samples(8, 2)
    for value in (1, 0.25):
        opacity = np.full((7, 5), value, np.float32)
        found = mean_squared_error(a, b, 255, opacity)
        assert found == pytest.approx(mean_squared_error(a, b), rel=1e-12)


def test_what_is_not_seen_has_no_error() -> None:
    nothing = np.zeros((7, 5), np.float32)
    assert mean_squared_error(samples(8, 1), samples(8, 2), 255, nothing) == 0
    assert constant_error(samples(8, 1), 255, nothing) == 0


def test_pictures_of_many_rows_are_taken_in_bands() -> None:
    """The sum is that of all rows, and no band counts twice."""
    a, b = samples(8, 1, (600, 2, 1)), samples(8, 2, (600, 2, 1))
    opacity = np.linspace(0, 1, 600, dtype=np.float32)[:, None].repeat(2, axis=1)
    squares = ((a.astype(float) - b) / 255) ** 2
    assert mean_squared_error(a, b) == pytest.approx(squares.mean(), rel=1e-12)
    expected = np.average(squares[:, :, 0], weights=opacity.astype(float))
    assert mean_squared_error(a, b, 255, opacity) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("mse", [1.0, 0.5, 1e-3, 1e-9])
def test_decibels(mse: float) -> None:
    assert psnr_db(mse) == pytest.approx(-10 * log10(mse))


@settings(max_examples=60, deadline=None)
@given(st.integers(8, 16), st.integers(0, 999), st.booleans(), st.integers(-3, 3))
def test_no_constant_image_is_better_than_the_best(
    depth: int, seed: int, weighted: bool, away: int
) -> None:
    a, largest = samples(depth, seed), (1 << depth) - 1
    opacity = None
    if weighted:
        opacity = (np.random.default_rng(seed).random((7, 5)) ** 3).astype(np.float32)
    best = constant_error(a, largest, opacity)
    mean = np.average(
        a.reshape(-1, 3), axis=0, weights=None if opacity is None else opacity.ravel()
    )
    other = np.empty_like(a)
    other[:] = np.clip(np.round(mean) + away, 0, largest)
    assert best <= mean_squared_error(a, other, largest, opacity) * (1 + 1e-12)
    if away == 0:
        assert best == mean_squared_error(a, other, largest, opacity)


def test_a_constant_picture_has_no_constant_error() -> None:
    assert constant_error(np.full((4, 4, 3), 65535, np.uint16), 65535) == 0


def test_hidden_samples_do_not_move_the_constant() -> None:
    a, opacity = np.full((4, 4, 1), 30, np.uint8), np.ones((4, 4), np.float32)
    a[0, :2], opacity[0, :2] = 255, 0
    assert constant_error(a, 255, opacity) == 0
    assert constant_error(a, 255) > 0
