from __future__ import annotations

import tracemalloc
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from givre.bitstream.container import (
    DEFAULT_MAX_PIXELS,
    Container,
    check_limit,
    pack,
    read_prefix,
    samples_crc,
    unpack,
)
from givre.bitstream.header import MAX_SIDE, Header, write_header
from givre.errors import (
    BitstreamError,
    CorruptError,
    LimitError,
    NotGivreError,
    TruncatedError,
    UsageError,
)
from givre.models.architecture import NAMED_POINTS

HEADER = Header(
    width=9,
    height=5,
    bit_depth=8,
    architecture=replace(NAMED_POINTS["lop"], n_channels=1),
    sample_low=(3,),
    sample_high=(250,),
    parameter_bytes=3,
    latent_bytes=2,
    pixel_crc=1,
)
CONTAINER = Container(HEADER, b"\x01\x02\x03", b"\x04\x05")
PACKED = pack(CONTAINER)


def test_golden_container() -> None:
    body = bytes.fromhex("9d4756 03 10 00 08 04 53 03 02 01000000 010203 0405")
    assert body + zlib.crc32(body).to_bytes(4, "little") == PACKED
    assert PACKED[-4:] == bytes.fromhex("67d42aa9")


def test_photograph_overhead() -> None:
    header = replace(
        HEADER,
        width=768,
        height=512,
        architecture=NAMED_POINTS["hop"],
        sample_low=(0, 0, 0),
        sample_high=(255, 255, 255),
        parameter_bytes=2000,
        latent_bytes=30_000,
    )
    packed = pack(Container(header, bytes(2000), bytes(30_000)))
    assert len(packed) - 32_000 == 23


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_containers_come_back(parameters: bytes, latents: bytes) -> None:
    header = replace(HEADER, parameter_bytes=len(parameters), latent_bytes=len(latents))
    container = Container(header, parameters, latents)
    packed = pack(container)
    assert unpack(packed) == container
    assert read_prefix(packed) == header


@pytest.mark.parametrize("length", range(len(PACKED)))
def test_every_cut_is_an_error(length: int) -> None:
    with pytest.raises(TruncatedError if length else NotGivreError):
        unpack(PACKED[:length])


@pytest.mark.parametrize("bit", range(8 * len(PACKED)))
def test_every_flipped_bit_is_an_error(bit: int) -> None:
    altered = bytearray(PACKED)
    altered[bit // 8] ^= 1 << bit % 8
    in_magic = bit < 24
    in_payload = bit >= 8 * len(write_header(HEADER))
    expected = NotGivreError if in_magic else CorruptError if in_payload else BitstreamError
    with pytest.raises(expected):
        unpack(bytes(altered))


def test_swapped_sections_are_an_error() -> None:
    swapped = replace(HEADER, parameter_bytes=2, latent_bytes=3)
    body = write_header(swapped) + b"\x01\x02\x03\x04\x05"
    with pytest.raises(CorruptError, match="checksum of the file does not match"):
        unpack(body + PACKED[-4:])


@pytest.mark.parametrize("trailing", [b"\0", PACKED])
def test_trailing_bytes_are_an_error(trailing: bytes) -> None:
    with pytest.raises(
        CorruptError, match=f"{len(trailing)} trailing bytes after the {len(PACKED)}"
    ):
        unpack(PACKED + trailing)


def test_huge_announced_sizes_cost_no_memory() -> None:
    huge = replace(
        HEADER,
        width=MAX_SIDE,
        height=MAX_SIDE,
        parameter_bytes=2**32 - 1,
        latent_bytes=2**32 - 1,
    )
    data = write_header(huge) + bytes(64)
    tracemalloc.start()
    with pytest.raises(TruncatedError, match="its header announces 8589934"):
        unpack(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


def test_a_cut_file_still_shows_its_header() -> None:
    n_header = len(write_header(HEADER))
    assert read_prefix(PACKED[:n_header]) == HEADER
    with pytest.raises(TruncatedError):
        read_prefix(PACKED[: n_header - 1])


def test_pixel_limit() -> None:
    square = replace(HEADER, width=1000, height=1000)
    check_limit(square, 1_000_000)
    with pytest.raises(LimitError, match="1000 x 1000 = 1000000 pixels, the limit is 999999"):
        check_limit(square, 999_999)
    largest = replace(HEADER, width=MAX_SIDE, height=MAX_SIDE)
    with pytest.raises(LimitError, match=str(DEFAULT_MAX_PIXELS)):
        check_limit(largest)
    check_limit(largest, None)


def test_default_limit_is_that_of_pillow() -> None:
    image = pytest.importorskip("PIL.Image")
    assert image.MAX_IMAGE_PIXELS == DEFAULT_MAX_PIXELS


def test_header_and_sections_must_agree() -> None:
    with pytest.raises(UsageError, match=r"\(3, 2\) bytes a section, but they have \(3, 1\)"):
        Container(HEADER, b"\x01\x02\x03", b"\x04")


def test_samples_crc_is_row_major_interleaved_and_little_endian() -> None:
    samples = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert samples_crc(samples) == zlib.crc32(bytes(range(24)))
    planes = np.ascontiguousarray(samples.transpose(2, 0, 1))
    assert samples_crc(planes.transpose(1, 2, 0)) == zlib.crc32(bytes(range(24)))
    wide = np.array([[[0x0102], [0x0304]]], dtype=np.uint16)
    assert samples_crc(wide) == zlib.crc32(b"\x02\x01\x04\x03")
    assert samples_crc(wide.astype(">u2")) == zlib.crc32(b"\x02\x01\x04\x03")
