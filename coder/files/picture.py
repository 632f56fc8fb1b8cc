"""A picture in memory: its samples, their depth, and what belongs to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.metadata import Metadata
from givre.errors import ImageError

Samples: TypeAlias = NDArray[np.uint8]
DeepSamples: TypeAlias = NDArray[np.uint16]
AnySamples: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]

MAX_PIXELS = 1 << 28
"""Most pixels that an image file may have; 16384 x 16384."""

_BAND_PIXELS = 1 << 20


@dataclass(frozen=True)
class Picture:
    """Samples as they are shown, upright, with their metadata.

    Attributes:
        samples: (H, W, C), C 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha); uint8 if
            `bit_depth` is 8, otherwise uint16. Alpha is not multiplied in.
        bit_depth: 8 to 16; samples are 0 to 2^bit_depth - 1.
        metadata: profile, EXIF, XMP and colour code; an orientation in the EXIF is 1.
    """

    samples: AnySamples
    bit_depth: int = 8
    metadata: Metadata = field(default_factory=Metadata)


def stripped(picture: Picture) -> Picture:
    """A picture without metadata, but for what its colours are: the profile and the colour code."""
    kept = Metadata(icc=picture.metadata.icc, cicp=picture.metadata.cicp)
    return replace(picture, metadata=kept)


def check_size(width: int, height: int, name: str) -> None:
    """Refuse a picture that is empty or too large, before memory is taken for it.

    Raises:
        ImageError: it has no pixel, or more than `MAX_PIXELS`.
    """
    if width < 1 or height < 1:
        raise ImageError(f"{name} has no pixels, it must be at least 1x1")
    if width * height > MAX_PIXELS:
        raise ImageError(f"{name} has more than {MAX_PIXELS} pixels, make it smaller")


def bands(height: int, width: int) -> Iterator[slice]:
    """Rows, a million pixels at a time, so that what is computed of them takes little memory.

    Single rows would take too long where a picture is one pixel wide.
    """
    rows = max(1, _BAND_PIXELS // max(1, width))
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


def widen(samples: AnySamples, bit_depth: int) -> DeepSamples:
    """Samples of any depth as 16-bit ones: the high bits are repeated below, so white stays white.

    Args:
        samples: (H, W, C), 0 to 2^bit_depth - 1.
        bit_depth: 8 to 16.
    """
    if bit_depth == 16:
        return samples.astype(np.uint16, copy=False)
    wide = samples.astype(np.uint16)
    for rows in bands(*samples.shape[:2]):
        low = wide[rows] >> (2 * bit_depth - 16)
        wide[rows] <<= 16 - bit_depth
        wide[rows] |= low
    return wide


def narrow(samples: AnySamples, bit_depth: int) -> tuple[AnySamples, int]:
    """16-bit samples (H, W, C) at a lower depth with that depth, if `widen` gives back the same.

    Otherwise the samples as they are, and 16. The samples given are used up.
    """
    if not 8 < bit_depth < 16:
        return samples, 16
    shift = np.uint16(16 - bit_depth)
    for rows in bands(*samples.shape[:2]):
        band = samples[rows].astype(np.uint16, copy=False)
        if not np.array_equal(widen(band >> shift, bit_depth), band):
            return samples, 16
    samples >>= shift
    return samples, bit_depth
