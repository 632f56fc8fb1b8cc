"""The chunks of a PNG file that image libraries pass over or stumble at.

Pillow refuses a whole picture for a damaged profile and does not report the colour code or the
significant bits. So the chunks beside the pixels are read here, and the pixel libraries get a file
without them.
"""

from __future__ import annotations

import binascii
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 1 << 20
"""Most chunks that are read: a file of 1 GiB in usual chunks of 8 KiB has an eighth of it."""

_PIXEL_CHUNKS = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"))
_XMP_KEYWORD = b"XML:com.adobe.xmp"

_Text: TypeAlias = Callable[[], bytes]
_Reader: TypeAlias = Callable[[bytes, int], tuple[bytes, bytes]]
"""From a chunk's content and the limit to the block's name, empty for none, and the block."""


@dataclass(frozen=True)
class Chunk:
    """One chunk: `content` without length, kind and checksum; `whole` with them."""

    kind: bytes
    content: memoryview
    whole: memoryview

    @property
    def intact(self) -> bool:
        """Whether the checksum is right."""
        return zlib.crc32(self.whole[4:-4]) == int.from_bytes(self.whole[-4:], "big")


@dataclass(frozen=True)
class PngNotes:
    """What a PNG file says besides its pixels.

    Attributes:
        bit_depth: of a sample or an index, 1 to 16.
        colour_type: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha.
        significant_bits: of each channel; empty if not said.
        icc, exif, xmp: as in `Metadata`, each at most one byte longer than the limit.
        cicp: as in `Metadata`.
        is_srgb: the file says that its colours are sRGB.
        gamma: exponent with which samples were encoded, as 0.45455; None if not said.
        chromaticities: x and y of white, red, green and blue; None if not said.
        frames: "" for a still picture, "first" if the pixels are the first frame of an
            animation, "still" if they stand for an animation that does not show them.
        faults: what is damaged and left out, each a phrase as "its EXIF".
    """

    bit_depth: int
    colour_type: int
    significant_bits: bytes = b""
    icc: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    cicp: tuple[int, int, int, int] | None = None
    is_srgb: bool = False
    gamma: float | None = None
    chromaticities: tuple[float, ...] | None = None
    frames: str = ""
    faults: tuple[str, ...] = ()


def pixels_only(data: bytes) -> bytes:
    """The file with no chunk but those that its pixels need; a cut end stays as it is.

    Raises:
        ValueError: the file has too many chunks.
    """
    parts: list[bytes | memoryview] = [SIGNATURE]
    end = len(SIGNATURE)
    others = 0
    for chunk in _chunks(data):
        end += len(chunk.whole)
        if chunk.kind in _PIXEL_CHUNKS:
            parts.append(chunk.whole)
        else:
            others += 1
    if not others:
        return data  # a large file is not copied for nothing
    return b"".join((*parts, memoryview(data)[end:]))


def read_notes(data: bytes, limit: int) -> PngNotes:
    """What a PNG file says besides its pixels.

    Args:
        data: the file.
        limit: no block is unpacked further than one byte past it.

    Raises:
        ValueError: the file does not begin with a header, or has too many chunks.
    """
    found: dict[bytes, bytes] = {}
    faults: list[str] = []
    header = b""
    seen_pixels = frame_before_pixels = False
    for chunk in _chunks(data):
        kind = chunk.kind
        if kind == b"IHDR":
            header = header or bytes(chunk.content)
        elif kind == b"IDAT":
            seen_pixels = True
        elif kind == b"fcTL":
            frame_before_pixels |= not seen_pixels
        elif kind in _READERS and len(chunk.content) <= limit + 1000:
            subject, read = _READERS[kind]
            try:
                name, content = read(bytes(chunk.content), limit)
            except (ValueError, zlib.error):
                faults.append(subject)
                continue
            if not chunk.intact:
                if name:
                    faults.append(subject)
            elif name:
                found.setdefault(name, content)
        elif kind in _READERS:
            faults.append(_READERS[kind][0])
    if len(header) != 13:
        raise ValueError("its header is missing")
    frames = int.from_bytes(found.get(b"acTL", bytes(8))[:4], "big")
    return PngNotes(
        bit_depth=header[8],
        colour_type=header[9],
        significant_bits=found.get(b"sBIT", b""),
        icc=found.get(b"iCCP", b""),
        exif=found.get(b"eXIf", b""),
        xmp=found.get(b"xmp", b""),
        cicp=_cicp(found.get(b"cICP")),
        is_srgb=b"sRGB" in found,
        gamma=_number(found.get(b"gAMA")),
        chromaticities=_numbers(found.get(b"cHRM")),
        frames="" if frames < 2 else "first" if frame_before_pixels else "still",
        faults=tuple(dict.fromkeys(faults)),
    )


