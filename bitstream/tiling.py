"""How a picture is cut into tiles, which are decoded independently of each other."""

from __future__ import annotations

from dataclasses import dataclass

from givre.bitstream.varint import ByteReader, encode_varint
from givre.errors import CorruptError, UnsupportedError, UsageError

TILE_UNIT = 64
"""Sides of tiles are multiples of so many pixels, so that every tile begins on every grid's raster
up to level 6, and in pictures of 1/2, 1/4 and 1/8 of the size."""

MAX_TILES = 1 << 16
"""Most tiles that a picture may have: a few bytes of a file must not stand for millions."""

_MAX_UNITS = (1 << 20) // TILE_UNIT


@dataclass(frozen=True)
class Rectangle:
    """A part of a picture, in pixels.

    Attributes:
        x: first column.
        y: first row.
        width: columns, 1 or more.
        height: rows, 1 or more.
    """

    x: int
    y: int
    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.width * self.height


@dataclass(frozen=True)
class Tiling:
    """Sides of the tiles; UsageError if a file cannot say them.

    Tiles lie row by row from the top left. Those at the right and at the bottom are smaller where
    the picture ends.

    Attributes:
        width: columns of a tile, a multiple of 64, 64 to 2^20.
        height: rows of a tile, a multiple of 64, 64 to 2^20.
        shared: whether all tiles have the same parameters, which the file holds once.
    """

    width: int
    height: int
    shared: bool = False

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            side = getattr(self, name)
            if side % TILE_UNIT or not 1 <= side // TILE_UNIT <= _MAX_UNITS:
                raise UsageError(
                    f"the {name} of tiles is {side}, it must be a multiple of {TILE_UNIT} "
                    f"of {TILE_UNIT} to {_MAX_UNITS * TILE_UNIT}"
                )


def tile_rectangles(width: int, height: int, tiling: Tiling | None) -> tuple[Rectangle, ...]:
    """Where the tiles of a picture lie, in the order of the file; the whole picture without any."""
    if tiling is None:
        return (Rectangle(0, 0, width, height),)
    return tuple(
        Rectangle(x, y, min(tiling.width, width - x), min(tiling.height, height - y))
        for y in range(0, height, tiling.height)
        for x in range(0, width, tiling.width)
    )


def n_tiles(width: int, height: int, tiling: Tiling | None) -> int:
    """Number of tiles of a picture, 1 without a tiling."""
    if tiling is None:
        return 1
    return -(-width // tiling.width) * -(-height // tiling.height)


def check_tiling(width: int, height: int, tiling: Tiling) -> None:
    """Raise UsageError if a picture of this size has one tile or more than 2^16."""
    found = n_tiles(width, height, tiling)
    if not 2 <= found <= MAX_TILES:
        raise UsageError(f"the picture has {found} tiles, it must have 2 to {MAX_TILES}")


def write_tiling(tiling: Tiling) -> bytes:
    """Code a tiling: a byte of flags, then both sides in units of 64 pixels, less 1."""
    sides = (tiling.width // TILE_UNIT - 1, tiling.height // TILE_UNIT - 1)
    return bytes([int(tiling.shared)]) + b"".join(map(encode_varint, sides))


def read_tiling(reader: ByteReader, width: int, height: int) -> Tiling:
    """Read the tiling of a picture of width x height pixels.

    The number of tiles is looked at here, before a table of them is read: a table takes memory.

    Raises:
        UnsupportedError: a flag is set that this version does not know.
        CorruptError: a side is longer than 2^20 pixels, or the picture has one tile or more than
            2^16.
        TruncatedError: the file ends within.
    """
    start = reader.position
    flags = reader.u8("flags of the tiling")
    if flags > 1:
        raise UnsupportedError(
            f"the flags of the tiling at offset {start} are {flags}; this decoder knows 0 and 1"
        )
    tile_width = reader.varint("width of the tiles") + 1
    tile_height = reader.varint("height of the tiles") + 1
    try:
        tiling = Tiling(tile_width * TILE_UNIT, tile_height * TILE_UNIT, bool(flags))
        check_tiling(width, height, tiling)
    except UsageError as error:
        raise CorruptError(f"impossible tiling at offset {start}: {error}") from None
    return tiling
