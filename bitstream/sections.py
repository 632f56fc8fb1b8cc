"""Sections that follow the pixels: each with its kind, its length and a checksum of its own.

A reader takes the kinds that it knows and skips the others, so that later versions can add more.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from givre.bitstream.varint import ByteReader, encode_varint
from givre.errors import CorruptError, TruncatedError, UsageError

MAX_SECTIONS = 64
"""Most sections that a file may have."""

MAX_CONTENT = 1 << 24
"""Most bytes that a section may have, before and after it is uncompressed."""

MAX_TOTAL = 1 << 26
"""Most bytes that all sections of a file may have together, uncompressed: a small file must not
become a gigabyte."""

_COMPRESSED = 1 << 7
_MAX_KIND = _COMPRESSED - 1


@dataclass(frozen=True)
class Section:
    """One section; UsageError if a file cannot hold it.

    Attributes:
        kind: what it is, 0 to 127; `givre.bitstream.metadata_sections` gives the meanings.
        content: what it says, 2^24 bytes at most.
    """

    kind: int
    content: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.kind <= _MAX_KIND:
            raise UsageError(f"the kind of a section is {self.kind}, it must be 0 to {_MAX_KIND}")
        if len(self.content) > MAX_CONTENT:
            raise UsageError(
                f"a section has {len(self.content)} bytes, it must have at most {MAX_CONTENT}"
            )


def write_sections(sections: Sequence[Section]) -> bytes:
    """Code sections, each compressed where that makes it shorter.

    Raises UsageError if there are none, more than 64, or more than 2^26 bytes of content.
    """
    if not 1 <= len(sections) <= MAX_SECTIONS:
        raise UsageError(f"there are {len(sections)} sections, there must be 1 to {MAX_SECTIONS}")
    total = sum(len(section.content) for section in sections)
    if total > MAX_TOTAL:
        raise UsageError(f"all sections have {total} bytes, they must have at most {MAX_TOTAL}")
    return encode_varint(len(sections)) + b"".join(map(_section_bytes, sections))


def _section_bytes(section: Section) -> bytes:
    kind, content = section.kind, section.content
    packed = zlib.compress(content, 9)
    if len(packed) < len(content):
        kind, content = kind | _COMPRESSED, packed
    head = bytes([kind]) + encode_varint(len(content))
    return head + zlib.crc32(content).to_bytes(4, "little") + content


def read_sections(reader: ByteReader) -> tuple[Section, ...]:
    """Read all sections, and leave the reader after the last one.

    Raises:
        TruncatedError: a section claims more bytes than the file holds.
        CorruptError: there are none or too many, a checksum does not match, a section cannot be
            uncompressed or becomes larger than 2^24 bytes, or all become larger than 2^26 bytes.
    """
    start = reader.position
    number = reader.varint("number of sections")
    if not 1 <= number <= MAX_SECTIONS:
        raise CorruptError(
            f"the file has {number} sections at offset {start}, it must have 1 to {MAX_SECTIONS}"
        )
    sections: list[Section] = []
    total = 0
    for _ in range(number):
        sections.append(_read_section(reader))
        total += len(sections[-1].content)
        if total > MAX_TOTAL:
            raise CorruptError(
                f"the sections at offset {start} have more than {MAX_TOTAL} bytes together"
            )
    return tuple(sections)


def _read_section(reader: ByteReader) -> Section:
    start = reader.position
    kind = reader.u8("kind of a section")
    length = reader.varint("length of a section")
    checksum = reader.u32("checksum of a section")
    left = len(reader.data) - reader.position
    if length > left:
        raise TruncatedError(
            f"the section at offset {start} claims {length} bytes, the file has {left} more"
        )
    content = reader.take(length, "section")
    if zlib.crc32(content) != checksum:
        raise CorruptError(f"the checksum of the section at offset {start} does not match")
    if length > MAX_CONTENT:
        raise CorruptError(f"the section at offset {start} has more than {MAX_CONTENT} bytes")
    if kind & _COMPRESSED:
        content = _uncompressed(content, start)
    return Section(kind & _MAX_KIND, content)


def _uncompressed(packed: bytes, start: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(packed, MAX_CONTENT + 1)
    except zlib.error as error:
        raise CorruptError(
            f"the section at offset {start} cannot be uncompressed: {error}"
        ) from None
    if len(content) > MAX_CONTENT:
        raise CorruptError(f"the section at offset {start} becomes more than {MAX_CONTENT} bytes")
    if not stream.eof or stream.unused_data:
        raise CorruptError(f"the section at offset {start} is not one whole compressed stream")
    return content
