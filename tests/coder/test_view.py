"""Regions, smaller sizes, and what a cut file shows."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from places import CONFORMANCE

import givre
from givre.bitstream.container import unpack
from givre.bitstream.tiling import Rectangle
from givre.coder.decoder import decode_picture
from givre.coder.partial import decode_partial
from givre.coder.view import View, reduced
from givre.errors import LimitError, TruncatedError, UsageError

PIXELS = json.loads((CONFORMANCE / "pixels.json").read_text())
TILED = ["tiles", "tiles-alpha", "tiles-16-bits-metadata", "tiles-no-overlap"]
WHOLE = ["random-hop-65x63x3", "alpha-soft-4-outputs-8-bits", "depth-12-range-code-2"]


def stream(name: str) -> bytes:
    return (CONFORMANCE / f"{name}.givre").read_bytes()


@pytest.mark.parametrize("name", [*TILED, *WHOLE])
def test_a_region_is_that_part_of_the_picture(name: str) -> None:
    whole = givre.decode_array(stream(name))
    height, width = whole.shape[:2]
    for x, y, w, h in [
        (0, 0, 1, 1),
        (width // 3, height // 4, width // 2, height // 2),
        (width - 5, height - 3, 5, 3),
        (0, 0, width, height),
    ]:
        found = givre.decode_array(stream(name), region=(x, y, w, h))
        np.testing.assert_array_equal(found, whole[y : y + h, x : x + w])


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("name", [*TILED, *WHOLE])
def test_a_smaller_picture_is_the_whole_one_made_smaller(name: str, scale: int) -> None:
    data = stream(name)
    whole = givre.decode_array(data)
    expected = reduced(whole, scale)
    found = givre.decode_array(data, scale=scale)
    assert found.shape == expected.shape
    if unpack(data).header.tiling is None or name == "tiles-no-overlap":
        np.testing.assert_array_equal(found, expected)
    else:  # tiles are made smaller before they go over into each other
        largest = np.iinfo(found.dtype).max
        error = np.abs(found.astype(float) - expected)[:, :, : 3 - found.shape[2] % 2]
        assert error.mean() < 0.004 * largest
    part = givre.decode_array(data, scale=scale, region=(9, 5, 11, 7))
    rows, columns = slice(5 // scale, -(-12 // scale)), slice(9 // scale, -(-20 // scale))
    np.testing.assert_array_equal(part, found[rows, columns])


def test_means_of_squares_that_are_cut_and_of_colours_that_nobody_sees() -> None:
    samples = np.array(
        [[[10, 255], [30, 255], [7, 255]], [[20, 255], [255, 0], [8, 255]]], np.uint8
    )
    # Halves are rounded up; the transparent pixel lowers alpha and leaves the colour alone.
    assert reduced(samples, 2).tolist() == [[[20, 191], [8, 255]]]
    transparent = np.array([[[10, 0], [20, 0]]], np.uint8)
    assert reduced(transparent, 2).tolist() == [[[15, 0]]]
    assert reduced(samples[:, :, :1], 8).tolist() == [[[55]]]


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ({"scale": 3}, "must be 1, 1/2, 1/4 or 1/8"),
        ({"region": Rectangle(0, 0, 0, 5)}, "must have a width and a height"),
        ({"region": Rectangle(-1, 0, 2, 5)}, "must have a width and a height"),
    ],
)
def test_impossible_views(view: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        View(**view)


def test_a_region_outside_of_the_picture() -> None:
    with pytest.raises(UsageError, match=r"100,60,51,30, it must lie within the 150 x 90 pixels"):
        givre.decode_array(stream("tiles"), region=(100, 60, 51, 30))


def test_only_what_is_shown_counts_for_the_limit() -> None:
    data = stream("tiles")
    with pytest.raises(LimitError):
        decode_picture(data, max_pixels=150 * 90 - 1)
    assert decode_picture(data, view=View(scale=2), max_pixels=80 * 80).samples.shape == (45, 75, 3)
    with pytest.raises(LimitError):  # a tile has to be decoded all the same
        decode_picture(data, view=View(Rectangle(0, 0, 1, 1)), max_pixels=80 * 80 - 1)


@pytest.mark.parametrize("name", TILED)
def test_tiles_of_a_cut_file_that_arrived_are_shown(name: str) -> None:
    data = stream(name)
    whole = decode_picture(data)
    header = unpack(data).header
    seen = []
    for cut in range(len(data) // 4, len(data), len(data) // 9):
        found = decode_partial(data[:cut])
        assert found.picture.samples.shape == whole.samples.shape
        assert not found.is_whole
        assert 0 <= found.tiles <= found.all_tiles == len(header.tiles)
        seen.append(found.tiles)
        if found.tiles:  # the first tile, away from its borders to others
            np.testing.assert_array_equal(found.picture.samples[:50, :50], whole.samples[:50, :50])
    assert seen == sorted(seen)
    assert seen[-1] >= 4


def test_a_whole_file_is_shown_with_its_metadata() -> None:
    data = stream("tiles-16-bits-metadata")
    found, whole = decode_partial(data), decode_picture(data)
    assert found.is_whole
    assert found.picture.metadata == whole.metadata
    np.testing.assert_array_equal(found.picture.samples, whole.samples)
    cut = decode_partial(data[:-10])
    assert not cut.is_whole
    assert "after its pixels, which are whole" in cut.shown()
    np.testing.assert_array_equal(cut.picture.samples, whole.samples)


def test_coarse_grids_of_a_cut_file_are_shown() -> None:
    data = stream("fitted-hop-32x24x3")
    numbers = [decode_partial(data[:cut]).grids for cut in range(len(data) - 60, len(data) - 4, 9)]
    assert numbers == sorted(numbers)
    assert 0 < numbers[-1] <= 10
    assert decode_partial(data[:-1]).tiles == 1  # the checksum alone is cut


def test_a_file_that_is_cut_before_anything_can_be_shown() -> None:
    data = stream("tiles")
    with pytest.raises(TruncatedError, match="before anything that can be shown"):
        decode_partial(data[:120])
    with pytest.raises(TruncatedError):
        decode_partial(data[:9])


def test_python_raises_unless_a_part_will_do(caplog: pytest.LogCaptureFixture) -> None:
    data = stream("tiles")[:-900]
    with pytest.raises(TruncatedError):
        givre.decode(data)
    with caplog.at_level(logging.WARNING):
        assert givre.decode(data, partial=True).size == (150, 90)
    assert "the file is cut: 5 of 6 tiles" in caplog.text
