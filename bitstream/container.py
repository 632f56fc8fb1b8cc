"""The file as a whole: header, coded sections, metadata, and a checksum over all of it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.header import Header
from givre.bitstream.header_code import read_header, write_header
from givre.bitstream.sections import Section, read_sections, write_sections
from givre.bitstream.varint import ByteReader
from givre.errors import CorruptError, LimitError, TruncatedError, UsageError

DEFAULT_MAX_PIXELS = 1 << 28
"""Pixels that a decoder takes unless told otherwise, 268 million: 800 MB of 8-bit colours."""

_CRC_BYTES = 4


@dataclass(frozen=True)
class TilePayload:
    """The coded sections of a tile, or of the whole picture where there are no tiles.

    Attributes:
        parameters: the parameter section; empty if all tiles share the picture's.
        latents: the latent section.
        mask: the mask section; empty for an opaque picture.
    """

    parameters: bytes
    latents: bytes
    mask: bytes = b""


@dataclass(frozen=True)
class Container:
    """One file, taken apart; UsageError if the sections' lengths are not those of the header.

    Attributes:
        header: the header, which knows the lengths of the coded sections.
        tiles: the coded sections of each tile.
        shared_parameters: the parameter section of all tiles; empty if each has its own.
        sections: what follows the pixels.
    """

    header: Header
    tiles: tuple[TilePayload, ...]
    shared_parameters: bytes = b""
    sections: tuple[Section, ...] = ()

    def __post_init__(self) -> None:
        entries, n_tiles = self.header.tiles, len(self.tiles)
        if n_tiles != len(entries):
            raise UsageError(f"there are {n_tiles} tiles, the header has {len(entries)}")
        shared = self.header.shared_parameter_bytes
        _check_length("the shared parameters have", self.shared_parameters, shared)
        for i, (tile, entry) in enumerate(zip(self.tiles, entries, strict=True)):
            _check_length(
                f"the parameters of tile {i} have", tile.parameters, entry.parameter_bytes
            )
            _check_length(f"the latents of tile {i} have", tile.latents, entry.latent_bytes)
            _check_length(f"the mask of tile {i} has", tile.mask, entry.mask_bytes)
        if self.header.has_metadata != bool(self.sections):
            raise UsageError("the header must say whether sections follow the pixels")

    def parameters(self, index: int) -> bytes:
        """The parameter section of a tile, its own or the one that all share."""
        if self.header.shares_parameters:
            return self.shared_parameters
        return self.tiles[index].parameters


def _check_length(what: str, section: bytes, expected: int) -> None:
    if len(section) != expected:
        raise UsageError(f"{what} {len(section)} bytes, the header says {expected}")


class CutContainer(Container):
    """The same of a file that is cut: tiles are missing, and the last one need not be whole."""

    def __post_init__(self) -> None:
        """Nothing is compared: lengths are those that the header announces, or less."""


def payload_bytes(header: Header) -> int:
    """Bytes of all coded sections together."""
    return header.parameter_bytes + header.latent_bytes + header.mask_bytes


def section_bytes(data: bytes) -> int:
    """Bytes of the sections after the pixels of a file, which may be cut after its header."""
    reader = ByteReader(data)
    header = read_header(reader)
    if not header.has_metadata:
        return 0
    return max(len(data) - reader.position - payload_bytes(header) - _CRC_BYTES, 0)


def pack(container: Container) -> bytes:
    """Serialise a file: header, coded sections, metadata, CRC-32 of all that precedes."""
    parts = [write_header(container.header), container.shared_parameters]
    for tile in container.tiles:
        parts += [tile.parameters, tile.latents, tile.mask]
    if container.sections:
        parts.append(write_sections(container.sections))
    body = b"".join(parts)
    return body + zlib.crc32(body).to_bytes(_CRC_BYTES, "little")


def unpack(data: bytes, max_pixels: int | None = None) -> Container:
    """Take a file apart, in the order magic number, header, limit, lengths, checksum.

    Args:
        data: the whole file.
        max_pixels: most pixels that the picture may have; None means no limit.

    Raises:
        NotGivreError: the bytes are not of this format.
        UnsupportedError: they need a later version.
        LimitError: the picture has more pixels than allowed.
        TruncatedError: bytes are missing.
        CorruptError: there are too many, a checksum does not match, or a field is impossible.
    """
    reader = ByteReader(data)
    header = read_header(reader)
    check_limit(header, max_pixels)
    least = reader.position + payload_bytes(header) + _CRC_BYTES
    if len(data) < least:
        raise TruncatedError(f"the file has {len(data)} bytes, its header announces {least}")
    shared = reader.take(header.shared_parameter_bytes, "parameter section")
    tiles = tuple(_read_tiles(reader, header))
    sections = read_sections(reader) if header.has_metadata else ()
    end = reader.position + _CRC_BYTES
    if len(data) > end:
        raise CorruptError(f"{len(data) - end} trailing bytes after the {end} of the file")
    if reader.u32("checksum of the file") != zlib.crc32(memoryview(data)[:-_CRC_BYTES]):
        raise CorruptError("the checksum of the file does not match: its bytes were altered")
    return Container(header, tiles, shared, sections)


def unpack_cut(data: bytes) -> tuple[Container, int]:
    """Take a file apart that may be cut anywhere after its header.

    Returns:
        The file, with the sections of tiles as far as they go, and the number of tiles that are
        whole. A tile is of use if its parameters are whole. Sections after the pixels are there if
        the file is whole; if it is not, the first is a `CutContainer`.

    Raises:
        NotGivreError: the bytes are not of this format.
        UnsupportedError: they need a later version.
        TruncatedError: the header is cut, or nothing that can be shown comes after it.
        CorruptError: the file is whole but damaged, or a field is impossible.
    """
    reader = ByteReader(data)
    header = read_header(reader)
    whole = reader.position + payload_bytes(header) + _CRC_BYTES
    if len(data) >= whole:
        try:
            container = unpack(data)
        except TruncatedError:  # what follows the pixels is cut
            shared = reader.take(header.shared_parameter_bytes, "parameter section")
            container = CutContainer(header, tuple(_read_tiles(reader, header)), shared)
        return container, len(container.tiles)
    shared = reader.take(header.shared_parameter_bytes, "parameter section")
    tiles: list[TilePayload] = []
    n_whole = 0
    for entry in header.tiles:
        lengths = (entry.parameter_bytes, entry.latent_bytes, entry.mask_bytes)
        found = [_up_to(reader, length) for length in lengths]
        is_whole = [len(part) for part in found] == list(lengths)
        n_whole += is_whole
        if not is_whole and len(found[0]) < entry.parameter_bytes:
            break
        tiles.append(TilePayload(*found))
        if not is_whole:
            break
    if not tiles:
        raise TruncatedError(
            f"the file ends after {len(data)} bytes, before anything that can be shown"
        )
    return CutContainer(header, tuple(tiles), shared), n_whole


def _up_to(reader: ByteReader, length: int) -> bytes:
    """The next bytes, as many as there are."""
    return reader.take(min(length, len(reader.data) - reader.position), "section")


def _read_tiles(reader: ByteReader, header: Header) -> Iterator[TilePayload]:
    for entry in header.tiles:
        yield TilePayload(
            reader.take(entry.parameter_bytes, "parameter section"),
            reader.take(entry.latent_bytes, "latent section"),
            reader.take(entry.mask_bytes, "mask section"),
        )


def read_prefix(data: bytes) -> Header:
    """Read the header alone, of a file that may be cut anywhere after it.

    Raises what `unpack` raises for the header; the checksum is not looked at.
    """
    return read_header(ByteReader(data))


def check_limit(header: Header, max_pixels: int | None = DEFAULT_MAX_PIXELS) -> None:
    """Raise LimitError if the picture has more than `max_pixels` pixels; None means no limit."""
    if max_pixels is not None and header.pixels > max_pixels:
        raise LimitError(
            f"the picture has {header.width} x {header.height} = {header.pixels} pixels, "
            f"the limit is {max_pixels}"
        )


def samples_crc(samples: NDArray[np.uint8] | NDArray[np.uint16]) -> int:
    """CRC-32 of decoded samples, (height, width, channels) of uint8 or uint16.

    They are taken row by row, channels interleaved, 16-bit samples in little-endian order.
    """
    little_endian = samples.dtype.newbyteorder("<")
    return zlib.crc32(np.ascontiguousarray(samples, dtype=little_endian).data)
