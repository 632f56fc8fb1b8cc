from __future__ import annotations

import tracemalloc
import zlib
from dataclasses import replace

import numpy as np
import pytest
from header_cases import headers
from hypothesis import given
from hypothesis import strategies as st

from givre.bitstream.container import (
    DEFAULT_MAX_PIXELS,
    Container,
    CutContainer,
    TilePayload,
    check_limit,
    pack,
    payload_bytes,
    read_prefix,
    samples_crc,
    section_bytes,
    unpack,
    unpack_cut,
)
from givre.bitstream.header import MAX_SIDE, Alpha, Header, TileEntry
from givre.bitstream.header_code import write_header
from givre.bitstream.sections import Section, write_sections
from givre.bitstream.tiling import MAX_TILES, Tiling
from givre.bitstream.varint import encode_varint
from givre.errors import (
    BitstreamError,
    CorruptError,
    LimitError,
    NotGivreError,
    TruncatedError,
    UsageError,
)
from givre.models.architecture import NAMED_POINTS

GREY = replace(NAMED_POINTS["lop"], n_channels=1)
ENTRY = TileEntry((3,), (250,), parameter_bytes=3, latent_bytes=2, pixel_crc=1)
HEADER = Header(width=9, height=5, bit_depth=8, architecture=GREY, tiles=(ENTRY,))
CONTAINER = Container(HEADER, (TilePayload(b"\x01\x02\x03", b"\x04\x05"),))
PACKED = pack(CONTAINER)

SECTIONS = (Section(4, b"\x01\x0d\x00\x01"), Section(1, b"profile" * 30))
FULL = Container(
    Header(
        width=129,
        height=64,
        bit_depth=16,
        architecture=replace(GREY, n_channels=2),
        tiles=tuple(TileEntry((0, n), (9, 9), 0, n, 7, 2 * n) for n in range(3)),
        alpha=Alpha.SOFT,
        tiling=Tiling(64, 64, shared=True),
        shared_parameter_bytes=4,
        has_metadata=True,
        prior=2,
    ),
    tuple(TilePayload(b"", bytes([n]) * n, bytes([16 + n]) * 2 * n) for n in range(3)),
    b"abcd",
    SECTIONS,
)


def container_of(header: Header, fill: bytes, sections: tuple[Section, ...] = ()) -> Container:
    """A header with sections of the lengths that it announces."""

    def part(n: int) -> bytes:
        return (fill * n)[:n]

    tiles = tuple(
        TilePayload(part(tile.parameter_bytes), part(tile.latent_bytes), part(tile.mask_bytes))
        for tile in header.tiles
    )
    header = replace(header, has_metadata=bool(sections))
    return Container(header, tiles, part(header.shared_parameter_bytes), sections)


def shortened(header: Header) -> Header:
    """The header with lengths below 100, by which it can be filled."""
    tiles = tuple(
        replace(
            tile,
            parameter_bytes=tile.parameter_bytes % 100,
            latent_bytes=tile.latent_bytes % 90,
            mask_bytes=tile.mask_bytes % 80,
        )
        for tile in header.tiles
    )
    shared = header.shared_parameter_bytes % 70
    return replace(header, tiles=tiles, shared_parameter_bytes=shared)


def sealed(body: bytes) -> bytes:
    return body + zlib.crc32(body).to_bytes(4, "little")


def test_golden_container() -> None:
    body = bytes.fromhex("8f4756 04 11 00 08 04 53 03 02 01000000 010203 0405")
    assert sealed(body) == PACKED


def test_golden_container_with_everything() -> None:
    """Shared parameters, then latents and mask of each tile, then the sections."""
    head = write_header(FULL.header)
    body = head + bytes.fromhex("61626364 01 1111 0202 12121212")
    body += write_sections(SECTIONS)
    assert pack(FULL) == sealed(body)
    assert unpack(pack(FULL)) == FULL


def test_photograph_overhead() -> None:
    """14 bytes, the varints of sides and lengths, and the checksum: as in the version before."""
    entry = TileEntry((0, 0, 0), (255, 255, 255), 2000, 30_000, 1)
    header = Header(768, 512, 8, NAMED_POINTS["hop"], (entry,))
    packed = pack(Container(header, (TilePayload(bytes(2000), bytes(30_000)),)))
    assert (
        len(packed) - 32_000 == 10 + sum(map(len, map(encode_varint, (767, 511, 2000, 30_000)))) + 4
    )
    assert len(packed) - 32_000 == 23


