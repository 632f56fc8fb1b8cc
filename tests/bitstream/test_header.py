from __future__ import annotations

import subprocess
from dataclasses import replace
from itertools import product
from pathlib import Path
from shutil import which

import pytest
from header_cases import headers
from hypothesis import given, settings
from hypothesis import strategies as st
from places import CONFORMANCE

from givre.bitstream.header import MAX_SIDE, Alpha, Header, TileEntry
from givre.bitstream.header_code import read_header, write_header
from givre.bitstream.tiling import Tiling
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

ENTRY = TileEntry(
    sample_low=(0, 1, 2),
    sample_high=(255, 254, 253),
    parameter_bytes=1900,
    latent_bytes=20_000,
    pixel_crc=0x12345678,
)
HEADER = Header(
    width=768, height=512, bit_depth=8, architecture=NAMED_POINTS["hop"], tiles=(ENTRY,)
)
CUSTOM = Architecture(3, 1, 5, 4, n_arm_hidden=1, n_levels=4, n_hyper=1, n_channels=1)
# magic, version, hop and margins of the range, format, width, height, margins, lengths, CRC
GOLDEN = bytes.fromhex("8f4756 04 13 02 ff05 ff03 001122 ec0e a09c01 78563412")
VERSION, DECODER, PIXEL_FORMAT, WIDTH, HEIGHT, SAMPLES, LENGTHS = 3, 4, 5, 6, 8, 10, 13


def read(data: bytes) -> Header:
    return read_header(ByteReader(data))


def assert_one_line(error: BaseException) -> None:
    assert str(error)
    assert "\n" not in str(error)


def with_entry(header: Header = HEADER, **changes: object) -> Header:
    """The header with another entry for each of its tiles."""
    tiles = tuple(replace(tile, **changes) for tile in header.tiles)  # type: ignore[arg-type]
    return replace(header, tiles=tiles)


def patched(offset: int, *values: int) -> bytes:
    return GOLDEN[:offset] + bytes(values) + GOLDEN[offset + len(values) :]


def built(
    decoder: int = 0x13, pixel_format: int = 2, size: str = "ff05 ff03", rest: str = ""
) -> bytes:
    """The golden header's first bytes with others after them."""
    return GOLDEN[:DECODER] + bytes([decoder, pixel_format]) + bytes.fromhex(size + rest)


def sized(size: str, grids: str = "", decoder: int = 0x13) -> bytes:
    """The golden header with other bytes for the picture's size and the grids after it."""
    return built(decoder, size=size, rest=grids) + GOLDEN[SAMPLES:]


def ranged(code: int, *values: int) -> bytes:
    """The golden header with another sample range."""
    return built(3 | code << 4) + bytes(values) + GOLDEN[LENGTHS:]


def deep(depth: int, samples: str, code: int = 2) -> bytes:
    """The golden header with another depth and sample range."""
    return built(3 | code << 4, 6, rest=f"{depth:02x}" + samples) + GOLDEN[LENGTHS:]


# --- golden bytes -------------------------------------------------------------------------------


def test_golden_header() -> None:
    assert write_header(HEADER) == GOLDEN
    assert read(GOLDEN) == HEADER


def test_golden_custom_header() -> None:
    header = Header(1, 300, 8, CUSTOM, (TileEntry((7,), (7,), 0, 0, 0),))
    encoded = bytes.fromhex("8f4756 04 2f 03010105040807 00 00 ab02 14 0707 00 00 00000000")
    assert write_header(header) == encoded
    assert read(encoded) == header


