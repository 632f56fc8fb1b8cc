"""Writes TIFF files of 8 or 16 bits, with everything that belongs to the picture.

EXIF is itself the start of a TIFF file. So its block comes first, as it is, and the picture's own
entries join those of its directory; nothing in the block moves, and so all its offsets hold.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from givre.bitstream.metadata import Metadata
from givre.coder.files.picture import AnySamples
from givre.coder.files.tiff_directory import OF_PIXELS, read_directory
from givre.errors import OutputError

_ASCII_OR_BYTES, _SHORT, _LONG, _UNDEFINED = 1, 3, 4, 7
_LETTERS = {_ASCII_OR_BYTES: "B", _SHORT: "H", _LONG: "I", _UNDEFINED: "B"}
_STRIP_BYTES = 1 << 18
_DEFLATE = 8
_LEVEL = 3  # of 9; more takes several times as long and saves a few percent
_HORIZONTAL_DIFFERENCES = 2
_PLAIN_ALPHA = 2


def write_tiff(samples: AnySamples, metadata: Metadata) -> bytes:
    """A TIFF file, packed without loss.

    Args:
        samples: (H, W, C), C 1 to 4; uint8, or uint16 over its full range.
        metadata: profile, EXIF and XMP are kept; TIFF has no place for a colour code.

    Raises:
        OutputError: it would have more than 4 GiB.
    """
    height, width, channels = samples.shape
    base, order, entries = _base(metadata.exif)
    rows = max(1, _STRIP_BYTES // max(1, samples[0].nbytes))
    parts, offsets, lengths, size = [base], [], [], len(base)
    for strip in _strips(samples, rows, order):
        offsets.append(size)
        lengths.append(len(strip))
        parts.append(strip)
        size += len(strip)
    own = [
        _entry(order, 256, _LONG, [width]),
        _entry(order, 257, _LONG, [height]),
        _entry(order, 258, _SHORT, [8 * samples.itemsize] * channels),
        _entry(order, 259, _SHORT, [_DEFLATE]),
        _entry(order, 262, _SHORT, [1 if channels < 3 else 2]),
        _entry(order, 273, _LONG, offsets),
        _entry(order, 277, _SHORT, [channels]),
        _entry(order, 278, _LONG, [rows]),
        _entry(order, 279, _LONG, lengths),
        _entry(order, 284, _SHORT, [1]),
        _entry(order, 317, _SHORT, [_HORIZONTAL_DIFFERENCES]),
    ]
    if channels in (2, 4):
        own.append(_entry(order, 338, _SHORT, [_PLAIN_ALPHA]))
    if metadata.xmp:
        own.append(_entry(order, 700, _ASCII_OR_BYTES, metadata.xmp))
    if metadata.icc:
        own.append(_entry(order, 34675, _UNDEFINED, metadata.icc))
    directory = _directory(order, own, entries, size + size % 2)
    if size + len(directory) >= 1 << 32:
        raise OutputError("a TIFF file has at most 4 GiB, use .png")
    parts[0] = base[:4] + struct.pack(order + "I", size + size % 2) + base[8:]
    return b"".join((*parts, bytes(size % 2), directory))


def _base(exif: bytes) -> tuple[bytes, str, dict[int, bytes]]:
    """What the file begins with, its byte order, and EXIF's entries, 12 bytes each, by tag."""
    if exif[2:4] not in (b"*\0", b"\0*"):
        return b"II*\0\0\0\0\0", "<", {}
    directory = read_directory(exif)
    count = int.from_bytes(
        exif[directory.first_entry - 2 : directory.first_entry],
        "little" if directory.order == "<" else "big",
    )
    entries: dict[int, bytes] = {}
    for at in range(directory.first_entry, directory.first_entry + 12 * count, 12):
        (tag,) = struct.unpack_from(directory.order + "H", exif, at)
        if tag not in OF_PIXELS:
            entries.setdefault(tag, exif[at : at + 12])
    return exif + bytes(len(exif) % 2), directory.order, entries


def _strips(samples: AnySamples, rows: int, order: str) -> Iterator[bytes]:
    for top in range(0, samples.shape[0], rows):
        strip = samples[top : top + rows].copy()
        strip[:, 1:] -= samples[top : top + rows, :-1]  # modulo their range, as TIFF wants
        packed = zlib.compress(strip.astype(f"{order}u{strip.itemsize}").tobytes(), _LEVEL)
        yield packed + bytes(len(packed) % 2)


def _entry(order: str, tag: int, kind: int, values: list[int] | bytes) -> tuple[int, bytes, bytes]:
    """Tag, the first 8 bytes of the entry, and its values."""
    if isinstance(values, bytes):
        content = values
    else:
        content = struct.pack(f"{order}{len(values)}{_LETTERS[kind]}", *values)
    return tag, struct.pack(order + "HHI", tag, kind, len(values)), content


def _directory(
    order: str, own: list[tuple[int, bytes, bytes]], inherited: dict[int, bytes], start: int
) -> bytes:
    """The directory, with the values that do not fit into it behind it."""
    entries = dict(inherited)
    far_at = start + 2 + 12 * (len(own) + len(inherited)) + 4
    far = b""
    for tag, head, values in own:
        if len(values) <= 4:
            entries[tag] = head + values.ljust(4, b"\0")
        else:
            entries[tag] = head + struct.pack(order + "I", far_at + len(far))
            far += values + bytes(len(values) % 2)
    body = b"".join(entries[tag] for tag in sorted(entries))
    return struct.pack(order + "H", len(entries)) + body + bytes(4) + far