@given(
    headers(),
    st.binary(min_size=1, max_size=9),
    st.lists(st.builds(Section, st.integers(0, 127), st.binary(max_size=40)), max_size=3),
)
def test_containers_come_back(header: Header, fill: bytes, sections: list[Section]) -> None:
    container = container_of(shortened(header), fill, tuple(sections))
    packed = pack(container)
    assert unpack(packed) == container
    assert read_prefix(packed) == container.header
    assert payload_bytes(container.header) == len(container.shared_parameters) + sum(
        len(tile.parameters) + len(tile.latents) + len(tile.mask) for tile in container.tiles
    )


def test_parameters_are_of_a_tile_or_of_all() -> None:
    assert [FULL.parameters(i) for i in range(3)] == [b"abcd"] * 3
    assert CONTAINER.parameters(0) == b"\x01\x02\x03"
    own = replace(FULL.header, tiling=Tiling(64, 64), shared_parameter_bytes=0, alpha=Alpha.SOFT)
    entries = tuple(replace(tile, parameter_bytes=1) for tile in own.tiles)
    header = replace(own, tiles=entries, has_metadata=False)
    tiles = tuple(replace(tile, parameters=bytes([i])) for i, tile in enumerate(FULL.tiles))
    assert [Container(header, tiles).parameters(i) for i in range(3)] == [b"\0", b"\1", b"\2"]


# --- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", [CONTAINER, FULL], ids=["plain", "everything"])
def test_every_cut_is_an_error(container: Container) -> None:
    packed = pack(container)
    for length in range(len(packed)):
        with pytest.raises(TruncatedError if length else NotGivreError, match=r"^[^\n]+$"):
            unpack(packed[:length])