LOP_GREY = replace(NAMED_POINTS["lop"], n_channels=1)
SOFT_COLOURS = replace(NAMED_POINTS["vhop"], n_channels=4)
GOLDEN_KINDS = {
    "mask alone": (
        Header(
            2, 1, 8, LOP_GREY, (TileEntry((0,), (255,), 1, 2, 0xAABBCCDD, 3),), Alpha.MASK, prior=5
        ),
        "01 59 01 00 01 02 03 ddccbbaa",
    ),
    "soft alpha of 10 bits": (
        Header(
            2,
            1,
            10,
            SOFT_COLOURS,
            (TileEntry((0, 1, 15, 0), (1023, 1023, 1008, 1022), 0, 0, 1, 200),),
            Alpha.SOFT,
        ),
        "14 07 01 00 0a 0001ff10 00 00 c801 01000000",
    ),
    "pairs of 16 bits": (
        Header(1, 1, 16, LOP_GREY, (TileEntry((16,), (65534,), 0, 0, 0),)),
        "21 04 00 00 10 1000feff 00 00 00000000",
    ),
    "tiles of unequal sizes": (
        Header(
            65,
            129,
            8,
            LOP_GREY,
            tuple(TileEntry((0,), (255 - i,), i, 2 * i, i) for i in range(4)),
            tiling=Tiling(64, 128),
            has_metadata=True,
        ),
        "d1 00 40 8001 02 00 01"
        " 00 00 00 00000000 10 01 02 01000000 20 02 04 02000000 30 03 06 03000000",
    ),
    "shared parameters, 9 bits, alpha, other grids": (
        Header(
            100,
            70,
            9,
            replace(NAMED_POINTS["mop"], n_levels=5, n_hyper=2),
            (
                TileEntry((0, 0, 0), (511, 511, 511), 0, 7, 1, 8),
                TileEntry((0, 0, 100), (511, 510, 300), 0, 5, 2, 6),
            ),
            Alpha.MASK,
            Tiling(64, 128, shared=True, overlap=0),
            shared_parameter_bytes=300,
            prior=15,
        ),
        "6a ff 63 45 09 01 00 01 25 ac02"
        " 0000ff010000ff010000ff01 07 08 01000000 0000ff010000fe0164002c01 05 06 02000000",
    ),
}


@pytest.mark.parametrize("kind", GOLDEN_KINDS)
def test_golden_headers_of_other_kinds(kind: str) -> None:
    header, encoded = GOLDEN_KINDS[kind]
    expected = GOLDEN[:DECODER] + bytes.fromhex(encoded)
    assert write_header(header).hex(" ") == expected.hex(" ")
    assert read(expected) == header


@pytest.mark.parametrize("number", range(16))
def test_every_number_of_a_prior_is_read(number: int) -> None:
    assert read(patched(PIXEL_FORMAT, 2 | number << 4)) == replace(HEADER, prior=number)


@pytest.mark.parametrize(
    ("alpha", "n_outputs", "channels", "pixel_format"),
    [
        (Alpha.NONE, 1, 1, 0),
        (Alpha.NONE, 3, 3, 2),
        (Alpha.SOFT, 2, 2, 1),
        (Alpha.SOFT, 4, 4, 3),
        (Alpha.MASK, 1, 2, 9),
        (Alpha.MASK, 3, 4, 11),
    ],
)
def test_outputs_and_alpha_make_the_channels(
    alpha: Alpha, n_outputs: int, channels: int, pixel_format: int
) -> None:
    arch = replace(NAMED_POINTS["hop"], n_channels=n_outputs)
    entry = TileEntry((0,) * n_outputs, (255,) * n_outputs, 1, 1, 1)
    header = Header(5, 5, 8, arch, (entry,), alpha)
    assert header.channels == channels
    assert write_header(header)[PIXEL_FORMAT] == pixel_format


# --- one code for every header ------------------------------------------------------------------


@given(headers(), st.binary(max_size=2))
def test_headers_come_back_and_leave_the_rest(header: Header, rest: bytes) -> None:
    reader = ByteReader(write_header(header) + rest)
    assert read_header(reader) == header
    assert reader.take(len(rest), "rest") == rest


BYTE = st.integers(0, 255)
VARINT = st.sampled_from([0, 1, 63, 64, 299, 2**20 - 1]).map(encode_varint)


