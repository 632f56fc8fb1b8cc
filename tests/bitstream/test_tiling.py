from __future__ import annotations

import pytest
from header_cases import tilings
from hypothesis import given
from hypothesis import strategies as st

from givre.bitstream.tiling import (
    MAX_TILES,
    TILE_UNIT,
    Rectangle,
    Tiling,
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
    assert write_tiling(Tiling(64, 64)) == bytes.fromhex("00 00 00")
    assert write_tiling(Tiling(64 * 128, 64 * 129, shared=True)) == bytes.fromhex("01 7f 8001")
    assert write_tiling(Tiling(1 << 20, 1 << 20)) == bytes.fromhex("00 ff7f ff7f")


@given(st.integers(65, 1 << 20), st.integers(1, 1 << 20), st.data(), st.binary(max_size=2))
def test_tilings_come_back_and_leave_the_rest(
    width: int, height: int, data: st.DataObject, rest: bytes
) -> None:
    tiling = data.draw(tilings(width, height))
    reader = ByteReader(write_tiling(tiling) + rest)
    assert read_tiling(reader, width, height) == tiling
    assert reader.position == len(reader.data) - len(rest)


@given(st.binary(min_size=3, max_size=8), SIDES, SIDES)
def test_what_can_be_read_is_what_would_be_written(data: bytes, width: int, height: int) -> None:
    reader = ByteReader(bytes([data[0] & 3]) + data[1:])
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
    tiling = Tiling(columns * TILE_UNIT, rows * TILE_UNIT)
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


def test_tiles_are_named_from_the_upper_left() -> None:
    assert tile_rectangles(100, 70, Tiling(64, 64)) == (
        Rectangle(0, 0, 64, 64),
        Rectangle(64, 0, 36, 64),
        Rectangle(0, 64, 64, 6),
        Rectangle(64, 64, 36, 6),
    )


@pytest.mark.parametrize(("width", "height"), [(1, 1), (100, 70), (1 << 20, 1 << 20)])
def test_a_picture_without_tiles_is_one_rectangle(width: int, height: int) -> None:
    assert tile_rectangles(width, height, None) == (Rectangle(0, 0, width, height),)
    assert n_tiles(width, height, None) == 1


@pytest.mark.parametrize(
    ("width", "height", "tiles"),
    [(64, 64, 1), (65, 64, 2), (64, 65, 2), (129, 65, 6), (1 << 20, 256, MAX_TILES)],
)
def test_the_number_of_tiles(width: int, height: int, tiles: int) -> None:
    assert n_tiles(width, height, Tiling(64, 64)) == tiles


@pytest.mark.parametrize(
    ("width", "height", "tiles"),
    [(1, 1, 1), (64, 64, 1), (1 << 20, 257, 81920), (1 << 20, 1 << 20, 1 << 28)],
)
def test_one_tile_and_too_many_are_refused(width: int, height: int, tiles: int) -> None:
    message = f"the picture has {tiles} tiles, it must have 2 to 65536$"
    with pytest.raises(UsageError, match=f"^{message}"):
        check_tiling(width, height, Tiling(64, 64))
    with pytest.raises(CorruptError, match=f"^impossible tiling at offset 0: {message}"):
        read_tiling(ByteReader(bytes(3)), width, height)


def test_the_fewest_and_the_most_tiles_are_allowed() -> None:
    check_tiling(65, 1, Tiling(64, 64))
    check_tiling(1 << 20, 256, Tiling(64, 64))


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
        ("02 00 00", UnsupportedError, "flags of the tiling at offset 0 are 2"),
        ("80 00 00", UnsupportedError, "are 128; this decoder knows 0 and 1"),
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
