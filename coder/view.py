"""Which part of a picture is wanted, and how large: regions and smaller sizes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.tiling import Rectangle, Tiling
from givre.coder.files.picture import AnySamples
from givre.coder.transparency import has_alpha
from givre.errors import UsageError

SCALES = (1, 2, 4, 8)
"""A picture may be decoded smaller by these factors. Borders of tiles are on their rasters."""

_ROWS_AT_A_TIME = 32
"""Rows of a smaller picture that are made at a time: means take eight bytes a sample."""


@dataclass(frozen=True)
class View:
    """What is wanted of a picture.

    Attributes:
        region: in pixels of the whole picture at its full size; None for all of it.
        scale: 1, 2, 4 or 8: each pixel is the mean of scale x scale pixels. The squares begin at
            the top left of the picture, and those that the region touches are given.

    Raises:
        UsageError: the scale is another one, or the region has no pixel or begins below 0.
    """

    region: Rectangle | None = None
    scale: int = 1

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise UsageError(f"the scale is 1/{self.scale}, it must be 1, 1/2, 1/4 or 1/8")
        region = self.region
        if region is not None and (
            min(region.width, region.height) < 1 or min(region.x, region.y) < 0
        ):
            raise UsageError(f"the region is {_words(region)}, it must have a width and a height")

    def part_of(self, width: int, height: int) -> Rectangle:
        """The part of a picture that is wanted, in pixels of the full size.

        Raises:
            UsageError: the region is not within the picture.
        """
        region = self.region
        if region is None:
            return Rectangle(0, 0, width, height)
        if region.x + region.width > width or region.y + region.height > height:
            raise UsageError(
                f"the region is {_words(region)}, it must lie within the {width} x {height} pixels"
            )
        x, y = region.x // self.scale * self.scale, region.y // self.scale * self.scale
        right = min(_up(region.x + region.width, self.scale) * self.scale, width)
        bottom = min(_up(region.y + region.height, self.scale) * self.scale, height)
        return Rectangle(x, y, right - x, bottom - y)


def _words(region: Rectangle) -> str:
    return f"{region.x},{region.y},{region.width},{region.height}"


def _up(length: int, scale: int) -> int:
    return -(-length // scale)


def smaller(where: Rectangle, scale: int) -> Rectangle:
    """A rectangle in pixels of the smaller picture; it begins at a multiple of the scale."""
    return Rectangle(
        where.x // scale,
        where.y // scale,
        _up(where.width, scale),
        _up(where.height, scale),
    )


def smaller_tiling(tiling: Tiling, scale: int) -> tuple[int, int, int]:
    """Width, height and overlap of the tiles in pixels of the smaller picture."""
    return tiling.width // scale, tiling.height // scale, tiling.overlap // scale


def reduced(samples: AnySamples, scale: int) -> AnySamples:
    """Samples (H, W, C) made smaller: each is the mean of scale x scale, or of those there are.

    Colours count by their alpha, so that what nobody sees does not show.

    Args:
        samples: uint8 or uint16, (H, W, 1 to 4).
        scale: 1, 2, 4 or 8.

    Returns:
        The same type, (ceil(H / scale), ceil(W / scale), C).
    """
    if scale == 1:
        return samples
    height, width, channels = samples.shape
    shape = (_up(height, scale), _up(width, scale), channels)
    found = np.empty(shape, np.uint8) if samples.dtype == np.uint8 else np.empty(shape, np.uint16)
    for first in range(0, shape[0], _ROWS_AT_A_TIME):
        last = min(first + _ROWS_AT_A_TIME, shape[0])
        band = samples[first * scale : last * scale]
        found[first:last] = np.floor(_means(band, scale) + 0.5)
    return found


def _means(samples: AnySamples, scale: int) -> NDArray[np.float64]:
    """Means over squares of samples (H, W, C), those of colours weighted by alpha."""
    values, channels = samples.astype(np.float64), samples.shape[2]
    plain = _sums(values, scale) / _sums(np.ones((*samples.shape[:2], 1)), scale)
    if not has_alpha(channels):
        return plain
    alpha = values[:, :, -1:]
    total = _sums(alpha, scale)
    means: NDArray[np.float64] = _sums(values * alpha, scale) / np.maximum(total, 1e-9)
    means = np.where(total > 0, means, plain)
    means[:, :, -1] = plain[:, :, -1]
    return means


def _sums(values: NDArray[np.float64], scale: int) -> NDArray[np.float64]:
    """Sums of values (H, W, C) over squares; those at the end may be cut."""
    rows = np.add.reduceat(values, np.arange(0, values.shape[0], scale), axis=0)
    sums: NDArray[np.float64] = np.add.reduceat(rows, np.arange(0, values.shape[1], scale), axis=1)
    return sums
