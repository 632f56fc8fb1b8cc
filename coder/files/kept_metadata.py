"""Which metadata of a file is sound enough to be kept."""

from __future__ import annotations

import logging

from givre.bitstream.metadata import Metadata
from givre.coder.files.orientation import exif_says_upright, xmp_says_upright
from givre.coder.files.profiles import looks_like_srgb, make_profile, profile_fault

LIMIT = 1 << 24
"""Most bytes that profile, EXIF and XMP of a picture may have together."""

_LOG = logging.getLogger(__name__)


def kept(metadata: Metadata, channels: int, name: str) -> Metadata:
    """Metadata that fits the samples, says that they are upright, and is within `LIMIT`.

    What is damaged, of no use, or too large is left out, with a line in the log. Within the limit
    the profile comes first, then EXIF, then XMP.

    Args:
        metadata: as the file has it.
        channels: those of the samples.
        name: what to call the picture in the log.
    """
    icc, exif = metadata.icc, metadata.exif
    fault = profile_fault(icc, channels) if icc else None
    if fault:
        _LOG.warning("the colour profile of %s %s, it is left out", name, fault)
        icc = b""
    try:
        exif = exif_says_upright(exif) if exif else b""
    except ValueError:
        _LOG.warning("the EXIF of %s is damaged, it is left out", name)
        exif = b""
    left = LIMIT
    blocks = []
    for subject, block in (("colour profile", icc), ("EXIF", exif), ("XMP", metadata.xmp)):
        if len(block) > left:
            _LOG.warning("the %s of %s is too large, it is left out", subject, name)
            block = b""  # noqa: PLW2901
        left -= len(block)
        blocks.append(block)
    return Metadata(blocks[0], blocks[1], xmp_says_upright(blocks[2]), metadata.cicp)


def file_profile(
    gamma: float | None, chromaticities: tuple[float, ...] | None, channels: int, name: str
) -> bytes:
    """A profile for the gamma and primaries that a PNG file gives; empty if they look like sRGB.

    Args:
        gamma: the exponent with which samples were encoded, as 0.45455; None if not given.
        chromaticities: x and y of white, red, green and blue; None if not given.
        channels: those of the samples.
        name: what to call the picture in the log.
    """
    primaries = chromaticities if channels >= 3 else None
    if looks_like_srgb(gamma, primaries):
        return b""
    try:
        icc = make_profile(gamma, primaries, channels)
    except ValueError as error:
        _LOG.warning("%s gives %s, it is taken for sRGB", name, error)
        return b""
    _LOG.warning("%s gives its gamma or primaries, a colour profile is made of them", name)
    return icc
