from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from givre.bitstream.header import MAX_SIDE, Header, architecture_name, read_header, write_header
from givre.bitstream.varint import ByteReader
from givre.errors import CorruptError, NotGivreError, TruncatedError, UnsupportedError, UsageError
from givre.models.architecture import NAMED_POINTS, Architecture

HEADER = Header(
    width=768,
    height=512,
    bit_depth=8,
    architecture=NAMED_POINTS["hop"],
    sample_low=(0, 1, 2),
    sample_high=(255, 254, 253),
    parameter_bytes=1900,
    latent_bytes=20_000,
    pixel_crc=0x12345678,
)
CUSTOM = Architecture(3, 1, 5, 4, n_arm_hidden=1, n_levels=4, n_hyper=1, n_channels=1)
# magic, version, flags, width, height, format, hop, 7 levels + 3 hyper, ranges, lengths, CRC
GOLDEN = bytes.fromhex(
    "9d475652 02 00 8006 8004 02 02 37 00ff01fe02fd ec0e a09c01 78563412".replace(" ", "")
)
FLAGS, WIDTH, PIXEL_FORMAT, ARCHITECTURE, GRIDS, SAMPLES = 5, 6, 10, 11, 12, 13


def read(data: bytes) -> Header:
    return read_header(ByteReader(data))


def patched(offset: int, *values: int) -> bytes:
    return GOLDEN[:offset] + bytes(values) + GOLDEN[offset + len(values) :]


@st.composite
def headers(draw: st.DrawFn) -> Header:
    n_levels = draw(st.integers(2, 15))
    picture = {
        "n_levels": n_levels,
        "n_hyper": draw(st.integers(0, max(0, n_levels - 3))),
        "n_channels": draw(st.integers(1, 4)),
    }
    arch = draw(
        st.sampled_from([replace(point, **picture) for point in NAMED_POINTS.values()])
        | st.builds(
            Architecture,
            n_spatial=st.integers(1, 40),
            n_features=st.integers(0, 16),
            synthesis_hidden=st.integers(1, 128),
            n_residual=st.integers(0, 4),
            n_arm_hidden=st.integers(0, 4),
            ups_k_size=st.sampled_from([4, 8, 16]),
            ups_preconcat_k_size=st.sampled_from([1, 7, 15]),
            **{name: st.just(value) for name, value in picture.items()},
        )
    )
    ranges = [sorted(draw(st.tuples(st.integers(0, 255), st.integers(0, 255)))) for _ in range(4)]
    n_channels = arch.n_channels
    return Header(
        width=draw(st.integers(1, MAX_SIDE)),
        height=draw(st.integers(1, MAX_SIDE)),
        bit_depth=8,
        architecture=arch,
        sample_low=tuple(low for low, _ in ranges[:n_channels]),
        sample_high=tuple(high for _, high in ranges[:n_channels]),
        parameter_bytes=draw(st.integers(0, 2**32 - 1)),
        latent_bytes=draw(st.integers(0, 2**32 - 1)),
        pixel_crc=draw(st.integers(0, 2**32 - 1)),
        prior=draw(st.integers(0, 15)),
    )


def test_golden_header() -> None:
    assert write_header(HEADER) == GOLDEN
    assert read(GOLDEN) == HEADER


def test_golden_custom_header() -> None:
    header = Header(1, 300, 8, CUSTOM, (7,), (7,), 0, 0, 0)
    encoded = bytes.fromhex("9d475652 02 00 01 ac02 00 ff03010105040807 14 0707 00 00 00000000")
    assert write_header(header) == encoded
    assert read(encoded) == header


@pytest.mark.parametrize("number", range(16))
def test_every_number_of_a_prior_is_read(number: int) -> None:
    assert read(patched(PIXEL_FORMAT, 2 | number << 4)) == replace(HEADER, prior=number)


@given(headers(), st.binary(max_size=2))
def test_headers_come_back_and_leave_the_rest(header: Header, rest: bytes) -> None:
    reader = ByteReader(write_header(header) + rest)
    assert read_header(reader) == header
    assert reader.take(len(rest), "rest") == rest


def test_fields_of_later_versions_have_their_place() -> None:
    later = replace(
        HEADER, bit_depth=16, sample_high=(65535, 254, 253), tile_size=512, has_metadata=True
    )
    assert write_header(later) == bytes.fromhex(
        "9d475652 02 03 8006 8004 06 02 37 0000ffff0100fe000200fd00 8004 ec0e a09c01 78563412"
    )


