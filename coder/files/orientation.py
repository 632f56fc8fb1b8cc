"""Turns a picture upright, and lets its EXIF and XMP say that it is."""

from __future__ import annotations

import re
from typing import cast

import numpy as np

from givre.coder.files.picture import AnySamples
from givre.coder.files.tiff_directory import orientation, read_directory, with_orientation_1

# Programs write it as an attribute or as an element.
_IN_XMP = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)([1-8])(?=\s*[\"'<])")


def exif_orientation(exif: bytes) -> int | None:
    """The orientation, 1 to 8, that an EXIF block gives; None if it gives none or is damaged."""
    try:
        return orientation(exif, read_directory(exif))
    except ValueError:
        return None


def xmp_orientation(xmp: bytes) -> int | None:
    """The orientation, 1 to 8, that an XMP packet gives; None if it gives none."""
    match = _IN_XMP.search(xmp)
    return int(match[2]) if match else None


def exif_says_upright(exif: bytes) -> bytes:
    """The EXIF block with orientation 1, if it has an orientation.

    Raises:
        ValueError: it is damaged.
    """
    directory = read_directory(exif)
    if directory.big or not directory.whole:
        raise ValueError("it is of another kind, or a value lies outside of it")
    return with_orientation_1(exif, directory)


def xmp_says_upright(xmp: bytes) -> bytes:
    """The XMP packet with orientation 1, if it has an orientation."""
    return _IN_XMP.sub(rb"\g<1>1", xmp)


def upright(samples: AnySamples, value: int) -> AnySamples:
    """Samples (H, W, C) turned and mirrored as an orientation demands, contiguous.

    Args:
        samples: as they are stored.
        value: 1 to 8, as EXIF numbers them.
    """
    if value >= 5:  # the stored rows are columns
        samples = samples.transpose(1, 0, 2)
    if value in (3, 4, 7, 8):
        samples = samples[::-1]
    if value in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return cast(AnySamples, np.ascontiguousarray(samples))