def with_chunks(data: bytes, chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A PNG file with more chunks, right behind its header.

    Args:
        data: the file.
        chunks: kind and content of each.
    """
    added = [chunk_bytes(kind, content) for kind, content in chunks]
    if not added:
        return data
    end = len(SIGNATURE) + 25  # the header is always the first chunk and always of this length
    view = memoryview(data)
    return b"".join((view[:end], *added, view[end:]))


def chunk_bytes(kind: bytes, content: bytes) -> bytes:
    """A chunk with its length and checksum."""
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def profile_chunk(icc: bytes) -> tuple[bytes, bytes]:
    """Kind and content of the chunk that holds an ICC profile."""
    return b"iCCP", b"ICC profile\0\0" + zlib.compress(icc)


def xmp_chunk(xmp: bytes) -> tuple[bytes, bytes]:
    """Kind and content of the chunk that holds an XMP packet, not packed as XMP demands."""
    return b"iTXt", _XMP_KEYWORD + b"\0\0\0\0\0" + xmp


def _chunks(data: bytes) -> Iterator[Chunk]:
    view = memoryview(data)
    start = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        length = int.from_bytes(view[start : start + 4], "big")
        end = start + 12 + length
        if end > len(view):
            return
        kind = bytes(view[start + 4 : start + 8])
        yield Chunk(kind, view[start + 8 : end - 4], view[start:end])
        if kind == b"IEND":
            return
        start = end
    raise ValueError(f"it has more than {MAX_CHUNKS} chunks")


def _read_plain(kind: bytes, length: int | None) -> _Reader:
    def read(content: bytes, _: int) -> tuple[bytes, bytes]:
        if length is not None and len(content) != length:
            raise ValueError("wrong length")
        return kind, content

    return read


def _read_profile(content: bytes, limit: int) -> tuple[bytes, bytes]:
    _, _, rest = content.partition(b"\0")
    return b"iCCP", _inflate(rest[1:], limit)


def _read_international_text(content: bytes, limit: int) -> tuple[bytes, bytes]:
    keyword, _, rest = content.partition(b"\0")
    if keyword != _XMP_KEYWORD:
        return b"", b""
    packed = rest[:1] == b"\1"
    _, _, rest = rest[2:].partition(b"\0")  # the language
    _, _, text = rest.partition(b"\0")  # the keyword in that language
    return b"xmp", _inflate(text, limit) if packed else text


def _read_packed_text(content: bytes, limit: int) -> tuple[bytes, bytes]:
    keyword, _, rest = content.partition(b"\0")
    return _raw_profile(keyword, lambda: _inflate(rest[1:], limit))


def _read_text(content: bytes, _limit: int) -> tuple[bytes, bytes]:
    keyword, _, rest = content.partition(b"\0")
    return _raw_profile(keyword, lambda: rest)


def _raw_profile(keyword: bytes, text: _Text) -> tuple[bytes, bytes]:
    """Blocks as older programs write them: a name, a length, then hexadecimal digits."""
    kind = {
        b"Raw profile type exif": b"eXIf",
        b"Raw profile type APP1": b"eXIf",
        b"Raw profile type xmp": b"xmp",
    }.get(keyword, b"")
    if not kind:
        return b"", b""
    try:
        content = binascii.unhexlify(b"".join(text().split()[2:]))
    except binascii.Error as error:
        raise ValueError("not hexadecimal") from error
    if kind == b"eXIf" and content.startswith(b"http"):  # XMP is in APP1 too
        return b"xmp", content.partition(b"\0")[2]
    return kind, content


def _inflate(packed: bytes, limit: int) -> bytes:
    """At most `limit` bytes and one more, so that a bomb is seen and does not go off."""
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(packed, limit + 1)
    if not unpacker.eof and len(content) <= limit:
        raise ValueError("cut short")
    return content


def _number(content: bytes | None) -> float | None:
    return None if content is None else int.from_bytes(content, "big") / 100_000


def _numbers(content: bytes | None) -> tuple[float, ...] | None:
    return None if content is None else tuple(v / 100_000 for v in struct.unpack(">8I", content))


def _cicp(content: bytes | None) -> tuple[int, int, int, int] | None:
    if content is None:
        return None
    return content[0], content[1], content[2], content[3]


_READERS: dict[bytes, tuple[str, _Reader]] = {
    b"iCCP": ("its colour profile", _read_profile),
    b"eXIf": ("its EXIF", _read_plain(b"eXIf", None)),
    b"iTXt": ("its XMP", _read_international_text),
    b"zTXt": ("its EXIF", _read_packed_text),
    b"tEXt": ("its EXIF", _read_text),
    b"cICP": ("its colour code", _read_plain(b"cICP", 4)),
    b"sRGB": ("its colour code", _read_plain(b"sRGB", 1)),
    b"gAMA": ("its gamma", _read_plain(b"gAMA", 4)),
    b"cHRM": ("its primaries", _read_plain(b"cHRM", 32)),
    b"sBIT": ("its significant bits", _read_plain(b"sBIT", None)),
    b"acTL": ("its number of frames", _read_plain(b"acTL", 8)),
}
"""What is said to be damaged if a chunk is, and how it is read."""
