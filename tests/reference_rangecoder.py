"""A range coder with unbounded integers, written from the text of the format."""

from __future__ import annotations

import math

TOTAL = 1 << 24
Interval = tuple[int, int]


def cumulative(s: int, low: int, high: int, mean: float, scale: float) -> int:
    """C(s), the counts below the symbol s of a leaky Laplace model over low to high."""
    if s == low:
        return 0
    if s == high + 1:
        return TOTAL
    x = s - 0.5
    tail = 0.5 * math.exp(-abs(x - mean) / scale)
    below = tail if x <= mean else 1 - tail
    return math.floor((TOTAL - 1 - (high - low)) * below) + s - low


def laplace_interval(s: int, low: int, high: int, mean: float, scale: float) -> Interval:
    model = low, high, mean, scale
    return cumulative(s, *model), cumulative(s + 1, *model)


def reference_message(intervals: list[Interval]) -> bytes:
    """The shortest fraction in the interval that these counts narrow down, without carries."""
    if not intervals:
        return b""
    lower, width, n_bits = 0, (1 << 64) - 1, 64
    for left, right in intervals:
        unit = width >> 24
        lower, width = lower + unit * left, unit * (right - left)
        if width < 1 << 32:
            lower, width, n_bits = lower << 32, width << 32, n_bits + 32
    for n_bytes in range(n_bits // 8 + 1):
        dropped = n_bits - 8 * n_bytes
        value = -(-lower >> dropped)
        if value << dropped < lower + width:
            return value.to_bytes(n_bytes, "big").rstrip(b"\0")
    raise AssertionError("an interval of integers is never empty")


class ReferenceDecoder:
    """Decodes a message symbol by symbol; what it does not hold is zero."""

    def __init__(self, data: bytes) -> None:
        self._data, self._next = data, 8
        self._width, self._offset = (1 << 64) - 1, int.from_bytes(data[:8].ljust(8, b"\0"), "big")

    def symbol(self, low: int, high: int, mean: float, scale: float) -> int:
        model = low, high, mean, scale
        unit = self._width >> 24
        target = self._offset // unit
        if target >= TOTAL:
            raise ValueError("no encoder writes this")
        symbol = next(s for s in range(low, high + 1) if cumulative(s + 1, *model) > target)
        left, right = laplace_interval(symbol, *model)
        self._offset, self._width = self._offset - unit * left, unit * (right - left)
        if self._width < 1 << 32:
            word = self._data[self._next : self._next + 4].ljust(4, b"\0")
            self._next += 4
            self._width <<= 32
            self._offset = self._offset << 32 | int.from_bytes(word, "big")
        return symbol


def reference_decode(data: bytes, models: list[tuple[int, int, float, float]]) -> list[int]:
    """All symbols of a message; a model is (low, high, mean, scale)."""
    decoder = ReferenceDecoder(data)
    return [decoder.symbol(*model) for model in models]
