from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from givre.bitstream.alpha_mask import BETWEEN, OPAQUE, TRANSPARENT
from givre.bitstream.header import Alpha
from givre.coder.transparency import alpha_classes, alpha_kind, has_alpha, with_mask

Samples = NDArray[np.uint8] | NDArray[np.uint16]


def type_of(bit_depth: int) -> type[np.uint8] | type[np.uint16]:
    return np.uint8 if bit_depth == 8 else np.uint16


@st.composite
def pictures(draw: st.DrawFn) -> tuple[Samples, int]:
    """Samples (H, W, 2 or 4) whose alpha is often at an end, and their depth."""
    depth = draw(st.integers(8, 16))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 16)))
    shape = draw(st.integers(1, 6)), draw(st.integers(1, 6)), draw(st.sampled_from([2, 4]))
    samples = rng.integers(0, 1 << depth, shape)
    kinds = draw(st.sampled_from([(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]))
    chosen = rng.choice(kinds, shape[:2])
    ends = np.choose(chosen, [samples[:, :, -1], 0, (1 << depth) - 1])
    samples[:, :, -1] = ends
    return samples.astype(type_of(depth)), depth


@pytest.mark.parametrize(("channels", "expected"), [(1, False), (2, True), (3, False), (4, True)])
def test_even_numbers_of_channels_have_alpha(channels: int, expected: bool) -> None:
    assert has_alpha(channels) is expected


@pytest.mark.parametrize("depth", range(8, 17))
def test_only_the_ends_are_transparent_and_opaque(depth: int) -> None:
    largest = (1 << depth) - 1
    alpha = np.array([[0, 1, 2], [largest - 2, largest - 1, largest]], type_of(depth))
    found = alpha_classes(alpha, depth)
    assert found.dtype == np.uint8
    assert found.tolist() == [[TRANSPARENT, BETWEEN, BETWEEN], [BETWEEN, BETWEEN, OPAQUE]]


def test_white_of_a_lower_depth_is_between() -> None:
    """255 is the largest of 8 bits, and of 9 bits it is half."""
    alpha = np.full((2, 2), 255)
    assert (alpha_classes(alpha.astype(np.uint8), 8) == OPAQUE).all()
    assert (alpha_classes(alpha.astype(np.uint16), 9) == BETWEEN).all()


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ([OPAQUE], Alpha.NONE),
        ([TRANSPARENT], Alpha.MASK),
        ([BETWEEN], Alpha.SOFT),
        ([OPAQUE, TRANSPARENT], Alpha.MASK),
        ([OPAQUE, BETWEEN], Alpha.SOFT),
        ([TRANSPARENT, BETWEEN], Alpha.SOFT),
        ([TRANSPARENT, BETWEEN, OPAQUE], Alpha.SOFT),
    ],
)
def test_what_a_picture_has_to_say(classes: list[int], expected: Alpha) -> None:
    assert alpha_kind(np.array([classes], np.uint8)) is expected
    assert alpha_kind(np.array([[c] for c in classes], np.uint8)) is expected


@settings(max_examples=200, deadline=None)
@given(pictures())
def test_alpha_comes_back_exactly_from_exact_outputs(picture: tuple[Samples, int]) -> None:
    samples, depth = picture
    classes = alpha_classes(samples[:, :, -1], depth)
    kind = alpha_kind(classes)
    if kind is Alpha.NONE:
        return
    outputs = samples if kind is Alpha.SOFT else samples[:, :, :-1]
    before = outputs.copy()
    found = with_mask(outputs, classes, kind, depth)
    assert found.dtype == samples.dtype
    assert np.array_equal(found, samples)
    assert np.array_equal(outputs, before)


@settings(max_examples=200, deadline=None)
@given(pictures(), st.integers(0, 1 << 16))
def test_the_mask_decides_and_outputs_fill_in_between(
    picture: tuple[Samples, int], seed: int
) -> None:
    """Whatever the synthesis makes, classes of the decoded picture are those of the mask."""
    samples, depth = picture
    largest = (1 << depth) - 1
    rng = np.random.default_rng(seed)
    classes = rng.integers(BETWEEN, OPAQUE + 1, samples.shape[:2]).astype(np.uint8)
    found = with_mask(samples, classes, Alpha.SOFT, depth)
    assert np.array_equal(alpha_classes(found[:, :, -1], depth), classes)
    assert np.array_equal(found[:, :, :-1], samples[:, :, :-1])
    between = classes == BETWEEN
    clipped = np.clip(samples[:, :, -1].astype(int), 1, largest - 1)
    assert np.array_equal(found[:, :, -1][between], clipped[between])


@pytest.mark.parametrize("depth", [8, 9, 16])
@pytest.mark.parametrize("colours", [1, 3])
def test_a_mask_alone_adds_a_channel_of_two_values(colours: int, depth: int) -> None:
    outputs = np.arange(6 * colours).reshape(2, 3, colours).astype(type_of(depth))
    classes = np.array([[OPAQUE, TRANSPARENT, OPAQUE], [TRANSPARENT] * 3], np.uint8)
    found = with_mask(outputs, classes, Alpha.MASK, depth)
    assert found.dtype == outputs.dtype
    assert np.array_equal(found[:, :, :-1], outputs)
    largest = (1 << depth) - 1
    assert found[:, :, -1].tolist() == [[largest, 0, largest], [0, 0, 0]]
