"""Tiles put together: where they overlap, one goes over into the other."""

from __future__ import annotations

from threading import Lock

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.tiling import Rectangle, blend_weights
from givre.coder.files.picture import AnySamples

Sums = NDArray[np.int32]


class TileAssembly:
    """A picture, or a part of it, to which tiles are added in any order and by any thread.

    Args:
        samples: (H, W, C) of the part, filled in.
        part: where it lies in the picture.
        size: width and height of the whole picture.
        tiles: width, height and overlap of its tiles. Everything is in pixels of the picture as it
            is shown, which may be a smaller one.
    """

    def __init__(
        self,
        samples: AnySamples,
        part: Rectangle,
        size: tuple[int, int],
        tiles: tuple[int, int, int],
    ) -> None:
        self._samples, self._part, self._size, self._tiles = samples, part, size, tiles
        width, height, self._overlap = tiles
        self._full = 4 * self._overlap if self._overlap else 1
        self._rows = _in_overlap(part.y, part.height, size[1], height, self._overlap)
        self._columns = _in_overlap(part.x, part.width, size[0], width, self._overlap)
        # Sums of what lies in an overlap: whole rows, and of the other rows some columns.
        n_rows, n_columns, channels = samples.shape
        self._row_sums = np.zeros((len(self._rows), n_columns, channels), np.int32)
        self._column_sums = np.zeros((n_rows, len(self._columns), channels), np.int32)
        # Weights of the tiles that have come, which are all of them unless a file was cut.
        self._row_weights = np.zeros((len(self._rows), n_columns, 1), np.int32)
        self._column_weights = np.zeros((n_rows, len(self._columns), 1), np.int32)
        self._lock = Lock()

    def add(self, tile: AnySamples, where: Rectangle) -> None:
        """Add what a tile shows of the part.

        Args:
            tile: samples (h, w, C) of the tile.
            where: it lies in the picture.
        """
        part, (width, height, overlap) = self._part, self._tiles
        left, right = max(where.x, part.x), min(where.x + where.width, part.x + part.width)
        top, bottom = max(where.y, part.y), min(where.y + where.height, part.y + part.height)
        if left >= right or top >= bottom:
            return
        shown = tile[top - where.y : bottom - where.y, left - where.x : right - where.x]
        weights_x = blend_weights(where.x, where.width, self._size[0], width, overlap)
        weights_y = blend_weights(where.y, where.height, self._size[1], height, overlap)
        across = np.array(weights_x[left - where.x : right - where.x], np.int32)
        down = np.array(weights_y[top - where.y : bottom - where.y], np.int32)
        rows, columns = slice(top - part.y, bottom - part.y), slice(left - part.x, right - part.x)
        with self._lock:
            self._add_plain(shown, rows, columns, across, down)
            self._add_overlaps(shown, rows, columns, across, down)

    def _add_plain(
        self, shown: AnySamples, rows: slice, columns: slice, across: Sums, down: Sums
    ) -> None:
        """Copy what no other tile covers."""
        alone_x, alone_y = np.flatnonzero(across == self._full), np.flatnonzero(down == self._full)
        if len(alone_x) and len(alone_y):
            x = slice(alone_x[0], alone_x[-1] + 1)
            y = slice(alone_y[0], alone_y[-1] + 1)
            self._samples[rows, columns][y, x] = shown[y, x]

    def _add_overlaps(
        self, shown: AnySamples, rows: slice, columns: slice, across: Sums, down: Sums
    ) -> None:
        """Add weighted samples where other tiles count too."""
        if not self._overlap:
            return
        in_rows = (self._rows >= rows.start) & (self._rows < rows.stop)
        picked = self._rows[in_rows] - rows.start
        weights = down[picked][:, None, None] * across[None, :, None]
        self._row_sums[in_rows, columns] += shown[picked].astype(np.int32) * weights
        self._row_weights[in_rows, columns] += weights
        in_columns = (self._columns >= columns.start) & (self._columns < columns.stop)
        picked = self._columns[in_columns] - columns.start
        weights = down[:, None, None] * across[picked][None, :, None]
        self._column_sums[rows, in_columns] += shown[:, picked].astype(np.int32) * weights
        self._column_weights[rows, in_columns] += weights

    def finish(self) -> AnySamples:
        """The samples, when all tiles that there are have been added."""
        self._samples[:, self._columns] = _mean(self._column_sums, self._column_weights)
        self._samples[self._rows] = _mean(self._row_sums, self._row_weights)
        return self._samples


def _mean(sums: Sums, weights: Sums) -> Sums:
    """Weighted means, halves rounded up; 0 where no tile has come."""
    found: Sums = (sums + weights // 2) // np.maximum(weights, 1)
    return found


def _in_overlap(first: int, length: int, whole: int, side: int, overlap: int) -> NDArray[np.int64]:
    """Places of a part, from 0, that lie in the overlap of two tiles along one axis."""
    places = np.arange(first, first + length)
    nearest = np.rint(places / side).astype(np.int64) * side
    is_border = (nearest > 0) & (nearest < whole)
    distance = places - nearest
    return np.flatnonzero(is_border & (distance >= -overlap) & (distance < overlap))
