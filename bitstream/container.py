"""The file as a whole: header, two sections and a checksum over all of it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.header import Header, read_header, write_header
from givre.bitstream.varint import ByteReader
from givre.errors import CorruptError, LimitError, TruncatedError, UsageError

DEFAULT_MAX_PIXELS = 89_478_485
"""Pixels that a decoder takes unless told otherwise: Pillow's limit, 2^30 bytes / 4 / 3."""

_CRC_BYTES = 4


@dataclass(frozen=True)
class Container:
    """One file, taken apart; UsageError if the sections' lengths are not those of the header.

    Attributes:
        header: the header, which knows the lengths of the sections.
        parameters: the parameter section, header.parameter_bytes bytes.
        latents: the latent section, header.latent_bytes bytes.
    """

    header: Header
    parameters: bytes
    latents: bytes

    def __post_init__(self) -> None:
        expected = self.header.parameter_bytes, self.header.latent_bytes
        found = len(self.parameters), len(self.latents)
        if expected != found:
            raise UsageError(f"the header says {expected} bytes a section, but they have {found}")


def pack(container: Container) -> bytes:
    """Serialise a file: header, parameters, latents, CRC-32 of all that precedes."""
    body = write_header(container.header) + container.parameters + container.latents
    return body + zlib.crc32(body).to_bytes(_CRC_BYTES, "little")


def unpack(data: bytes, max_pixels: int | None = None) -> Container:
    """Take a file apart, in the order magic number, header, limit, total length, checksum.

    Args:
        data: the whole file.
        max_pixels: most pixels that the picture may have; None means no limit.

    Raises:
        NotGivreError: the bytes are not of this format.
        UnsupportedError: they need a later version.
        LimitError: the picture has more pixels than allowed.
        TruncatedError: bytes are missing.
        CorruptError: there are too many, the checksum does not match, or a header field is
            impossible.
    """
    reader = ByteReader(data)
    header = read_header(reader)
    check_limit(header, max_pixels)
    expected = reader.position + header.parameter_bytes + header.latent_bytes + _CRC_BYTES
    if len(data) < expected:
        raise TruncatedError(f"the file has {len(data)} bytes, its header announces {expected}")
    if len(data) > expected:
        raise CorruptError(
            f"{len(data) - expected} trailing bytes after the {expected} of the file"
        )
    parameters = reader.take(header.parameter_bytes, "parameter section")
    latents = reader.take(header.latent_bytes, "latent section")
    if reader.u32("checksum of the file") != zlib.crc32(memoryview(data)[:-_CRC_BYTES]):
        raise CorruptError("the checksum of the file does not match: its bytes were altered")
    return Container(header, parameters, latents)


def read_prefix(data: bytes) -> Header:
    """Read the header alone, of a file that may be cut anywhere after it.

    Raises what `unpack` raises for the header; the checksum is not looked at.
    """
    return read_header(ByteReader(data))


def check_limit(header: Header, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> None:
    """Raise LimitError if the picture has more than `max_pixels` pixels; None means no limit."""
    pixels = header.width * header.height
    if max_pixels is not None and pixels > max_pixels:
        raise LimitError(
            f"the picture has {header.width} x {header.height} = {pixels} pixels, "
            f"the limit is {max_pixels}"
        )


def samples_crc(samples: NDArray[np.uint8] | NDArray[np.uint16]) -> int:
    """CRC-32 of decoded samples, (height, width, channels) of uint8 or uint16.

    They are taken row by row, channels interleaved, 16-bit samples in little-endian order.
    """
    little_endian = samples.dtype.newbyteorder("<")
    return zlib.crc32(np.ascontiguousarray(samples, dtype=little_endian).tobytes())
