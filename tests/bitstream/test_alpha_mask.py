"""The mask section against a decoder that goes pixel by pixel, and against hostile bytes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from reference_rangecoder import ReferenceDecoder

from givre.bitstream.alpha_mask import (
    BETWEEN,
    N_STATES,
    OPAQUE,
    TRANSPARENT,
    read_mask,
    write_mask,
)
from givre.errors import CorruptError

Classes = NDArray[np.uint8]

# --- the reference ------------------------------------------------------------------------------

NEIGHBOURS = [(0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0)]
THRESHOLDS = [round(2**23 * math.exp(-(k + 0.5) / 4)) for k in range(40)]


class ReferenceDecision:
    """A decision's counts, in a dictionary from the neighbours' classes."""

    def __init__(self) -> None:
        self.counts: dict[tuple[int, ...], list[int]] = {}
        self.new: list[tuple[tuple[int, ...], int]] = []

    def decode(self, decoder: ReferenceDecoder, pattern: tuple[int, ...]) -> int:
        zeros, ones = self.counts.get(pattern, [1, 1])
        rarer = (min(zeros, ones) << 24) // (zeros + ones)
        skew = sum(1 for threshold in THRESHOLDS if threshold > rarer)
        sign = 1 if ones > zeros else -1
        outcome = decoder.symbol(0, 1, 0.5 + sign * skew / 4, 1.0)
        self.new.append((pattern, outcome))
        return outcome

    def end_wave(self) -> None:
        """Only now the outcomes of a wave are counted."""
        for pattern, outcome in self.new:
            self.counts.setdefault(pattern, [1, 1])[outcome] += 2
        for pattern, _ in self.new:
            zeros, ones = self.counts[pattern]
            if zeros + ones > 16384:
                self.counts[pattern] = [(zeros + 1) // 2, (ones + 1) // 2]
        self.new = []


def reference_read(data: bytes, width: int, height: int, has_between: bool) -> Classes:
    """Decode a mask with loops over waves and pixels."""
    found: dict[tuple[int, int], int] = {}
    decoder, is_end, is_opaque = ReferenceDecoder(data), ReferenceDecision(), ReferenceDecision()
    for wave in range(width + 2 * height):
        pixels = [(y, wave - 2 * y) for y in range(height) if 0 <= wave - 2 * y < width]
        patterns = {
            (y, x): tuple(found.get((y + dy, x + dx), 0) for dy, dx in NEIGHBOURS)
            for y, x in pixels
        }
        if has_between:
            pixels = [at for at in pixels if is_end.decode(decoder, patterns[at])]
        for at in pixels:
            found[at] = 1 + is_opaque.decode(decoder, patterns[at])
        is_end.end_wave()
        is_opaque.end_wave()
    classes = np.zeros((height, width), np.uint8)
    for (y, x), value in found.items():
        classes[y, x] = value
    return classes


# --- masks --------------------------------------------------------------------------------------


def disc(width: int, height: int) -> Classes:
    """Opaque inside, transparent outside, and a ring of soft pixels."""
    y, x = np.mgrid[:height, :width]
    radius = np.hypot(y - height / 2 + 0.5, x - width / 2 + 0.5) / (min(width, height) / 3)
    classes = np.full((height, width), BETWEEN, np.uint8)
    classes[radius < 0.9] = OPAQUE
    classes[radius > 1.1] = TRANSPARENT
    return classes


@st.composite
def masks(draw: st.DrawFn, has_between: bool) -> Classes:
    """Random, constant, striped and checked ones, thin ones too."""
    sides = st.sampled_from([1, 2, 3]) | st.integers(1, 24)
    height, width = draw(sides), draw(sides)
    low = BETWEEN if has_between else TRANSPARENT
    kind = draw(st.sampled_from(["random", "constant", "rows", "columns", "checked", "rare"]))
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(draw(st.integers(0, 1 << 16)))
    n = OPAQUE + 1 - low
    found = {
        "random": low + rng.integers(0, n, (height, width)),
        "constant": np.full((height, width), draw(st.integers(low, OPAQUE))),
        "rows": low + y // draw(st.integers(1, 5)) % n,
        "columns": low + x // draw(st.integers(1, 5)) % n,
        "checked": low + (x // 2 + y // 3) % n,
        "rare": np.where(rng.random((height, width)) < 0.03, low, OPAQUE),
    }
    return found[kind].astype(np.uint8)


BOTH = [False, True]


@pytest.mark.parametrize("has_between", BOTH)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_masks_come_back_by_both_decoders(has_between: bool, data: st.DataObject) -> None:
    classes = data.draw(masks(has_between))
    height, width = classes.shape
    coded = write_mask(classes, has_between)
    found = read_mask(coded, width, height, has_between)
    assert found.dtype == np.uint8
    assert found.shape == classes.shape
    assert np.array_equal(found, classes)
    assert np.array_equal(reference_read(coded, width, height, has_between), classes)
    assert not coded.endswith(b"\0")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40), st.integers(1, 20), st.integers(1, 20), st.booleans())
@example(b"\xff" * 40, 20, 20, True)
@example(b"\xff" * 40, 20, 1, False)
@example(b"", 1, 1, True)
def test_random_bytes_are_a_mask_or_corrupt(
    data: bytes, width: int, height: int, has_between: bool
) -> None:
    """And the mask is the one that the reference sees in them."""
    try:
        found = read_mask(data, width, height, has_between)
    except CorruptError as error:
        hostile = data.endswith(b"\0") or "no encoder writes" in str(error)
        if not hostile:
            raise
        return
    assert found.shape == (height, width)
    assert found.min() >= (BETWEEN if has_between else TRANSPARENT)
    assert found.max() <= OPAQUE
    assert np.array_equal(found, reference_read(data, width, height, has_between))


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_damage_is_read_as_the_reference_reads_it(data: st.DataObject) -> None:
    coded = bytearray(write_mask(disc(24, 20), has_between=True))
    place = data.draw(st.integers(0, len(coded) - 1))
    coded[place] ^= data.draw(st.integers(1, 255))
    damaged = bytes(coded).rstrip(b"\0")
    try:
        expected = reference_read(damaged, 24, 20, has_between=True)
    except ValueError:
        with pytest.raises(CorruptError, match="no encoder writes"):
            read_mask(damaged, 24, 20, has_between=True)
        return
    assert np.array_equal(read_mask(damaged, 24, 20, has_between=True), expected)


@pytest.mark.parametrize("has_between", BOTH)
def test_counts_that_become_large_are_halved(has_between: bool) -> None:
    """More than 8192 pixels have one pattern, then come some of the other outcome."""
    classes = np.full((150, 140), OPAQUE, np.uint8)
    classes[120:, 60:] = TRANSPARENT
    classes[140:] = BETWEEN if has_between else OPAQUE
    coded = write_mask(classes, has_between)
    assert np.array_equal(read_mask(coded, 140, 150, has_between), classes)
    assert np.array_equal(reference_read(coded, 140, 150, has_between), classes)


def test_the_sum_of_two_counts_may_be_as_large_as_the_limit() -> None:
    """A row has a pixel a wave, so the sum takes every even value, and what follows is noise."""
    rng = np.random.default_rng(1)
    row = np.full((1, 8300), OPAQUE, np.uint8)
    row[0, [3000, 6000]] = TRANSPARENT
    row[0, 8230:] = rng.integers(TRANSPARENT, OPAQUE + 1, 70)
    coded = write_mask(row, has_between=False)
    assert np.array_equal(read_mask(coded, 8300, 1, has_between=False), row)
    assert np.array_equal(reference_read(coded, 8300, 1, has_between=False), row)


# --- golden bytes -------------------------------------------------------------------------------


def test_golden_sections() -> None:
    soft, alone = disc(13, 11), np.where(disc(13, 11) == OPAQUE, OPAQUE, TRANSPARENT)
    assert write_mask(soft, has_between=True).hex() == GOLDEN_SOFT
    assert write_mask(alone.astype(np.uint8), has_between=False).hex() == GOLDEN_ALONE


GOLDEN_SOFT = "acbd1db80db566819d1fa367ca29324db83e3b66"
GOLDEN_ALONE = "00052bdef484aed83373"


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 300), (300, 1), (90, 70)])
def test_what_is_all_between_takes_no_byte(width: int, height: int) -> None:
    assert write_mask(np.full((height, width), BETWEEN, np.uint8), has_between=True) == b""
    assert not read_mask(b"", width, height, has_between=True).any()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 300), (90, 70)])
def test_what_is_all_transparent_takes_no_byte_without_between(width: int, height: int) -> None:
    classes = np.full((height, width), TRANSPARENT, np.uint8)
    assert write_mask(classes, has_between=False) == b""
    assert np.array_equal(read_mask(b"", width, height, has_between=False), classes)


# --- what it costs ------------------------------------------------------------------------------


def test_even_the_surest_decision_leaves_the_other_outcome() -> None:
    """A lone pixel amid thousands of others costs what its skew says, and a few bytes around."""
    classes = np.full((100, 100), OPAQUE, np.uint8)
    plain = len(write_mask(classes, has_between=False))
    classes[70, 60] = TRANSPARENT
    assert np.array_equal(read_mask(write_mask(classes, False), 100, 100, False), classes)
    bits = (N_STATES - 1) / 4 / math.log(2) + 1
    assert plain < len(write_mask(classes, has_between=False)) < plain + 2 * bits / 8 + 12


def test_simple_shapes_are_cheap() -> None:
    """A disc's outline has some 840 pixels; 40 000 pixels would be 5000 bytes of single bits."""
    alone = np.where(disc(200, 200) == OPAQUE, OPAQUE, TRANSPARENT).astype(np.uint8)
    assert len(write_mask(alone, has_between=False)) < 160
    stripes = np.tile(np.repeat([TRANSPARENT, OPAQUE], 8), (100, 20)).astype(np.uint8)
    assert len(write_mask(stripes, has_between=False)) < 160


def test_noise_costs_little_more_than_its_bits() -> None:
    noise = np.random.default_rng(1).integers(TRANSPARENT, OPAQUE + 1, (100, 100)).astype(np.uint8)
    assert 10_000 / 8 <= len(write_mask(noise, has_between=False)) + 2 < 1.04 * 10_000 / 8


def test_a_final_zero_byte_is_corrupt() -> None:
    with pytest.raises(CorruptError, match="ends in a zero byte"):
        read_mask(b"\1\0", 3, 3, has_between=True)


def test_a_point_past_the_last_decision_is_corrupt() -> None:
    with pytest.raises(CorruptError, match="no encoder writes"):
        read_mask(b"\xff" * 12, 3, 3, has_between=False)
