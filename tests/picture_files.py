"""Image files and metadata blocks drawn for the tests, sound and damaged."""

from __future__ import annotations

import io
import struct
import zlib
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from givre.coder.files.picture import AnySamples
from givre.coder.files.reading import PictureSource, load_picture, read_picture

needs_deep = pytest.mark.skipif(
    find_spec("imagecodecs") is None or find_spec("tifffile") is None,
    reason="needs the extra givre[deep]",
)


def random_samples(
    height: int, width: int, channels: int, bit_depth: int = 8, seed: int = 1
) -> np.ndarray:
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    size = (height, width, channels)
    return np.random.default_rng(seed).integers(0, 1 << bit_depth, size, dtype)


def load_samples(source: PictureSource) -> AnySamples:
    """Samples (H, W, C) of a picture, without what belongs to them."""
    return load_picture(source).samples


def read_samples(data: bytes, name: str) -> AnySamples:
    """Samples (H, W, C) of a file's content."""
    return read_picture(data, name).samples


def file_of(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png_file(
    width: int,
    height: int,
    *,
    depth: int = 8,
    colour_type: int = 2,
    rows: bytes = b"",
    chunks: bytes = b"",
) -> bytes:
    """A PNG file written by hand, which may promise more pixels than it holds.

    Args:
        width, height: in pixels.
        depth: bits a sample.
        colour_type: as PNG numbers them.
        rows: the rows, each after the number of its filter.
        chunks: whole chunks between the header and the rows.
    """
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = [png_chunk(b"IHDR", header), chunks]
    parts += [png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def exif_block(orientation: int | None = None, maker: str = "Givre", order: str = "<") -> bytes:
    """EXIF with a maker, a time in the camera's own directory, and perhaps an orientation."""
    exif = Image.Exif()
    exif.endian = order
    exif[271] = maker
    if orientation is not None:
        exif[274] = orientation
    exif.get_ifd(34665)[36867] = "2001:02:03 04:05:06"
    return exif.tobytes().removeprefix(b"Exif\0\0")


def exif_values(block: bytes) -> dict[int, object]:
    """The maker, orientation and time of EXIF, as Pillow reads them."""
    exif = Image.Exif()
    exif.load(block)
    values = {tag: exif[tag] for tag in (271, 274) if tag in exif}
    return values | {tag: value for tag, value in exif.get_ifd(34665).items() if tag == 36867}


def tiff_file(
    width: int,
    height: int,
    pixels: bytes,
    *,
    bits: tuple[int, ...] = (8,),
    photometric: int = 1,
    more: dict[int, int] | None = None,
    far: dict[int, tuple[int, int]] | None = None,
    order: str = "<",
) -> bytes:
    """A TIFF file written by hand, not packed.

    Args:
        width, height: in pixels.
        pixels: the content of the only strip.
        bits: of the samples of a pixel.
        photometric: as TIFF numbers them.
        more: short entries by their tags.
        far: kind and number of values by the tags of entries whose values are the pixels' bytes.
        order: "<" or ">".
    """
    bits_at = 8 + len(pixels)
    entries: dict[int, tuple[int, int, int]] = {
        256: (4, 1, width),
        257: (4, 1, height),
        258: (3, len(bits), bits_at),
        259: (3, 1, 1),
        262: (3, 1, photometric),
        273: (4, 1, 8),
        277: (3, 1, len(bits)),
        278: (4, 1, height),
        279: (4, 1, len(pixels)),
    }
    entries |= {tag: (3, 1, value) for tag, value in (more or {}).items()}
    entries |= {tag: (kind, count, 8) for tag, (kind, count) in (far or {}).items()}
    if len(bits) <= 2:
        entries[258] = (3, len(bits), -1)
    body = b""
    for tag, (kind, count, value) in sorted(entries.items()):
        if value == -1:
            field = struct.pack(f"{order}{len(bits)}H", *bits).ljust(4, b"\0")
        elif kind == 3 and count == 1:
            field = struct.pack(order + "HH", value, 0)
        else:
            field = struct.pack(order + "I", value)
        body += struct.pack(order + "HHI", tag, kind, count) + field
    depths = struct.pack(f"{order}{len(bits)}H", *bits)
    directory = struct.pack(order + "H", len(entries)) + body + bytes(4)
    start = {"<": b"II*\0", ">": b"MM\0*"}[order]
    return start + struct.pack(order + "I", bits_at + len(depths)) + pixels + depths + directory


def bmp_with_masks(width: int, pixels: bytes, bits: int, masks: tuple[int, int, int, int]) -> bytes:
    """A BMP file of one row, whose header tells the bits of red, green, blue and alpha."""
    pixels = pixels.ljust((width * bits // 8 + 3) // 4 * 4, b"\0")
    header = struct.pack("<IiiHHIIiiII", 108, width, 1, 1, bits, 3, len(pixels), 0, 0, 0, 0)
    header += struct.pack("<4I", *masks) + bytes(108 - 56)
    start = 14 + len(header)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + header + pixels
