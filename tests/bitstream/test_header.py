from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from givre.bitstream.header import MAX_SIDE, Header, read_header, write_header
from givre.bitstream.varint import ByteReader, encode_varint
from givre.errors import (
    BitstreamError,
    CorruptError,
    NotGivreError,
    TruncatedError,
    UnsupportedError,
    UsageError,
)
from givre.models.architecture import NAMED_POINTS, Architecture, architecture_name, default_grids

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
# magic, version, hop and margins of the range, format, width, height, margins, lengths, CRC
GOLDEN = bytes.fromhex("9d4756 03 12 02 ff05 ff03 001122 ec0e a09c01 78563412")
VERSION, DECODER, PIXEL_FORMAT, WIDTH, HEIGHT, SAMPLES, LENGTHS = 3, 4, 5, 6, 8, 10, 13


def read(data: bytes) -> Header:
    return read_header(ByteReader(data))


def patched(offset: int, *values: int) -> bytes:
    return GOLDEN[:offset] + bytes(values) + GOLDEN[offset + len(values) :]


def sized(width: bytes, height: bytes, decoder: int = 0x12, grids: bytes = b"") -> bytes:
    """The golden header with other bytes for the picture's size and the grids after it."""
    return GOLDEN[:DECODER] + bytes([decoder, 2]) + width + height + grids + GOLDEN[SAMPLES:]


