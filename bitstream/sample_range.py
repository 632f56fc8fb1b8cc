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
        bit_depth: bits a sample, 8 to 16.

    Returns:
        0 if every channel has the whole range, 1 if none is more than 15 short of it at either
        end, else 2.
    """
    largest = (1 << bit_depth) - 1
    margin = max((*low, *(largest - sample for sample in high)))
    if margin == 0:
        return _FULL
    return _MARGINS if margin <= _MAX_MARGIN else _PAIRS


def write_range(low: Sequence[int], high: Sequence[int], bit_depth: int, code: int) -> bytes:
    """Code a range.

    Args:
        low: per channel, the sample of output 0.
        high: per channel, the sample of output 1, at most 2^bit_depth - 1.
        bit_depth: bits a sample, 8 to 16.
        code: the one of `range_code`, or a larger one that another tile needs.
    """
    if code == _FULL:
        return b""
    pairs = list(zip(low, high, strict=True))
    if code == _MARGINS:
        largest = (1 << bit_depth) - 1
        return bytes(first | (largest - last) << 4 for first, last in pairs)
    size = sample_bytes(bit_depth)
    return b"".join(sample.to_bytes(size, "little") for pair in pairs for sample in pair)


def sample_bytes(bit_depth: int) -> int:
    """Bytes that hold a sample: 1 for 8 bits, 2 for 9 to 16."""
    return -(-bit_depth // 8)


def read_range(
    reader: ByteReader, code: int, n_channels: int, bit_depth: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Read low and high of every channel.

    Args:
        reader: at the first byte of the range, if it has any.
        code: 0 to 3, from the decoder byte.
        n_channels: 1 to 4.
        bit_depth: bits a sample, 8 to 16.

    Raises:
        CorruptError: the code is 3, or a sample of code 2 has more bits than `bit_depth`.
        TruncatedError: the file ends within.

    Whether low is above high, and whether a smaller code would do, is not looked at.
    """
    start, largest = reader.position, (1 << bit_depth) - 1
    if code == _FULL:
        return (0,) * n_channels, (largest,) * n_channels
    if code == _MARGINS:
        margins = reader.take(n_channels, "sample range")
        low = tuple(margin & 15 for margin in margins)
        return low, tuple(largest - (margin >> 4) for margin in margins)
    if code != _PAIRS:
        raise CorruptError(f"the code of the sample range is {code}, it must be 0 to {_PAIRS}")
    size = sample_bytes(bit_depth)
    content = reader.take(2 * n_channels * size, "sample range")
    samples = [
        int.from_bytes(content[at : at + size], "little") for at in range(0, len(content), size)
    ]
    if max(samples) > largest:
        raise CorruptError(
            f"the sample range at offset {start} has {max(samples)}, "
            f"the largest sample of {bit_depth} bits is {largest}"
        )
    return tuple(samples[0::2]), tuple(samples[1::2])