@pytest.mark.parametrize("name", NAMED_POINTS)
def test_named_points_keep_their_name_with_other_grids_and_channels(name: str) -> None:
    arch = replace(NAMED_POINTS[name], n_levels=9, n_hyper=6, n_channels=1)
    assert architecture_name(arch) == name
    assert architecture_name(replace(arch, n_spatial=arch.n_spatial + 1)) is None


@pytest.mark.parametrize("length", range(1, len(GOLDEN)))
def test_every_cut_is_reported_as_missing_bytes(length: int) -> None:
    with pytest.raises(TruncatedError):
        read(GOLDEN[:length])


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"\x9dGVX", b"G", b"\x9dGI"])
def test_foreign_bytes(data: bytes) -> None:
    with pytest.raises(NotGivreError, match="must start with the bytes 9d 47 56 52"):
        read(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (patched(4, 1), "format version 1; this decoder reads version 2"),
        (patched(4, 3), "format version 3"),
        (patched(FLAGS, 1), "tiled"),
        (patched(FLAGS, 2), "metadata"),
        (patched(FLAGS, 4), "flags are 0x04"),
        (patched(FLAGS, 128), "flags are 0x80"),
        (patched(PIXEL_FORMAT, 2 | 1 << 2), "samples have 16 bits"),
        (patched(PIXEL_FORMAT, 2 | 2 << 2), "depth code is 2"),
        (patched(PIXEL_FORMAT, 2 | 3 << 2 | 15 << 4), "depth code is 3"),
        (patched(ARCHITECTURE, 4), "architecture code 4 at offset 11"),
        (patched(ARCHITECTURE, 254), "architecture code 254"),
    ],
)
def test_features_of_later_versions_are_named(data: bytes, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        read(data)


def custom(*fields: int, grids: int = 0x37) -> bytes:
    return GOLDEN[:ARCHITECTURE] + bytes([255, *fields, grids]) + GOLDEN[SAMPLES:]


HOP_FIELDS = (14, 6, 2, 48, 2, 8, 7)


def with_field(index: int, value: int) -> bytes:
    return custom(*HOP_FIELDS[:index], value, *HOP_FIELDS[index + 1 :])


def test_custom_architecture_is_read_field_by_field() -> None:
    expected = Architecture(15, 6, 48, 2, n_arm_hidden=2, ups_k_size=8, ups_preconcat_k_size=7)
    assert read(with_field(0, 15)).architecture == expected


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (patched(WIDTH, 0x80, 0x00), "width at offset 6 has needless zero bytes"),
        (GOLDEN[:WIDTH] + b"\x00" + GOLDEN[8:], "width is 0, it must be 1 to 1048576"),
        (GOLDEN[:8] + b"\x00" + GOLDEN[10:], "height is 0"),
        (GOLDEN[:WIDTH] + b"\x81\x80\x40" + GOLDEN[8:], "width is 1048577"),
        (GOLDEN[:WIDTH] + b"\xff\xff\xff\xff\x0f" + GOLDEN[8:], "width is 4294967295"),
        (GOLDEN[:WIDTH] + b"\xff\xff\xff\xff\xff" + GOLDEN[8:], "more than 5 bytes"),
        (patched(GRIDS, 0x00), "n_levels is 0"),
        (patched(GRIDS, 0x43), "n_hyper is 4, it must be 0 to 0"),
        (patched(SAMPLES, 2, 1), "sample range is 2 to 1"),
        (custom(*HOP_FIELDS), "at offset 11 must be coded as hop"),
        (custom(*HOP_FIELDS, grids=0x14), "must be coded as hop"),
        (with_field(0, 0), "n_spatial is 0"),
        (with_field(0, 41), "n_spatial is 41"),
        (with_field(1, 17), "n_features is 17"),
        (with_field(2, 5), "n_arm_hidden is 5"),
        (with_field(3, 255), "synthesis_hidden is 255"),
        (with_field(4, 5), "n_residual is 5"),
        (with_field(5, 7), "ups_k_size must be even"),
        (with_field(6, 6), "ups_preconcat_k_size odd"),
    ],
)
def test_values_that_no_encoder_writes(data: bytes, message: str) -> None:
    with pytest.raises(CorruptError, match=message):
        read(data)


@pytest.mark.parametrize(
    "change",
    [
        {"width": 0},
        {"height": MAX_SIDE + 1},
        {"bit_depth": 12},
        {"parameter_bytes": -1},
        {"latent_bytes": 2**32},
        {"pixel_crc": 2**32},
        {"tile_size": 0},
        {"prior": -1},
        {"prior": 16},
        {"sample_low": (0, 0)},
        {"sample_low": (0, 0, 254)},
        {"sample_high": (255, 255, 256)},
    ],
)
def test_impossible_headers_cannot_be_made(change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        replace(HEADER, **change)  # type: ignore[arg-type]