def ranged(code: int, *values: int) -> bytes:
    """The golden header with another sample range."""
    return (
        GOLDEN[:DECODER] + bytes([2 | code << 4]) + GOLDEN[PIXEL_FORMAT:SAMPLES] + bytes(values)
    ) + GOLDEN[LENGTHS:]


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
    furthest = draw(st.sampled_from([0, 15, 16, 255]))
    margins = st.tuples(st.integers(0, furthest), st.integers(0, furthest))
    ranges = [sorted((low, 255 - high)) for low, high in (draw(margins) for _ in range(4))]
    n_channels = arch.n_channels
    sides = st.integers(1, MAX_SIDE) | st.integers(1, 3000)
    return Header(
        width=draw(sides),
        height=draw(sides),
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
    encoded = bytes.fromhex("9d4756 03 2f 03010105040807 00 00 ab02 14 0707 00 00 00000000")
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


@given(
    st.integers(0, 63) | st.integers(0, 255),
    st.binary(max_size=7),
    st.integers(0, 3) | st.integers(0, 255),
    st.binary(min_size=4, max_size=30),
)
def test_what_can_be_read_is_what_would_be_written(
    decoder: int, custom: bytes, pixel_format: int, rest: bytes
) -> None:
    """Every header has one code: whatever is no error comes back byte for byte."""
    data = GOLDEN[:DECODER] + bytes([decoder]) + custom + bytes([pixel_format]) + rest
    reader = ByteReader(data + b"\x01" * 20)
    try:
        header = read_header(reader)
    except BitstreamError:
        return
    assert write_header(header) == reader.data[: reader.position]


def test_fields_of_later_versions_have_their_place() -> None:
    later = replace(
        HEADER, bit_depth=16, sample_high=(65535, 254, 253), tile_size=512, has_metadata=True
    )
    assert write_header(later) == bytes.fromhex(
        "9d4756 03 e2 06 ff05 ff03 0000ffff0100fe000200fd00 8004 ec0e a09c01 78563412"
    )
    near = replace(HEADER, bit_depth=16, sample_high=(65535, 65534, 65520))
    assert write_header(near) == bytes.fromhex(
        "9d4756 03 12 06 ff05 ff03 0011f2 ec0e a09c01 78563412"
    )


@pytest.mark.parametrize(
    ("low", "high", "coded"),
    [
        ((0, 0, 0), (255, 255, 255), "02 02 ff05 ff03"),
        ((0, 0, 1), (255, 255, 255), "12 02 ff05 ff03 000001"),
        ((15, 0, 1), (240, 255, 253), "12 02 ff05 ff03 ff0021"),
        ((16, 0, 0), (255, 255, 255), "22 02 ff05 ff03 10ff00ff00ff"),
        ((0, 0, 0), (255, 239, 255), "22 02 ff05 ff03 00ff00ef00ff"),
        ((9, 9, 0), (9, 9, 255), "22 02 ff05 ff03 0909090900ff"),
    ],
)
def test_the_sample_range_takes_the_least_code(
    low: tuple[int, ...], high: tuple[int, ...], coded: str
) -> None:
    header = replace(HEADER, sample_low=low, sample_high=high)
    expected = GOLDEN[:DECODER] + bytes.fromhex(coded) + GOLDEN[LENGTHS:]
    assert write_header(header) == expected
    assert read(expected) == header


@pytest.mark.parametrize(
    ("width", "height", "default"),
    [(1, 1, 0x37), (999, 1001, 0x37), (1000, 1000, 0x48), (2999, 1000, 0x48), (2000, 1500, 0x59),
     (MAX_SIDE, MAX_SIDE, 0x59)],
)  # fmt: skip
def test_usual_grids_are_left_out(width: int, height: int, default: int) -> None:
    found = default & 15, default >> 4
    assert default_grids(width, height) == found
    for grids in (0x37, 0x48, 0x59):
        arch = replace(NAMED_POINTS["hop"], n_levels=grids & 15, n_hyper=grids >> 4)
        header = replace(HEADER, width=width, height=height, architecture=arch)
        data = write_header(header)
        assert read(data) == header
        usual = grids == default
        assert data[DECODER] == 0x12 | (0 if usual else 8)
        size = encode_varint(width - 1) + encode_varint(height - 1)
        rest = size + (b"" if usual else bytes([grids])) + GOLDEN[SAMPLES:]
        assert data[WIDTH:] == rest


def test_the_shortest_header() -> None:
    arch = replace(NAMED_POINTS["lop"], n_channels=1)
    assert len(write_header(Header(128, 128, 8, arch, (0,), (255,), 0, 127, 0))) == 14


@pytest.mark.parametrize("name", NAMED_POINTS)
def test_named_points_keep_their_name_with_other_grids_and_channels(name: str) -> None:
    arch = replace(NAMED_POINTS[name], n_levels=9, n_hyper=6, n_channels=1)
    assert architecture_name(arch) == name
    assert architecture_name(replace(arch, n_spatial=arch.n_spatial + 1)) is None


@pytest.mark.parametrize("length", range(1, len(GOLDEN)))
def test_every_cut_is_reported_as_missing_bytes(length: int) -> None:
    with pytest.raises(TruncatedError):
        read(GOLDEN[:length])


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"\x9dGX", b"G", b"\x9dI"])
def test_foreign_bytes(data: bytes) -> None:
    with pytest.raises(NotGivreError, match=r"must start with the bytes 9d 47 56$"):
        read(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (patched(VERSION, 2), "format version 2; this decoder reads version 3"),
        (patched(VERSION, 4), "format version 4"),
        (patched(VERSION, ord("R")), "format version 82"),
        (patched(DECODER, 0x52), "tiled"),
        (patched(DECODER, 0x92), "metadata"),
        (patched(PIXEL_FORMAT, 2 | 1 << 2), "samples have 16 bits"),
        (patched(PIXEL_FORMAT, 2 | 2 << 2), "depth code is 2"),
        (patched(PIXEL_FORMAT, 2 | 3 << 2 | 15 << 4), "depth code is 3"),
        (patched(DECODER, 0x14), "architecture code 4 at offset 4"),
        (patched(DECODER, 0x05), "architecture code 5"),
        (patched(DECODER, 0x3E), "architecture code 6"),
    ],
)
def test_features_of_later_versions_are_named(data: bytes, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        read(data)


def custom(*fields: int, grids: int | None = None) -> bytes:
    decoder, counts = (0x17, b"") if grids is None else (0x1F, bytes([grids]))
    picture = GOLDEN[PIXEL_FORMAT:SAMPLES]
    return GOLDEN[:DECODER] + bytes([decoder, *fields]) + picture + counts + GOLDEN[SAMPLES:]


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
        (sized(b"\x80\x80\x40", b"\x00"), "width is 1048577, it must be 1 to 1048576"),
        (sized(b"\x00", b"\x80\x80\x40"), "height is 1048577"),
        (sized(b"\xff\xff\xff\xff\x0f", b"\x00"), "width is 4294967296"),
        (sized(b"\xff\xff\xff\xff\xff", b"\x00"), "more than 5 bytes"),
        (sized(b"\x07", b"\x07", 0x1A, b"\x00"), "n_levels is 0"),
        (sized(b"\x07", b"\x07", 0x1A, b"\x43"), "n_hyper is 4, it must be 0 to 0"),
        (sized(b"\x07", b"\x07", 0x1A, b"\x37"), "grid counts at offset 8 are those of the"),
        (sized(b"\xe7\x07", b"\xe7\x07", 0x1A, b"\x48"), "grid counts at offset 10 are those"),
        (ranged(0x3), "code of the sample range is 3, it must be 0 to 2"),
        (ranged(0x1, 0, 0, 0), "sample range at offset 10 has code 1, it must have 0"),
        (ranged(0x2, 0, 255, 0, 255, 0, 255), "has code 2, it must have 0"),
        (ranged(0x2, 0, 255, 15, 240, 0, 255), "has code 2, it must have 1"),
        (ranged(0x2, 0, 255, 2, 1, 0, 255), "sample range is 2 to 1"),
        (custom(*HOP_FIELDS), "at offset 4 must be coded as hop"),
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
