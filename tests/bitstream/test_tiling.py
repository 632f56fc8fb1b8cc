from __future__ import annotations

import pytest
from header_cases import tilings
from hypothesis import given
from hypothesis import strategies as st

from givre.bitstream.tiling import (
    MAX_TILES,
    OVERLAP,
    TILE_UNIT,
    Rectangle,
    Tiling,
    blend_weights,
    check_tiling,
    n_tiles,
    read_tiling,
    tile_rectangles,
    write_tiling,
)
from givre.bitstream.varint import ByteReader
from givre.errors import BitstreamError, CorruptError, TruncatedError, UnsupportedError, UsageError

SIDES = st.integers(1, 700)
UNITS = st.integers(1, 8)


def test_golden_tilings() -> None:
    assert write_tiling(Tiling(64, 64, overlap=0)) == bytes.fromhex("00 00 00")
    assert write_tiling(Tiling(64, 128)) == bytes.fromhex("02 00 01")
    shared = Tiling(64 * 128, 64 * 129, shared=True, overlap=0)
    assert write_tiling(shared) == bytes.fromhex("01 7f 8001")
    assert write_tiling(Tiling(1 << 20, 1 << 20, shared=True)) == bytes.fromhex("03 ff7f ff7f")


@given(st.integers(65, 1 << 20), st.integers(1, 1 << 20), st.data(), st.binary(max_size=2))
def test_tilings_come_back_and_leave_the_rest(
    width: int, height: int, data: st.DataObject, rest: bytes
) -> None:
    tiling = data.draw(tilings(width, height))
    reader = ByteReader(write_tiling(tiling) + rest)
    assert read_tiling(reader, width, height) == tiling
    assert reader.position == len(reader.data) - len(rest)


@given(
    st.lists(st.sampled_from([0, 1, 2, 3, 4, 127, 128, 129]), min_size=3, max_size=8), SIDES, SIDES
)
def test_what_can_be_read_is_what_would_be_written(
    data: list[int], width: int, height: int
) -> None:
    reader = ByteReader(bytes(data))
    try:
        tiling = read_tiling(reader, width, height)
    except BitstreamError:
        return
    assert write_tiling(tiling) == reader.data[: reader.position]
    check_tiling(width, height, tiling)


@given(SIDES, SIDES, UNITS, UNITS)
def test_tiles_cover_every_pixel_once_row_by_row(
    width: int, height: int, columns: int, rows: int
) -> None:
    tiling = Tiling(columns * TILE_UNIT, rows * TILE_UNIT, overlap=0)
    found = tile_rectangles(width, height, tiling)
    assert len(found) == n_tiles(width, height, tiling)
    assert sum(where.pixels for where in found) == width * height
    assert list(found) == sorted(found, key=lambda where: (where.y, where.x))
    for where in found:
        assert where.x % tiling.width == where.y % tiling.height == 0
        # Only the last ones are cut off.
        assert where.width == tiling.width or where.x + where.width == width
        assert where.height == tiling.height or where.y + where.height == height
        assert min(where.width, where.height) >= 1


@given(SIDES, SIDES, UNITS, UNITS)
def test_tiles_that_overlap_are_eight_pixels_larger(
    width: int, height: int, columns: int, rows: int
) -> None:
    """On every side where there is another tile, as far as the picture goes."""
    apart, over = (
        tile_rectangles(width, height, Tiling(columns * 64, rows * 64, overlap=overlap))
        for overlap in (0, OVERLAP)
    )
    for one, other in zip(apart, over, strict=True):
        assert other.x == max(0, one.x - 8)
        assert other.y == max(0, one.y - 8)
        right, bottom = one.x + one.width, one.y + one.height
        assert other.x + other.width == (width if right == width else min(width, right + 8))
        assert other.y + other.height == (height if bottom == height else min(height, bottom + 8))


@pytest.mark.parametrize("overlap", [0, OVERLAP])
def test_tiles_are_named_from_the_upper_left(overlap: int) -> None:
    expected = {
        0: ((0, 0, 64, 64), (64, 0, 36, 64), (0, 64, 64, 6), (64, 64, 36, 6)),
        8: ((0, 0, 72, 70), (56, 0, 44, 70), (0, 56, 72, 14), (56, 56, 44, 14)),
    }
    found = tile_rectangles(100, 70, Tiling(64, 64, overlap=overlap))
    assert found == tuple(Rectangle(*numbers) for numbers in expected[overlap])


