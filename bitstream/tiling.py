"""How a picture is cut into tiles, which are decoded independently of each other."""

from __future__ import annotations

from dataclasses import dataclass

from givre.bitstream.varint import ByteReader, encode_varint
from givre.errors import CorruptError, UnsupportedError, UsageError

TILE_UNIT = 64
"""Sides of tiles are multiples of so many pixels, so that every tile begins on every grid's raster
up to level 6, and in pictures of 1/2, 1/4 and 1/8 of the size."""

OVERLAP = 8
"""Pixels that tiles which overlap have beyond each border to another tile."""

MAX_TILES = 1 << 12
"""Most tiles that a picture may have: each takes some milliseconds, however few bytes it has."""

_SHARED, _OVERLAPPING = 1, 2
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
        overlap: 8 or 0, pixels that a tile has beyond each border to another one. Across a border
            one tile then goes over into the other.
    """

    width: int
    height: int
    shared: bool = False
    overlap: int = OVERLAP

    def __post_init__(self) -> None:
        if self.overlap not in (0, OVERLAP):
            raise UsageError(f"the overlap of tiles is {self.overlap}, it must be 0 or {OVERLAP}")
        for name in ("width", "height"):
            side = getattr(self, name)
            if side % TILE_UNIT or not 1 <= side // TILE_UNIT <= _MAX_UNITS:
                raise UsageError(
                    f"the {name} of tiles is {side}, it must be a multiple of {TILE_UNIT} "
                    f"of {TILE_UNIT} to {_MAX_UNITS * TILE_UNIT}"
                )


def tile_rectangles(width: int, height: int, tiling: Tiling | None) -> tuple[Rectangle, ...]:
    """What the tiles of a picture cover, in the order of the file; the whole picture without any.

    They overlap if the tiling says so.
    """
    if tiling is None:
        return (Rectangle(0, 0, width, height),)
    columns = _spans(width, tiling.width, tiling.overlap)
    return tuple(
        Rectangle(left, top, right - left, bottom - top)
        for top, bottom in _spans(height, tiling.height, tiling.overlap)
        for left, right in columns
    )


def _spans(length: int, side: int, overlap: int) -> list[tuple[int, int]]:
    """First and last place, the latter excluded, of the tiles along one axis."""
    return [
        (max(first - overlap, 0), min(first + side + overlap, length))
        for first in range(0, length, side)
    ]


def blend_weights(first: int, length: int, whole: int, side: int, overlap: int) -> list[int]:
    """How much each column or row of a tile counts in the picture, of 4 times the overlap.

    Across a border the weight of one tile falls in equal steps, and that of the next one rises. The
    weights of all tiles that cover a place sum up to 4 times the overlap, or to 1 without one.

    Args:
        first: place of the tile's first column or row in the picture.
        length: columns or rows of the tile.
        whole: columns or rows of the picture.
        side: of the tiles, without the overlap.
        overlap: places that a tile has beyond each border to another one. All arguments may be in
            units of a picture that is smaller by 2, 4 or 8.
    """
    if not overlap:
        return [1] * length
    full = 4 * overlap
    begins = first + overlap if first else 0
    ends = begins + side

    def weight(place: int) -> int:
        if begins and place < begins + overlap:
            return 2 * (place - begins + overlap) + 1
        if ends < whole and place >= ends - overlap:
            return full - 2 * (place - ends + overlap) - 1
        return full

    return [weight(place) for place in range(first, first + length)]


def n_tiles(width: int, height: int, tiling: Tiling | None) -> int:
    """Number of tiles of a picture, 1 without a tiling."""
    if tiling is None:
        return 1
    return -(-width // tiling.width) * -(-height // tiling.height)


def check_tiling(width: int, height: int, tiling: Tiling) -> None:
    """Raise UsageError if a picture of this size has one tile or more than 2^12."""
    found = n_tiles(width, height, tiling)
    if not 2 <= found <= MAX_TILES:
        raise UsageError(f"the picture has {found} tiles, it must have 2 to {MAX_TILES}")


def write_tiling(tiling: Tiling) -> bytes:
    """Code a tiling: a byte of flags, then both sides in units of 64 pixels, less 1."""
    sides = (tiling.width // TILE_UNIT - 1, tiling.height // TILE_UNIT - 1)
    flags = _SHARED * tiling.shared | _OVERLAPPING * (tiling.overlap > 0)
    return bytes([flags]) + b"".join(map(encode_varint, sides))


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
    if flags > _SHARED | _OVERLAPPING:
        raise UnsupportedError(
            f"the flags of the tiling at offset {start} are {flags}; this decoder knows 0 to 3"
        )
    tile_width = reader.varint("width of the tiles") + 1
    tile_height = reader.varint("height of the tiles") + 1
    try:
        tiling = Tiling(
            tile_width * TILE_UNIT,
            tile_height * TILE_UNIT,
            shared=bool(flags & _SHARED),
            overlap=OVERLAP if flags & _OVERLAPPING else 0,
        )
        check_tiling(width, height, tiling)
    except UsageError as error:
        raise CorruptError(f"impossible tiling at offset {start}: {error}") from None
    return tiling
