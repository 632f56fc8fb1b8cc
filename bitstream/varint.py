"""Unsigned variable-length integers, and the reader that knows where in the file it is."""

from __future__ import annotations

from givre.errors import CorruptError, TruncatedError, UsageError

MAX_VARINT = (1 << 32) - 1
"""Largest value of a varint."""

_MAX_BYTES = 5


def encode_varint(value: int) -> bytes:
    """Encode an integer of 0 to 2^32 - 1 as unsigned LEB128, in as few bytes as possible.

    Seven bits a byte, least significant first; the top bit says that another byte follows.
    Raises UsageError for a value out of range. The code is the one of the DWARF standard.
    """
    if not 0 <= value <= MAX_VARINT:
        raise UsageError(f"a varint holds 0 to {MAX_VARINT}, not {value}")
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


class ByteReader:
    """Reads fields from the front of `data` and remembers how far it came.

    Attributes:
        data: the bytes, which may hold more than what is read.
        position: offset of the next byte, 0 to len(data).
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, n: int, what: str) -> bytes:
        """Return the next `n` bytes; TruncatedError, naming `what`, if they are not all there."""
        left = len(self.data) - self.position
        if n > left:
            raise TruncatedError(
                f"the file ends inside the {what}: {n} bytes expected at offset {self.position}, "
                f"only {left} left"
            )
        start = self.position
        self.position += n
        return self.data[start : self.position]

    def u8(self, what: str) -> int:
        """Return the next byte as an integer of 0 to 255."""
        return self.take(1, what)[0]

    def u32(self, what: str) -> int:
        """Return the next four bytes as a little-endian unsigned integer."""
        return int.from_bytes(self.take(4, what), "little")

    def varint(self, what: str) -> int:
        """Return the next varint, 0 to 2^32 - 1.

        Raises TruncatedError if the file ends before its last byte, CorruptError if it is longer
        than need be or larger than 2^32 - 1.
        """
        start = self.position
        value = 0
        for i in range(_MAX_BYTES):
            byte = self.u8(what)
            value |= (byte & 0x7F) << 7 * i
            if byte < 0x80:
                if byte == 0 and i:
                    raise CorruptError(f"the {what} at offset {start} has needless zero bytes")
                if value > MAX_VARINT:
                    raise CorruptError(f"the {what} at offset {start} exceeds {MAX_VARINT}")
                return value
        raise CorruptError(f"the {what} at offset {start} takes more than {_MAX_BYTES} bytes")