@pytest.mark.parametrize("container", [CONTAINER, FULL], ids=["plain", "everything"])
def test_every_flipped_bit_is_an_error(container: Container) -> None:
    packed = pack(container)
    coded = 8 * len(write_header(container.header))
    ends = coded + 8 * payload_bytes(container.header)
    for bit in range(8 * len(packed)):
        altered = bytearray(packed)
        altered[bit // 8] ^= 1 << bit % 8
        in_payload = coded <= bit < ends or bit >= 8 * (len(packed) - 4)
        expected = NotGivreError if bit < 24 else CorruptError if in_payload else BitstreamError
        with pytest.raises(expected, match=r"^[^\n]+$"):
            unpack(bytes(altered))


def test_swapped_sections_are_an_error() -> None:
    swapped = replace(HEADER, tiles=(replace(ENTRY, parameter_bytes=2, latent_bytes=3),))
    body = write_header(swapped) + b"\x01\x02\x03\x04\x05"
    with pytest.raises(CorruptError, match="checksum of the file does not match"):
        unpack(body + PACKED[-4:])


@pytest.mark.parametrize("trailing", [b"\0", PACKED])
@pytest.mark.parametrize("container", [CONTAINER, FULL], ids=["plain", "everything"])
def test_trailing_bytes_are_an_error(container: Container, trailing: bytes) -> None:
    packed = pack(container)
    message = f"^{len(trailing)} trailing bytes after the {len(packed)} of the file$"
    with pytest.raises(CorruptError, match=message):
        unpack(packed + trailing)


def test_sections_that_the_header_does_not_announce_are_trailing_bytes() -> None:
    body = PACKED[:-4] + write_sections(SECTIONS)
    with pytest.raises(CorruptError, match="trailing bytes"):
        unpack(sealed(body))


def test_sections_that_are_announced_must_be_there() -> None:
    head = write_header(replace(HEADER, has_metadata=True))
    for sections in (b"", b"\0", b"\1", b"\xff\xff\xff\xff\x0f"):
        with pytest.raises((TruncatedError, CorruptError), match=r"^[^\n]+$"):
            unpack(sealed(head + b"\1\2\3\4\5" + sections))


@given(st.binary(max_size=120))
def test_random_bytes_after_the_version_are_an_error(rest: bytes) -> None:
    """They end with no checksum of theirs, whatever they say."""
    with pytest.raises(BitstreamError, match=r"^[^\n]+$"):
        unpack(PACKED[:4] + rest)


@given(headers(), st.binary(min_size=1, max_size=9), st.data())
def test_sealed_damage_is_an_error_or_another_file(
    header: Header, fill: bytes, data: st.DataObject
) -> None:
    """The checksum of the file is right, as a hostile one would be."""
    body = bytearray(pack(container_of(shortened(header), fill))[:-4])
    place = data.draw(st.integers(4, len(body) - 1))
    body[place] ^= data.draw(st.integers(1, 255))
    hostile = sealed(bytes(body))
    try:
        container = unpack(hostile)
    except BitstreamError:
        return
    assert pack(container) == hostile


# --- limits before memory -----------------------------------------------------------------------


def peak_of_unpacking(data: bytes, expected: type[BitstreamError], message: str) -> int:
    """Most memory in bytes that is taken until the file is refused."""
    tracemalloc.start()
    try:
        with pytest.raises(expected, match=message):
            unpack(data, DEFAULT_MAX_PIXELS)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_huge_announced_sizes_cost_no_memory() -> None:
    entry = replace(ENTRY, parameter_bytes=2**32 - 1, latent_bytes=2**32 - 1, mask_bytes=2**32 - 1)
    huge = Header(1 << 14, 1 << 14, 8, GREY, (entry,), Alpha.MASK)
    data = write_header(huge) + bytes(64)
    message = "its header announces 1288490"
    assert peak_of_unpacking(data, TruncatedError, message) < 100_000


def test_a_picture_beyond_the_limit_costs_no_memory() -> None:
    data = write_header(replace(HEADER, width=MAX_SIDE, height=MAX_SIDE)) + bytes(64)
    assert peak_of_unpacking(data, LimitError, "the limit is 268435456") < 100_000


def test_tiles_by_the_million_cost_no_memory() -> None:
    """2^28 tiles of the largest picture are refused before one of them is read."""
    head = PACKED[:4] + bytes.fromhex("41 00 ffff3f ffff3f 00 00 00")
    data = head + bytes(100_000)
    assert peak_of_unpacking(data, CorruptError, "has 268435456 tiles, it must") < 100_000


def test_a_table_that_the_file_does_not_hold_costs_little() -> None:
    """As many tiles as there may be, of which a few are there."""
    head = PACKED[:4] + bytes.fromhex("41 00 ffff0f 3f 00 00 00")
    data = head + bytes(600)
    assert peak_of_unpacking(data, TruncatedError, "the file ends inside the") < 200_000


@pytest.mark.slow
def test_the_most_tiles_that_a_picture_may_have() -> None:
    """The table takes as little memory as the file has bytes, but for a factor."""
    head = PACKED[:4] + bytes.fromhex("41 00 ffff0f 3f 00 00 00")
    data = sealed(head + bytes(6 * MAX_TILES))
    tracemalloc.start()
    container = unpack(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(container.tiles) == MAX_TILES
    assert peak < 150 * len(data)
    assert pack(container) == data


def test_a_claim_of_sections_costs_no_memory() -> None:
    head = write_header(replace(HEADER, has_metadata=True)) + b"\1\2\3\4\5"
    claim = b"\1\1" + encode_varint(2**32 - 1) + bytes(4)
    assert peak_of_unpacking(sealed(head + claim), TruncatedError, "claims 4294967295") < 100_000


def test_a_cut_file_still_shows_its_header() -> None:
    for container in (CONTAINER, FULL):
        packed = pack(container)
        n_header = len(write_header(container.header))
        assert read_prefix(packed[:n_header]) == container.header
        with pytest.raises(TruncatedError):
            read_prefix(packed[: n_header - 1])


OWN = Container(
    replace(
        FULL.header,
        tiling=Tiling(64, 64),
        shared_parameter_bytes=0,
        tiles=tuple(replace(tile, parameter_bytes=3) for tile in FULL.header.tiles),
        has_metadata=False,
    ),
    tuple(replace(tile, parameters=b"xyz") for tile in FULL.tiles),
)


@pytest.mark.parametrize("container", [CONTAINER, FULL, OWN], ids=["plain", "everything", "own"])
def test_a_cut_file_gives_the_tiles_that_are_there(container: Container) -> None:
    """At every cut: sections are as they were as far as the bytes go, and no tile is made up."""
    packed, header = pack(container), container.header
    start = len(write_header(header)) + header.shared_parameter_bytes
    ends, place = [], start
    for tile in container.tiles:
        place += len(tile.parameters) + len(tile.latents) + len(tile.mask)
        ends.append(place)
    for length in range(len(write_header(header)), len(packed)):
        of_use = length - start >= len(container.tiles[0].parameters)
        if not of_use:
            with pytest.raises(TruncatedError, match=r"^the file ends [^\n]+$"):
                unpack_cut(packed[:length])
            continue
        found, n_whole = unpack_cut(packed[:length])
        assert isinstance(found, CutContainer)
        assert found.header == header
        assert found.sections == ()
        assert found.shared_parameters == container.shared_parameters
        assert n_whole == sum(end <= length for end in ends)
        assert found.tiles[:n_whole] == container.tiles[:n_whole]
        assert len(found.tiles) - n_whole in (0, 1)
        for tile, whole in zip(found.tiles[n_whole:], container.tiles[n_whole:], strict=False):
            assert tile.parameters == whole.parameters
            got = tile.latents + tile.mask
            assert (whole.latents + whole.mask).startswith(got)
            begin = ends[n_whole] - len(whole.latents) - len(whole.mask)
            assert len(got) == length - begin


def test_a_file_that_is_not_cut_is_unpacked_as_ever() -> None:
    for container in (CONTAINER, FULL, OWN):
        packed = pack(container)
        assert unpack_cut(packed) == (container, len(container.tiles))
        altered = packed[:-1] + bytes([packed[-1] ^ 1])
        with pytest.raises(CorruptError, match="checksum of the file does not match"):
            unpack_cut(altered)
        with pytest.raises(CorruptError, match="trailing bytes"):
            unpack_cut(packed + b"\0")


def test_bytes_of_sections_are_told_of_whole_and_of_cut_files() -> None:
    packed, n_sections = pack(FULL), len(write_sections(SECTIONS))
    assert section_bytes(packed) == n_sections
    assert section_bytes(packed[: len(write_header(FULL.header))]) == 0
    assert section_bytes(PACKED) == 0


def test_pixel_limit() -> None:
    square = replace(HEADER, width=1000, height=1000)
    check_limit(square, 1_000_000)
    with pytest.raises(LimitError, match="1000 x 1000 = 1000000 pixels, the limit is 999999"):
        check_limit(square, 999_999)
    largest = replace(HEADER, width=MAX_SIDE, height=MAX_SIDE)
    with pytest.raises(LimitError, match=str(DEFAULT_MAX_PIXELS)):
        check_limit(largest)
    check_limit(largest, None)


def test_the_default_limit_is_that_of_image_files() -> None:
    from givre.coder.files.picture import MAX_PIXELS

    assert DEFAULT_MAX_PIXELS == MAX_PIXELS == 1 << 28


# --- what does not fit together -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"tiles": (TilePayload(b"abc", b"d"),)},
            "latents of tile 0 have 1 bytes, the header says 2",
        ),
        ({"tiles": (TilePayload(b"ab", b"de"),)}, "parameters of tile 0 have 2 bytes, the header"),
        ({"tiles": (TilePayload(b"abc", b"de", b"f"),)}, "mask of tile 0 has 1 bytes, the header"),
        ({"tiles": ()}, "there are 0 tiles, the header has 1"),
        ({"tiles": CONTAINER.tiles * 2}, "there are 2 tiles, the header has 1"),
        ({"shared_parameters": b"x"}, "shared parameters have 1 bytes, the header says 0"),
        ({"sections": SECTIONS}, "the header must say whether sections follow the pixels"),
        (
            {"header": replace(HEADER, has_metadata=True)},
            "the header must say whether sections follow the pixels",
        ),
    ],
)
def test_header_and_sections_must_agree(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=f"{message}[^\n]*$"):
        replace(CONTAINER, **change)  # type: ignore[arg-type]


def test_samples_crc_is_row_major_interleaved_and_little_endian() -> None:
    samples = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert samples_crc(samples) == zlib.crc32(bytes(range(24)))
    planes = np.ascontiguousarray(samples.transpose(2, 0, 1))
    assert samples_crc(planes.transpose(1, 2, 0)) == zlib.crc32(bytes(range(24)))
    wide = np.array([[[0x0102], [0x0304]]], dtype=np.uint16)
    assert samples_crc(wide) == zlib.crc32(b"\x02\x01\x04\x03")
    assert samples_crc(wide.astype(">u2")) == zlib.crc32(b"\x02\x01\x04\x03")
