"""Sections that follow the pixels: their bytes, and what hostile ones can do."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from givre.bitstream.sections import (
    MAX_CONTENT,
    MAX_SECTIONS,
    MAX_TOTAL,
    Section,
    read_sections,
    write_sections,
)
from givre.bitstream.varint import ByteReader, encode_varint
from givre.errors import BitstreamError, CorruptError, TruncatedError, UsageError

COMPRESSIBLE = b"abc" * 100
CONTENTS = st.binary(max_size=60) | st.integers(0, 5000).map(lambda n: b"profile" * n)
SECTIONS = st.lists(st.builds(Section, st.integers(0, 127), CONTENTS), min_size=1, max_size=6)


def read(data: bytes) -> tuple[Section, ...]:
    reader = ByteReader(data)
    found = read_sections(reader)
    assert reader.position == len(data)
    return found


def coded(kind: int, content: bytes, length: int | None = None, crc: int | None = None) -> bytes:
    """One section as it is, with a length and a checksum that may be wrong."""
    length = len(content) if length is None else length
    crc = zlib.crc32(content) if crc is None else crc
    return bytes([kind]) + encode_varint(length) + crc.to_bytes(4, "little") + content


def bomb(n: int) -> bytes:
    """So many zeros, compressed."""
    stream, piece = zlib.compressobj(9), bytes(1 << 20)
    whole, rest = divmod(n, len(piece))
    parts = [stream.compress(piece) for _ in range(whole)]
    return b"".join([*parts, stream.compress(piece[:rest]), stream.flush()])


def test_golden_sections() -> None:
    """Two of them: the first as it is, the second compressed."""
    packed = zlib.compress(COMPRESSIBLE, 9)
    expected = bytes.fromhex("02 04 04") + zlib.crc32(b"\1\r\0\1").to_bytes(4, "little")
    expected += b"\1\r\0\1" + bytes([0x83, len(packed)])
    expected += zlib.crc32(packed).to_bytes(4, "little") + packed
    assert len(packed) < 128
    sections = (Section(4, b"\1\r\0\1"), Section(3, COMPRESSIBLE))
    assert write_sections(sections) == expected
    assert read(expected) == sections
    assert expected[:11] == bytes.fromhex("02 04 04 bc1b27e6 010d0001")


@given(SECTIONS, st.binary(max_size=3))
def test_sections_come_back_and_leave_the_rest(sections: list[Section], rest: bytes) -> None:
    reader = ByteReader(write_sections(sections) + rest)
    assert read_sections(reader) == tuple(sections)
    assert reader.data[reader.position :] == rest


@pytest.mark.parametrize("content", [b"", b"\0", bytes(range(256)), COMPRESSIBLE])
def test_what_compression_makes_no_shorter_stays_as_it_is(content: bytes) -> None:
    data = write_sections([Section(1, content)])
    packed = zlib.compress(content, 9)
    assert data[1] == 1 | (0x80 if len(packed) < len(content) else 0)
    assert len(data) <= 1 + 1 + 5 + 4 + len(content)
    assert read(data) == (Section(1, content),)


def test_what_compression_leaves_as_long_stays_as_it_is() -> None:
    equal = [n for n in range(1, 60) if len(zlib.compress(bytes(n), 9)) == n]
    assert equal
    for n in equal:
        assert write_sections([Section(1, bytes(n))])[1] == 1


def test_a_section_may_be_compressed_where_that_makes_it_longer() -> None:
    assert read(b"\1" + coded(0x85, zlib.compress(b"a"))) == (Section(5, b"a"),)
    assert read(b"\1" + coded(0x85, zlib.compress(b""))) == (Section(5, b""),)


@pytest.mark.parametrize("n", [0, MAX_SECTIONS + 1])
def test_none_and_too_many_cannot_be_written(n: int) -> None:
    with pytest.raises(UsageError, match=f"^there are {n} sections, there must be 1 to 64$"):
        write_sections([Section(9, b"x")] * n)


@pytest.mark.parametrize("n", [0, MAX_SECTIONS + 1, 2**32 - 1])
def test_none_and_too_many_are_corrupt(n: int) -> None:
    data = encode_varint(n) + coded(9, b"x") * 70
    with pytest.raises(CorruptError, match=f"^the file has {n} sections at offset 0, it must have"):
        read_sections(ByteReader(data))


def test_as_many_sections_as_there_may_be() -> None:
    sections = [Section(i, bytes([i])) for i in range(MAX_SECTIONS)]
    assert read(write_sections(sections)) == tuple(sections)


@pytest.mark.parametrize("kind", [-1, 128])
def test_kinds_that_there_are_not(kind: int) -> None:
    with pytest.raises(UsageError, match=f"^the kind of a section is {kind}, it must be 0 to 127$"):
        Section(kind, b"")


def test_a_section_that_is_too_large_cannot_be_made() -> None:
    assert Section(1, bytes(MAX_CONTENT)).kind == 1
    with pytest.raises(UsageError, match=r"^a section has 16777217 bytes, it must have"):
        Section(1, bytes(MAX_CONTENT + 1))


TWO = write_sections([Section(4, b"\1\r\0\1"), Section(3, COMPRESSIBLE)])


@pytest.mark.parametrize("length", range(len(TWO)))
def test_every_cut_is_reported_as_missing_bytes(length: int) -> None:
    with pytest.raises(TruncatedError, match=r"^[^\n]+$"):
        read_sections(ByteReader(TWO[:length]))


@pytest.mark.parametrize("bit", range(8 * len(TWO)))
def test_a_flipped_bit_changes_kinds_or_is_an_error(bit: int) -> None:
    """The checksum is of the content; that of the whole file guards kinds and lengths."""
    altered = bytearray(TWO)
    altered[bit // 8] ^= 1 << bit % 8
    reader = ByteReader(bytes(altered))
    try:
        found = read_sections(reader)
    except BitstreamError:
        return
    assert [s.content for s in found] != [b"\1\r\0\1", COMPRESSIBLE] or (
        bit // 8 in (1, 11) and [s.kind for s in found] != [4, 3]
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (coded(1, b"abc", crc=0), "the checksum of the section at offset 1 does not match"),
        (coded(0x81, b"abc"), "the section at offset 1 cannot be uncompressed: "),
        (coded(0x81, b""), "the section at offset 1 is not one whole compressed stream"),
        (coded(0x81, zlib.compress(b"abc")[:-1]), "is not one whole compressed stream"),
        (coded(0x81, zlib.compress(b"abc") + b"\0"), "is not one whole compressed stream"),
        (coded(0x81, 2 * zlib.compress(b"abc")), "is not one whole compressed stream"),
        (coded(0x81, zlib.compress(b"abc")[:-1] + b"!"), "cannot be uncompressed"),
        (coded(1, b"", length=0).replace(b"\0", b"\x80\0", 1), "has needless zero bytes"),
        (coded(1, bytes(MAX_CONTENT + 1)), "section at offset 1 has more than 16777216 bytes"),
        (coded(0x81, zlib.compress(bytes(MAX_CONTENT), 0)), "has more than 16777216 bytes"),
        (coded(0x81, bomb(MAX_CONTENT + 1)), "at offset 1 becomes more than 16777216 bytes"),
    ],
)
def test_sections_that_no_encoder_writes(data: bytes, message: str) -> None:
    with pytest.raises(CorruptError, match=f"{message}[^\n]*$"):
        read_sections(ByteReader(b"\1" + data))


def test_the_largest_section_comes_back() -> None:
    for content in (bytes(MAX_CONTENT), COMPRESSIBLE * (MAX_CONTENT // 300)):
        assert read(write_sections([Section(1, content)])) == (Section(1, content),)
    assert len(read(b"\1" + coded(1, bytes(MAX_CONTENT)))[0].content) == MAX_CONTENT


def test_a_section_that_claims_more_than_there_is() -> None:
    data = b"\1" + coded(1, b"abc", length=2**32 - 1)
    message = "^the section at offset 1 claims 4294967295 bytes, the file has 3 more$"
    with pytest.raises(TruncatedError, match=message):
        read_sections(ByteReader(data))


def peak_of_reading(data: bytes, expected: type[BitstreamError]) -> int:
    """Most memory in bytes that reading takes until it fails."""
    tracemalloc.start()
    try:
        with pytest.raises(expected):
            read_sections(ByteReader(data))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_claim_costs_no_memory() -> None:
    data = b"\1" + coded(1, bytes(100), length=2**32 - 1)
    assert peak_of_reading(data, TruncatedError) < 10_000
    assert peak_of_reading(encode_varint(2**32 - 1) + bytes(100), CorruptError) < 10_000


@pytest.mark.slow
def test_a_bomb_costs_no_more_than_the_largest_section() -> None:
    """A quarter of a gigabyte, a thousand times shorter: no more than what it may become."""
    packed = bomb(1 << 28)
    assert len(packed) < 1 << 19
    assert peak_of_reading(b"\1" + coded(0x81, packed), CorruptError) < 4 * MAX_CONTENT


@pytest.mark.slow
def test_many_bombs_cost_no_more_than_all_sections_may() -> None:
    """Each may be as it is, but not all of them together."""
    largest = coded(0x85, bomb(MAX_CONTENT))
    peak = peak_of_reading(encode_varint(MAX_SECTIONS) + largest * MAX_SECTIONS, CorruptError)
    assert MAX_TOTAL < peak < 2 * MAX_TOTAL
    assert sum(len(s.content) for s in read(b"\4" + largest * 4)) == MAX_TOTAL
    with pytest.raises(CorruptError, match=r"at offset 0 have more than 67108864 bytes together$"):
        read_sections(ByteReader(b"\5" + largest * 4 + coded(6, b"x")))


def test_sections_that_are_too_large_together_cannot_be_written() -> None:
    largest = [Section(5, bytes(MAX_CONTENT))] * 4
    assert len(write_sections(largest)) < 1 << 17
    with pytest.raises(UsageError, match=r"^all sections have 67108865 bytes, they must have at"):
        write_sections([*largest, Section(6, b"x")])


@given(st.binary(max_size=80))
def test_random_bytes_are_sections_or_an_error(data: bytes) -> None:
    try:
        found = read_sections(ByteReader(data))
    except BitstreamError:
        return
    assert 1 <= len(found) <= MAX_SECTIONS


@given(st.binary(max_size=40), st.integers(0, 255))
def test_random_content_with_a_right_checksum(content: bytes, kind: int) -> None:
    try:
        (section,) = read(b"\1" + coded(kind, content))
    except CorruptError:
        assert kind & 0x80
        return
    assert section.kind == kind & 0x7F
    assert section.content == (zlib.decompress(content) if kind & 0x80 else content)
