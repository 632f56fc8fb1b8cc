"""Metadata as sections of a file, and back."""

from __future__ import annotations

from collections.abc import Sequence

from givre.bitstream.metadata import Metadata
from givre.bitstream.sections import Section
from givre.errors import CorruptError, UsageError

ICC, EXIF, XMP, CICP = 1, 2, 3, 4
"""Kinds of sections: an ICC profile, an EXIF block, an XMP packet, four code points of CICP."""

SECTION_NAMES = {ICC: "icc", EXIF: "exif", XMP: "xmp", CICP: "cicp"}
"""Kind to the name of the field of `Metadata`."""

_CICP_BYTES = 4


def metadata_sections(metadata: Metadata) -> tuple[Section, ...]:
    """Sections that hold metadata, by kind; those of empty fields are left out.

    Raises:
        UsageError: a field has more than 2^24 bytes, or the code points are not four bytes.
    """
    cicp = b"" if metadata.cicp is None else _cicp_bytes(metadata.cicp)
    contents = {ICC: metadata.icc, EXIF: metadata.exif, XMP: metadata.xmp, CICP: cicp}
    return tuple(Section(kind, content) for kind, content in contents.items() if content)


def _cicp_bytes(cicp: tuple[int, int, int, int]) -> bytes:
    if len(cicp) != _CICP_BYTES or not all(0 <= point <= 255 for point in cicp):
        raise UsageError(f"cicp is {cicp}, it must be four code points of 0 to 255")
    return bytes(cicp)


def metadata_of(sections: Sequence[Section]) -> Metadata:
    """The metadata that sections hold; those of other kinds are skipped.

    Raises:
        CorruptError: a kind comes twice, is empty, or CICP has other than four bytes.
    """
    found: dict[int, bytes] = {}
    for section in sections:
        name = SECTION_NAMES.get(section.kind)
        if name is None:
            continue
        if section.kind in found:
            raise CorruptError(f"the file has two sections for {name}, it must have one")
        if not section.content:
            raise CorruptError(f"the section for {name} is empty, it must be left out")
        found[section.kind] = section.content
    cicp = found.get(CICP)
    if cicp is not None and len(cicp) != _CICP_BYTES:
        raise CorruptError(f"the section for cicp has {len(cicp)} bytes, it must have 4")
    return Metadata(
        icc=found.get(ICC, b""),
        exif=found.get(EXIF, b""),
        xmp=found.get(XMP, b""),
        cicp=None if cicp is None else (cicp[0], cicp[1], cicp[2], cicp[3]),
    )