@given(SIDES, UNITS, st.sampled_from([1, 2, 4, 8]))
def test_weights_of_all_tiles_sum_up(width: int, columns: int, scale: int) -> None:
    """In pictures of every size that a decoder makes; a tile's own middle is its alone."""
    side = columns * TILE_UNIT // scale
    whole, overlap = -(-width // scale), OVERLAP // scale
    sums = [0] * whole
    for where in tile_rectangles(width, 1, Tiling(columns * TILE_UNIT, 64)):
        first, end = where.x // scale, -(-(where.x + where.width) // scale)
        weights = blend_weights(first, end - first, whole, side, overlap)
        assert len(weights) == end - first
        assert all(0 < weight <= 4 * overlap for weight in weights)
        for place, weight in enumerate(weights, first):
            sums[place] += weight
    assert sums == [4 * overlap] * whole


def test_golden_weights() -> None:
    """Across a border the one falls by two as the other rises, sixteen pixels long."""
    odd = list(range(1, 32, 2))
    assert blend_weights(0, 72, 128, 64, 8) == [32] * 56 + odd[::-1]
    assert blend_weights(56, 72, 128, 64, 8) == odd + [32] * 56
    assert blend_weights(56, 80, 300, 64, 8) == odd + [32] * 48 + odd[::-1]
    assert blend_weights(28, 36, 64, 32, 4) == odd[:8] + [16] * 28
    assert blend_weights(7, 9, 16, 8, 1) == [1, 3] + [4] * 7
    assert blend_weights(64, 64, 128, 64, 0) == [1] * 64


@pytest.mark.parametrize("overlap", [-8, 1, 7, 16])
def test_overlaps_that_there_are_not(overlap: int) -> None:
    with pytest.raises(UsageError, match=f"^the overlap of tiles is {overlap}, it must be 0 or 8$"):
        Tiling(64, 64, overlap=overlap)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (100, 70), (1 << 20, 1 << 20)])
def test_a_picture_without_tiles_is_one_rectangle(width: int, height: int) -> None:
    assert tile_rectangles(width, height, None) == (Rectangle(0, 0, width, height),)
    assert n_tiles(width, height, None) == 1


@pytest.mark.parametrize(
    ("width", "height", "tiles"),
    [(64, 64, 1), (65, 64, 2), (64, 65, 2), (129, 65, 6), (1 << 18, 64, MAX_TILES)],
)
def test_the_number_of_tiles(width: int, height: int, tiles: int) -> None:
    assert n_tiles(width, height, Tiling(64, 64)) == tiles


@pytest.mark.parametrize(
    ("width", "height", "tiles"),
    [(1, 1, 1), (64, 64, 1), (1 << 20, 257, 81920), (1 << 20, 1 << 20, 1 << 28)],
)
def test_one_tile_and_too_many_are_refused(width: int, height: int, tiles: int) -> None:
    message = f"the picture has {tiles} tiles, it must have 2 to 4096$"
    with pytest.raises(UsageError, match=f"^{message}"):
        check_tiling(width, height, Tiling(64, 64))
    with pytest.raises(CorruptError, match=f"^impossible tiling at offset 0: {message}"):
        read_tiling(ByteReader(bytes(3)), width, height)


def test_the_fewest_and_the_most_tiles_are_allowed() -> None:
    check_tiling(65, 1, Tiling(64, 64))
    check_tiling(1 << 18, 64, Tiling(64, 64))


@pytest.mark.parametrize("side", [-64, 0, 1, 63, 65, 96, (1 << 20) + 64, 1 << 40])
def test_sides_that_tiles_cannot_have(side: int) -> None:
    message = f"of tiles is {side}, it must be a multiple of 64 of 64 to 1048576$"
    with pytest.raises(UsageError, match=f"^the width {message}"):
        Tiling(side, 64)
    with pytest.raises(UsageError, match=f"^the height {message}"):
        Tiling(64, side)


@pytest.mark.parametrize(
    ("data", "expected", "message"),
    [
        ("00 808001 00", CorruptError, "the width of tiles is 1048640"),
        ("00 00 808001", CorruptError, "the height of tiles is 1048640"),
        ("01 ffffffff0f 00", CorruptError, "the width of tiles is 274877906944"),
        ("00 8000 00", CorruptError, "width of the tiles at offset 1 has needless zero bytes"),
        ("00 ffffffffff 00", CorruptError, "takes more than 5 bytes"),
        ("04 00 00", UnsupportedError, "flags of the tiling at offset 0 are 4"),
        ("80 00 00", UnsupportedError, "are 128; this decoder knows 0 to 3"),
    ],
)
def test_values_that_no_encoder_writes(data: str, expected: type[Exception], message: str) -> None:
    with pytest.raises(expected, match=f"{message}[^\n]*$"):
        read_tiling(ByteReader(bytes.fromhex(data)), 1000, 1000)


@pytest.mark.parametrize("length", range(5))
def test_every_cut_is_reported_as_missing_bytes(length: int) -> None:
    data = write_tiling(Tiling(64 * 129, 64 * 129))
    assert len(data) == 5
    with pytest.raises(TruncatedError, match=r"inside the (flags|width|height) of the til"):
        read_tiling(ByteReader(data[:length]), 1 << 20, 1 << 20)
