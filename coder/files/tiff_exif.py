"""Takes EXIF out of a TIFF file, where it shares a directory with the layout of the pixels."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from givre.coder.files.tiff_directory import (
    OF_PIXELS,
    ORIENTATION,
    Directory,
    content,
    directory_at,
    numbers,
)

_NOT_EXIF = OF_PIXELS | {700, 34675, 37724}  # XMP, the profile, and a picture editor's layers
_DIRECTORIES = (34665, 34853, 40965)
"""Entries that are directories themselves: the camera's, the place's, and one in the camera's."""
_DEPTH = 2

_LONG = 4
_KINDS_OF_BIG_TIFF = (16, 17, 18)


@dataclass
class _Budget:
    """How many bytes may still be taken: many entries may name the same large values."""

    left: int

    def take(self, length: int) -> None:
        self.left -= length
        if self.left < 0:
            raise ValueError("it is too large")


def exif_of_tiff(data: bytes, directory: Directory, limit: int) -> bytes:
    """EXIF of a TIFF file as a block of its own; empty if there is none.

    Args:
        data: the file.
        directory: its first one.
        limit: the most bytes of the block.

    Raises:
        ValueError: the block would be larger, or a directory in it is damaged.
    """
    own = {tag: entry for tag, entry in directory.entries.items() if tag not in _NOT_EXIF}
    if not own.keys() - {ORIENTATION}:
        return b""
    start = {"<": b"II*\0", ">": b"MM\0*"}[directory.order]
    header = start + struct.pack(directory.order + "I", 8)
    part = replace(directory, entries=own)
    return header + _packed(data, part, 8, _DEPTH, _Budget(limit))


def _packed(data: bytes, directory: Directory, start: int, depth: int, budget: _Budget) -> bytes:
    """A directory with the values behind it, for a place of the new block."""
    order = directory.order
    kept = [
        entry
        for tag, entry in sorted(directory.entries.items())
        if entry.kind not in _KINDS_OF_BIG_TIFF or tag in _DIRECTORIES
    ]
    budget.take(12 * len(kept) + 6)
    far_at = start + 2 + 12 * len(kept) + 4
    fields, far = [], bytearray()
    for entry in kept:
        kind, count = entry.kind, entry.count
        if entry.tag in _DIRECTORIES and depth:
            (place, *_) = numbers(data, directory, entry.tag, (0,))
            found = directory_at(data, place, order, directory.big)
            values = struct.pack(order + "I", far_at + len(far))
            far += _packed(data, found, far_at + len(far), depth - 1, budget)
            kind, count = _LONG, 1
        else:
            values = content(data, directory, entry.tag)
            if len(values) > 4:
                budget.take(len(values))
                place = far_at + len(far)
                far += values
                values = struct.pack(order + "I", place)
        far += bytes(len(far) % 2)
        fields.append(struct.pack(order + "HHI", entry.tag, kind, count) + values.ljust(4, b"\0"))
    head = struct.pack(order + "H", len(kept))
    return head + b"".join(fields) + bytes(4) + bytes(far)