@st.composite
def plausible_headers(draw: st.DrawFn) -> bytes:
    """Bytes with a field where one belongs; whether an encoder would write them is another thing.

    Codes of ranges may be larger than need be, grid counts may be the usual ones, and a custom
    architecture may have a name.
    """
    arch, code = draw(st.sampled_from([1, 2, 3, 4, 7])), draw(st.integers(0, 2))
    grids, tiled, metadata = (draw(st.booleans()) for _ in range(3))
    channels, mask, is_deep = draw(st.integers(1, 4)), draw(st.booleans()), draw(st.booleans())
    mask = mask and channels % 2 == 0
    n_outputs, alpha, shared = channels - mask, channels % 2 == 0, draw(st.booleans())
    width, height = draw(st.sampled_from([(9, 9), (100, 65), (64, 129), (200, 64)]))
    parts = [GOLDEN[:DECODER], bytes([arch | grids << 3 | code << 4 | tiled << 6 | metadata << 7])]
    if arch == 7:
        named = st.just(HOP_FIELDS) | st.sampled_from(range(7)).map(
            lambda i: (*HOP_FIELDS[:i], HOP_FIELDS[i] + 2, *HOP_FIELDS[i + 1 :])
        )
        parts.append(bytes(draw(named)))
    prior = draw(st.integers(0, 15))
    parts.append(bytes([channels - 1 | is_deep << 2 | mask << 3 | prior << 4]))
    parts += [encode_varint(width - 1), encode_varint(height - 1)]
    depth = draw(st.integers(8, 16)) if is_deep else 8
    if is_deep:
        parts.append(bytes([depth]))
    if tiled:
        parts += [bytes([draw(st.sampled_from([0, 2])) + shared]), b"\0\0"]
    if grids:
        parts.append(bytes([draw(st.sampled_from([0x37, 0x02, 0x25, 0x48, 0xCF]))]))
    if tiled and shared:
        parts.append(draw(VARINT))
    for _ in range(-(-width // 64) * -(-height // 64) if tiled else 1):
        for _ in range(n_outputs):
            parts.append(draw(plausible_ranges(code, depth)))
        for _ in range(1 + (not (tiled and shared)) + alpha):
            parts.append(draw(VARINT))
        parts.append(draw(st.binary(min_size=4, max_size=4)))
    return b"".join(parts)


def plausible_ranges(code: int, depth: int) -> st.SearchStrategy[bytes]:
    """Samples of one output."""
    if code == 0:
        return st.just(b"")
    if code == 1:
        return st.sampled_from([b"\0", b"\1", b"\xf0", b"\xff"])
    largest, size = (1 << depth) - 1, 1 if depth == 8 else 2
    lows, highs = st.sampled_from([0, 15, 16, 200]), st.sampled_from([largest, largest - 20, 200])
    return st.tuples(lows, highs).map(lambda p: b"".join(n.to_bytes(size, "little") for n in p))


HOP_FIELDS = (14, 6, 2, 48, 2, 8, 7)


def assert_one_code(data: bytes) -> None:
    """Whatever is no error comes back byte for byte."""
    reader = ByteReader(data)
    try:
        header = read_header(reader)
    except BitstreamError as error:
        assert_one_line(error)
        return
    assert write_header(header) == reader.data[: reader.position]


@settings(max_examples=150, deadline=None)
@given(plausible_headers())
def test_what_can_be_read_is_what_would_be_written(data: bytes) -> None:
    assert_one_code(data + bytes(40))


@settings(max_examples=150, deadline=None)
@given(plausible_headers(), st.data())
def test_what_is_left_out_or_put_in_or_changed_has_one_code_too(
    header: bytes, data: st.DataObject
) -> None:
    place = data.draw(st.integers(DECODER, len(header) - 1))
    removed, added = data.draw(st.integers(0, 1)), bytes(data.draw(st.lists(BYTE, max_size=1)))
    assert_one_code(header[:place] + added + header[place + removed :] + bytes(40))


@given(st.binary(max_size=30))
def test_random_bytes_after_the_version_have_one_code(rest: bytes) -> None:
    assert_one_code(GOLDEN[:DECODER] + rest + b"\x01" * 60)


def test_plausible_headers_are_read_and_refused() -> None:
    """Otherwise the tests above would tell nothing."""
    outcomes = []

    @settings(max_examples=100, deadline=None, database=None)
    @given(plausible_headers())
    def try_one(data: bytes) -> None:
        try:
            read(data + bytes(40))
        except BitstreamError:
            outcomes.append(False)
        else:
            outcomes.append(True)

    try_one()
    assert 0.2 < sum(outcomes) / len(outcomes) < 0.95


@given(headers(), st.data())
def test_a_changed_byte_is_an_error_or_another_header(header: Header, data: st.DataObject) -> None:
    encoded = bytearray(write_header(header))
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] ^= data.draw(st.integers(1, 255))
    reader = ByteReader(bytes(encoded) + bytes(40))
    try:
        found = read_header(reader)
    except BitstreamError as error:
        assert_one_line(error)
        return
    assert found != header
    assert write_header(found) == reader.data[: reader.position]


@pytest.mark.parametrize(
    ("low", "high", "coded"),
    [
        ((0, 0, 0), (255, 255, 255), "03 02 ff05 ff03"),
        ((0, 0, 1), (255, 255, 255), "13 02 ff05 ff03 000001"),
        ((15, 0, 1), (240, 255, 253), "13 02 ff05 ff03 ff0021"),
        ((16, 0, 0), (255, 255, 255), "23 02 ff05 ff03 10ff00ff00ff"),
        ((0, 0, 0), (255, 239, 255), "23 02 ff05 ff03 00ff00ef00ff"),
        ((9, 9, 0), (9, 9, 255), "23 02 ff05 ff03 0909090900ff"),
    ],
)
def test_the_sample_range_takes_the_least_code(
    low: tuple[int, ...], high: tuple[int, ...], coded: str
) -> None:
    header = with_entry(sample_low=low, sample_high=high)
    expected = GOLDEN[:DECODER] + bytes.fromhex(coded) + GOLDEN[LENGTHS:]
    assert write_header(header) == expected
    assert read(expected) == header


@pytest.mark.parametrize("depth", range(9, 17))
def test_every_depth_has_the_same_codes_for_its_range(depth: int) -> None:
    largest = (1 << depth) - 1

    def pair(low: int, high: int) -> str:
        return (low.to_bytes(2, "little") + high.to_bytes(2, "little")).hex()

    cases = [
        (0, (0, 0, 0), (largest,) * 3, ""),
        (1, (0, 15, 1), (largest, largest - 15, largest - 2), "00ff21"),
        (2, (16, 0, 0), (largest,) * 3, pair(16, largest) + 2 * pair(0, largest)),
        (2, (0, 0, 0), (largest, 0, largest - 16), pair(0, largest) + pair(0, 0)
         + pair(0, largest - 16)),
    ]  # fmt: skip
    for code, low, high, coded in cases:
        entry = replace(ENTRY, sample_low=low, sample_high=high)
        header = replace(HEADER, bit_depth=depth, tiles=(entry,))
        expected = deep(depth, coded, code)
        assert write_header(header) == expected
        assert read(expected) == header


def test_the_tile_with_the_widest_margin_decides_the_code_of_all() -> None:
    tiles = [TileEntry((0,), (high,), 1, 1, 1) for high in (255, 240, 239)]
    for n, code, first in ((1, 0, b""), (2, 1, b"\x00"), (3, 2, b"\x00\xff")):
        entries = (*[tiles[0]] * (3 - n), *tiles[:n])
        header = Header(192, 64, 8, LOP_GREY, entries, tiling=Tiling(64, 64))
        data = write_header(header)
        assert data[DECODER] == 1 | code << 4 | 1 << 6
        assert data[DECODER + 8 :].startswith(first + b"\x01\x01\x01\0\0\0")
        assert read(data) == header


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
        assert data[DECODER] == 0x13 | (0 if usual else 8)
        size = encode_varint(width - 1) + encode_varint(height - 1)
        rest = size + (b"" if usual else bytes([grids])) + GOLDEN[SAMPLES:]
        assert data[WIDTH:] == rest


@pytest.mark.parametrize(
    ("tiling", "usual"),
    [
        (Tiling(512, 512), 0x37),
        (Tiling(1024, 1024), 0x48),
        (Tiling(2048, 2048), 0x59),
        (Tiling(1 << 20, 448), 0x37),
        (Tiling(1 << 20, 512), 0x48),
        (Tiling(1536, 1 << 20), 0x59),
    ],
)
def test_the_usual_grids_of_tiles_are_those_of_the_largest(tiling: Tiling, usual: int) -> None:
    """A tile that goes beyond the picture is as large as what it holds of it."""
    width, height = 2100, 2100
    n = -(-width // tiling.width) * -(-height // tiling.height)
    for grids in (0x37, 0x48, 0x59):
        arch = replace(NAMED_POINTS["hop"], n_levels=grids & 15, n_hyper=grids >> 4)
        changes = {"architecture": arch, "tiling": tiling, "tiles": (ENTRY,) * n}
        header = replace(HEADER, width=width, height=height, **changes)  # type: ignore[arg-type]
        data = write_header(header)
        assert read(data) == header
        assert data[DECODER] == 0x53 | (0 if grids == usual else 8)


def test_the_shortest_header() -> None:
    header = Header(128, 128, 8, LOP_GREY, (TileEntry((0,), (255,), 0, 127, 0),))
    assert len(write_header(header)) == 14


def test_photograph_overhead() -> None:
    """Nothing that ordinary pictures do not need costs them a byte.

    Magic number and version 4, decoder and format 2, sides, lengths, checksum of the pixels 4.
    """
    for arch in NAMED_POINTS.values():
        photograph = replace(with_entry(sample_low=(0, 0, 0), sample_high=(255,) * 3),
                             architecture=arch)  # fmt: skip
        sides = [encode_varint(n - 1) for n in (photograph.width, photograph.height)]
        lengths = [encode_varint(n) for n in (ENTRY.parameter_bytes, ENTRY.latent_bytes)]
        assert len(write_header(photograph)) == 4 + 2 + len(b"".join([*sides, *lengths])) + 4


@pytest.mark.parametrize("name", NAMED_POINTS)
def test_named_points_keep_their_name_with_other_grids_and_channels(name: str) -> None:
    arch = replace(NAMED_POINTS[name], n_levels=9, n_hyper=6, n_channels=1)
    assert architecture_name(arch) == name
    assert architecture_name(replace(arch, n_spatial=arch.n_spatial + 1)) is None


# --- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", GOLDEN_KINDS)
def test_every_cut_is_reported_as_missing_bytes(kind: str) -> None:
    data = write_header(GOLDEN_KINDS[kind][0])
    for length in range(1, len(data)):
        with pytest.raises(TruncatedError, match=r"^[^\n]*inside the [^\n]*$"):
            read(data[:length])


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG\r\n\x1a\n", b"\x8fGX", b"G", b"\x8fI", b"\x9dGV\x03\x12\x02"]
)
def test_foreign_bytes(data: bytes) -> None:
    with pytest.raises(NotGivreError, match=r"must start with the bytes 8f 47 56$"):
        read(data)


def tiled(tiling: str, decoder: int = 0x41, size: str = "ff05 ff03", rest: str = "") -> bytes:
    """A grey picture with these bytes for its tiling."""
    return built(decoder, 0, size, tiling + rest) + bytes(40)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (patched(VERSION, 2), "format version 2; this decoder reads version 4"),
        (patched(VERSION, 3), "format version 3; this decoder reads version 4"),
        (patched(VERSION, 5), "format version 5"),
        (patched(VERSION, ord("R")), "format version 82"),
        (patched(DECODER, 0x10), "architecture code 0 at offset 4; version 4 knows 1 to 4 and 7"),
        (patched(DECODER, 0x15), "architecture code 5"),
        (patched(DECODER, 0xFE), "architecture code 6"),
        (tiled("04 00 00"), "flags of the tiling at offset 10 are 4; this decoder knows 0 to 3"),
        (tiled("ff 00 00"), "flags of the tiling at offset 10 are 255"),
    ],
)
def test_features_of_later_versions_are_named(data: bytes, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        read(data)


def custom(*fields: int, grids: int | None = None) -> bytes:
    decoder, counts = (0x17, b"") if grids is None else (0x1F, bytes([grids]))
    picture = GOLDEN[PIXEL_FORMAT:SAMPLES]
    return GOLDEN[:DECODER] + bytes([decoder, *fields]) + picture + counts + GOLDEN[SAMPLES:]


def with_field(index: int, value: int) -> bytes:
    return custom(*HOP_FIELDS[:index], value, *HOP_FIELDS[index + 1 :])


def test_custom_architecture_is_read_field_by_field() -> None:
    expected = Architecture(15, 6, 48, 2, n_arm_hidden=2, ups_k_size=8, ups_preconcat_k_size=7)
    assert read(with_field(0, 15)).architecture == expected


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (patched(WIDTH, 0x80, 0x00), "width at offset 6 has needless zero bytes"),
        (sized("808040 00"), "the picture is 1048577 x 1, its sides must be at most 1048576"),
        (sized("00 808040"), "the picture is 1 x 1048577"),
        (sized("ffffffff0f 00"), "the picture is 4294967296 x 1"),
        (sized("ffffffff1f 00"), "width at offset 6 exceeds 4294967295"),
        (sized("ffffffffff 00"), "more than 5 bytes"),
        (sized("07 07", "00", 0x1B), "n_levels is 0"),
        (sized("07 07", "43", 0x1B), "n_hyper is 4, it must be 0 to 0"),
        (sized("07 07", "37", 0x1B), "grid counts at offset 8 are those of the"),
        (sized("e707 e707", "48", 0x1B), "grid counts at offset 10 are those"),
        (ranged(0x3), "code of the sample range is 3, it must be 0 to 2"),
        (ranged(0x1, 0, 0, 0), "sample range at offset 4 has code 1, it must have 0"),
        (ranged(0x2, 0, 255, 0, 255, 0, 255), "has code 2, it must have 0"),
        (ranged(0x2, 0, 255, 15, 240, 0, 255), "has code 2, it must have 1"),
        (ranged(0x2, 0, 255, 2, 1, 0, 255), "sample range is 2 to 1, it must lie within 0 to 255"),
        (deep(9, "0000ff01 0000ff01 0000ff01"), "has code 2, it must have 0"),
        (deep(9, "0000ff01 0000ff01 00000002"), "at offset 11 has 512, the largest sample of 9"),
        (deep(15, "00008000 0000ffff 00000002"), "has 65535, the largest sample of 15 bits is"),
        (deep(16, "ffff0000 0000ffff 0000ffff"), "sample range is 65535 to 0, it must lie within"),
        (deep(0, ""), "bit depth at offset 10 is 0, it must be 9 to 16"),
        (deep(8, ""), "bit depth at offset 10 is 8, it must be 9 to 16"),
        (deep(17, ""), "bit depth at offset 10 is 17"),
        (deep(255, ""), "bit depth at offset 10 is 255"),
        (patched(PIXEL_FORMAT, 8), "pixel format at offset 5 has a mask for alpha, but no alpha"),
        (patched(PIXEL_FORMAT, 0xFE), "pixel format at offset 5 has a mask for alpha"),
        (tiled("00 0b 07"), "impossible tiling at offset 10: the picture has 1 tiles"),
        (tiled("00 ff7f 07"), "the picture has 1 tiles, it must have 2 to 4096"),
        (tiled("00 808001 00"), "the width of tiles is 1048640, it must be a multiple of 64 of 64"),
        (tiled("00 00 ffffffff0f"), "the height of tiles is 274877906944"),
        (tiled("00 00 8000"), "height of the tiles at offset 12 has needless zero bytes"),
        (tiled("00 00 00", size="ffff3f ffff3f"), "the picture has 268435456 tiles"),
        (tiled("01 00 00", size="ffff3f ff1f"), "the picture has 1048576 tiles"),
        (tiled("00 00 00", size="ffff3f 8002"), "the picture has 81920 tiles"),
        (tiled("00 00 00", 0x49, rest="37"), "grid counts at offset 13 are those"),
        (tiled("00 00 00", 0x51, "7f 3f"), "has code 1, it must have 0"),
        (custom(*HOP_FIELDS), "at offset 4 must be coded as hop"),
        (custom(*HOP_FIELDS, grids=0x14), "must be coded as hop"),
        (with_field(0, 0), "n_spatial is 0"),
        (with_field(0, 41), "n_spatial is 41"),
        (with_field(1, 17), "n_features is 17"),
        (with_field(2, 5), "n_arm_hidden is 5"),
        (with_field(3, 0), "synthesis_hidden is 0"),
        (with_field(3, 255), "synthesis_hidden is 255"),
        (with_field(4, 5), "n_residual is 5"),
        (with_field(5, 2), "ups_k_size is 2"),
        (with_field(5, 7), "ups_k_size must be even"),
        (with_field(6, 6), "ups_preconcat_k_size odd"),
        (with_field(6, 17), "ups_preconcat_k_size is 17"),
    ],
)
def test_values_that_no_encoder_writes(data: bytes, message: str) -> None:
    with pytest.raises(CorruptError, match=f"{message}[^\n]*$"):
        read(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "width is 0, it must be 1 to 1048576"),
        ({"height": MAX_SIDE + 1}, "height is 1048577"),
        ({"bit_depth": 7}, "bit depth is 7, it must be 8 to 16"),
        ({"bit_depth": 17}, "bit depth is 17"),
        ({"prior": -1}, "prior is -1, it must be 0 to 15"),
        ({"prior": 16}, "prior is 16"),
        ({"alpha": Alpha.SOFT}, "the synthesis has 3 outputs, it must have 1 or 3, and one more"),
        ({"architecture": SOFT_COLOURS}, "the synthesis has 4 outputs, it must have 1 or 3"),
        (
            {"architecture": replace(SOFT_COLOURS, n_channels=2), "alpha": Alpha.MASK},
            "the synthesis has 2 outputs",
        ),
        ({"tiles": ()}, "there are 0 tiles, there must be 1"),
        ({"tiles": (ENTRY, ENTRY)}, "there are 2 tiles, there must be 1"),
        ({"tiling": Tiling(768, 512)}, "the picture has 1 tiles, it must have 2 to 4096"),
        ({"tiling": Tiling(384, 512)}, "there are 1 tiles, there must be 2"),
        (
            {"tiling": Tiling(384, 512, True), "tiles": (ENTRY, ENTRY)},
            "a tile has parameters of its own although",
        ),
        ({"shared_parameter_bytes": 1}, "tiles do not share parameters, so there are none of all"),
        (
            {"tiling": Tiling(384, 512), "tiles": (ENTRY,) * 2, "shared_parameter_bytes": 1},
            "tiles do not share parameters",
        ),
        ({"shared_parameter_bytes": 2**32}, "shared_parameter_bytes is 4294967296, it must be 0"),
    ],
)
def test_impossible_headers_cannot_be_made(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}") as caught:
        replace(HEADER, **change)  # type: ignore[arg-type]
    assert_one_line(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parameter_bytes": -1}, "parameter_bytes is -1, it must be 0 to 4294967295"),
        ({"latent_bytes": 2**32}, "latent_bytes is 4294967296"),
        ({"mask_bytes": -1}, "mask_bytes is -1"),
        ({"mask_bytes": 1}, "an opaque picture has no mask section"),
        ({"pixel_crc": 2**32}, "pixel_crc is 4294967296"),
        ({"sample_low": (0, 0)}, "the sample range must have 3 channels"),
        ({"sample_high": (255,) * 4}, "the sample range must have 3 channels"),
        (
            {"sample_low": (0, 0, 254)},
            "the sample range is 254 to 253, it must lie within 0 to 255",
        ),
        ({"sample_low": (-1, 0, 0)}, "the sample range is -1 to 255"),
        ({"sample_high": (255, 255, 256)}, "the sample range is 2 to 256"),
    ],
)
def test_impossible_tiles_cannot_be_made(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        with_entry(**change)


# --- nobody else's files ------------------------------------------------------------------------

needs_file = pytest.mark.skipif(which("file") is None, reason="the program file is missing")


def kinds_of(paths: list[Path]) -> set[str]:
    """What the program file says of these files."""
    names = "\n".join(map(str, paths))
    command = ["file", "--brief", "--files-from", "-"]
    result = subprocess.run(command, input=names, capture_output=True, text=True, check=True)
    kinds = result.stdout.splitlines()
    assert len(kinds) == len(paths)
    return set(kinds)


@needs_file
def test_the_program_knows_other_formats(tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(b"GIF89a" + bytes(20))
    assert kinds_of([tmp_path / "picture"]) != {"data"}


@needs_file
def test_no_stream_is_taken_for_another_format() -> None:
    paths = sorted(CONFORMANCE.glob("*.givre"))
    assert paths
    assert kinds_of(paths) == {"data"}


@needs_file
def test_no_header_is_taken_for_another_format(tmp_path: Path) -> None:
    """Every architecture, range code and flag with all channels, depths and kinds of alpha."""
    decoders = [
        arch | code << 4 | flags
        for arch in (1, 2, 3, 4, 7)
        for code in range(3)
        for flags in (0x00, 0x08, 0x40, 0x48, 0x80, 0x88, 0xC0, 0xC8)
    ]
    formats = [channels | deep for channels in (0, 1, 2, 3, 9, 11) for deep in (0, 4)]
    sizes = [bytes(20), bytes.fromhex("ff05 ff03 001122 ec0e a09c01 78563412")]
    paths = []
    for decoder, pixel_format, size in product(decoders, formats, sizes):
        path = tmp_path / f"{len(paths)}"
        middle = bytes(HOP_FIELDS) if decoder & 7 == 7 else b""
        path.write_bytes(
            GOLDEN[:DECODER] + bytes([decoder]) + middle + bytes([pixel_format]) + size
        )
        paths.append(path)
    assert kinds_of(paths) == {"data"}
