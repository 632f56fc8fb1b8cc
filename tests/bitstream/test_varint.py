from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from givre.bitstream.varint import MAX_VARINT, ByteReader, encode_varint
from givre.errors import CorruptError, TruncatedError, UsageError


@given(st.integers(0, MAX_VARINT), st.binary(max_size=3))
def test_varints_come_back_and_leave_the_rest(value: int, rest: bytes) -> None:
    encoded = encode_varint(value)
    reader = ByteReader(encoded + rest)
    assert reader.varint("value") == value
    assert reader.take(len(rest), "rest") == rest
    assert len(encoded) == max(1, -(-value.bit_length() // 7))


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "00"), (127, "7f"), (128, "80 01"), (768, "80 06"), (MAX_VARINT, "ff ff ff ff 0f")],
)
def test_varint_bytes(value: int, encoded: str) -> None:
    assert encode_varint(value) == bytes.fromhex(encoded)


@pytest.mark.parametrize("value", [-1, MAX_VARINT + 1])
def test_varint_out_of_range(value: int) -> None:
    with pytest.raises(UsageError, match="a varint holds 0 to"):
        encode_varint(value)


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        ("80 00", "needless zero bytes"),
        ("ff 80 80 00", "needless zero bytes"),
        ("ff ff ff ff 1f", "exceeds 4294967295"),
        ("80 80 80 80 80 01", "more than 5 bytes"),
        ("ff ff ff ff ff", "more than 5 bytes"),
    ],
)
def test_varint_that_no_encoder_writes(encoded: str, message: str) -> None:
    with pytest.raises(CorruptError, match=f"width at offset 0 .*{message}"):
        ByteReader(bytes.fromhex(encoded)).varint("width")


@pytest.mark.parametrize("encoded", ["", "80", "80 80 80 80"])
def test_varint_cut_short(encoded: str) -> None:
    with pytest.raises(TruncatedError, match="inside the width"):
        ByteReader(bytes.fromhex(encoded)).varint("width")


def test_reader_says_what_it_expected_and_where() -> None:
    reader = ByteReader(b"\x01\x02\x03\x04\x05\x06")
    assert (reader.u8("flags"), reader.u32("checksum")) == (1, 0x05040302)
    with pytest.raises(TruncatedError, match="checksum: 4 bytes expected at offset 5, only 1 left"):
        reader.u32("checksum")
    assert reader.position == 5
