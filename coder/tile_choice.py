"""Whether a picture is cut into tiles, and how large they are."""

from __future__ import annotations

from math import ceil, sqrt

from givre.bitstream.tiling import TILE_UNIT, Tiling, check_tiling, n_tiles

TILE_PIXELS = 3 << 20
"""Most pixels of a tile. A fit takes 370 bytes for each, so that a tile stays below 1.2 GB, while
parameters and borders of tiles of this size cost next to nothing."""


def usual_tiling(width: int, height: int) -> Tiling | None:
    """Tiles of at most `TILE_PIXELS` pixels and about equal sides; None for a smaller picture."""
    if width * height <= TILE_PIXELS:
        return None
    # Columns and rows of tiles that are nearly squares; the rounding to units comes on top.
    side = sqrt(TILE_PIXELS)
    columns, rows = max(1, round(width / side)), max(1, round(height / side))
    while True:
        tiling = Tiling(_rounded(width / columns), _rounded(height / rows))
        if tiling.width * tiling.height <= TILE_PIXELS:
            return tiling
        if tiling.width >= tiling.height:
            columns += 1
        else:
            rows += 1


def square_tiling(width: int, height: int, side: int) -> Tiling | None:
    """Square tiles of a given side, a multiple of 64; None where one tile holds the picture.

    Raises:
        UsageError: the side is not allowed, or there would be too many tiles.
    """
    tiling = Tiling(side, side)
    if n_tiles(width, height, tiling) == 1:
        return None
    check_tiling(width, height, tiling)
    return tiling


def _rounded(length: float) -> int:
    return ceil(length / TILE_UNIT) * TILE_UNIT
