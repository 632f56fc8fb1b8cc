"""The directories of a TIFF file, which EXIF consists of too."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

ORIENTATION = 274
_BYTES_OF_KIND = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_BYTES_OF_KIND |= {13: 4, 16: 8, 17: 8, 18: 8}
_NAME_OF_ORDER: dict[str, Literal["little", "big"]] = {"<": "little", ">": "big"}
_LETTER_OF_KIND = {1: "B", 3: "H", 4: "I", 16: "Q"}
OF_PIXELS = frozenset(
    (*range(254, 260), 262, 263, 266, 273, *range(277, 282), 284, 317, 320, *range(322, 326))
) | frozenset((330, 338, 339, 340, 341, 347, *range(512, 522), *range(529, 533)))
"""Entries that are about how pixels are stored: what EXIF does not need to have."""

MAX_ENTRIES = 65535
"""Most entries of a directory; only BigTIFF could have more, and never has."""
MAX_VALUES = 64
"""Most values of an entry that are read here; a pixel has far fewer channels."""


@dataclass(frozen=True)
class Entry:
    """One entry: `value_at` is where its values begin, in bytes from the start of the block."""

    tag: int
    kind: int
    count: int
    value_at: int


@dataclass(frozen=True)
class Directory:
    """The entries of a directory by their tags.

    Attributes:
        order: "<" for little and ">" for big endian.
        big: whether it is a BigTIFF, whose entries have 20 bytes and not 12.
        first_entry: where the entries begin, in bytes from the start of the block.
        entries: by tag; of a tag that occurs twice, the first.
        whole: whether the values of all entries lie within the bytes; `entries` has only those.
        more: whether another directory follows, as of a second page.
    """

    order: str
    big: bool
    first_entry: int
    entries: dict[int, Entry]
    whole: bool
    more: bool


def is_tiff(data: bytes) -> bool:
    """Whether the bytes begin as a TIFF file or as EXIF do."""
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_directory(data: bytes) -> Directory:
    """The first directory of a TIFF file or an EXIF block.

    Raises:
        ValueError: it is none, or an entry lies outside of the bytes.
    """
    if not is_tiff(data):
        raise ValueError("it does not begin as TIFF does")
    order = "<" if data[:2] == b"II" else ">"
    big = b"+" in data[2:4]
    place = data[8:16] if big else data[4:8]
    return directory_at(data, int.from_bytes(place, _NAME_OF_ORDER[order]), order, big)


def directory_at(data: bytes, start: int, order: str, big: bool) -> Directory:
    """A directory that begins at a place of a TIFF file or an EXIF block.

    Raises:
        ValueError: an entry lies outside of the bytes, or there are more than `MAX_ENTRIES`.
    """
    try:
        (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
        first = start + (8 if big else 2)
        size, layout = (20, "HHQ") if big else (12, "HHI")
        if start < 8 or count > MAX_ENTRIES or first + count * size > len(data):
            raise ValueError("its directory is cut")
        end = first + count * size
        entries: dict[int, Entry] = {}
        whole = True
        for at in range(first, end, size):
            tag, kind, values = struct.unpack_from(order + layout, data, at)
            length = _BYTES_OF_KIND.get(kind, 1) * values
            inside = at + (12 if big else 8)
            (far,) = struct.unpack_from(order + ("Q" if big else "I"), data, inside)
            value_at = inside if length <= (8 if big else 4) else far
            if value_at + length > len(data):
                whole = False
            else:
                entries.setdefault(tag, Entry(tag, kind, values, value_at))
    except (struct.error, OverflowError) as error:
        raise ValueError("its directory is cut") from error
    return Directory(order, big, first, entries, whole, any(data[end : end + (8 if big else 4)]))


def numbers(
    data: bytes, directory: Directory, tag: int, default: tuple[int, ...]
) -> tuple[int, ...]:
    """The whole numbers of an entry, at most `MAX_VALUES`; the default if there is none."""
    entry = directory.entries.get(tag)
    if entry is None or entry.kind not in _LETTER_OF_KIND or not 0 < entry.count <= MAX_VALUES:
        return default
    layout = f"{directory.order}{entry.count}{_LETTER_OF_KIND[entry.kind]}"
    return struct.unpack_from(layout, data, entry.value_at)


def content(data: bytes, directory: Directory, tag: int) -> bytes:
    """The bytes of an entry; empty if there is none."""
    entry = directory.entries.get(tag)
    if entry is None:
        return b""
    length = _BYTES_OF_KIND.get(entry.kind, 1) * entry.count
    return bytes(data[entry.value_at : entry.value_at + length])


def orientation(data: bytes, directory: Directory) -> int | None:
    """The orientation, 1 to 8; None if it is not given or is no such number."""
    (value, *_) = numbers(data, directory, ORIENTATION, (0,))
    return value if 1 <= value <= 8 else None


def with_orientation_1(data: bytes, directory: Directory) -> bytes:
    """The block with an orientation that says upright; every other byte stays as it is."""
    entry = directory.entries.get(ORIENTATION)
    if entry is None or entry.kind not in _LETTER_OF_KIND or entry.count < 1:
        return data
    changed = bytearray(data)
    layout = directory.order + _LETTER_OF_KIND[entry.kind]
    struct.pack_into(layout, changed, entry.value_at, 1)
    return bytes(changed)
