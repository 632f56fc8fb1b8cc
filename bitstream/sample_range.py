"""The samples that the outputs 0 and 1 of the synthesis stand for, in as few bytes as there are.

Many pictures use the whole range, or all but a little of it; the others spell theirs out.
"""

from __future__ import annotations

from collections.abc import Sequence

from givre.bitstream.varint import ByteReader
from givre.errors import CorruptError

_FULL, _MARGINS, _PAIRS = range(3)
_MAX_MARGIN = 15


def range_code(low: Sequence[int], high: Sequence[int], bit_depth: int) -> int:
    """How the header codes a range: the least code that holds it.

    Args:
        low: per channel, the sample of output 0.
        high: per channel, the sample of output 1, at most 2^bit_depth - 1.
        bit_depth: bits a sample, 8 or 16.

    Returns:
        0 if every channel has the whole range, 1 if none is more than 15 short of it at either
        end, else 2.
    """
    largest = (1 << bit_depth) - 1
    margin = max(*low, *(largest - sample for sample in high))
    if margin == 0:
        return _FULL
    return _MARGINS if margin <= _MAX_MARGIN else _PAIRS


def write_range(low: Sequence[int], high: Sequence[int], bit_depth: int) -> bytes:
    """Code a range as `range_code` says; arguments as there."""
    code = range_code(low, high, bit_depth)
    if code == _FULL:
        return b""
    pairs = list(zip(low, high, strict=True))
    if code == _MARGINS:
        largest = (1 << bit_depth) - 1
        return bytes(first | (largest - last) << 4 for first, last in pairs)
    return b"".join(sample.to_bytes(bit_depth // 8, "little") for pair in pairs for sample in pair)


def read_range(
    reader: ByteReader, code: int, n_channels: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Read low and high of every channel, samples of 8 bits.

    Args:
        reader: at the first byte of the range, if it has any.
        code: 0 to 3, from the decoder byte.
        n_channels: 1 to 4.

    Raises CorruptError for code 3 and for a code that is larger than need be, TruncatedError if
    the file ends within. Whether low is above high is not looked at.
    """
    start = reader.position
    if code == _FULL:
        return (0,) * n_channels, (255,) * n_channels
    if code == _MARGINS:
        margins = reader.take(n_channels, "sample range")
        low = tuple(margin & 15 for margin in margins)
        high = tuple(255 - (margin >> 4) for margin in margins)
    elif code == _PAIRS:
        samples = reader.take(2 * n_channels, "sample range")
        low, high = tuple(samples[0::2]), tuple(samples[1::2])
    else:
        raise CorruptError(f"the code of the sample range is {code}, it must be 0 to {_PAIRS}")
    shorter = range_code(low, high, 8)
    if shorter != code:
        raise CorruptError(
            f"the sample range at offset {start} has code {code}, it must have {shorter}"
        )
    return low, high
