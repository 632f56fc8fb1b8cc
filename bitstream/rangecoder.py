"""The range coder: a message of integers, each with the model that predicts it, as bytes.

A thin layer on constriction's range coder (Bamler, "Understanding entropy coding with asymmetric
numeral systems", 2022). A message is a binary fraction, written from its most significant byte on;
what is not written is zero. Hence trailing zero bytes are never written.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from constriction import stream
from numpy.typing import NDArray

from givre.errors import CorruptError, UsageError
from givre.models.geometry import LATENT_MAX, LATENT_MIN

PARAMETER_MAX = 4095
"""Largest magnitude of a quantised parameter."""

_WORD_BYTES = 4
_WINDOW_BYTES = 8


class _Models:
    """The coder's models; built once a message because building one costs as much as using it."""

    def __init__(self) -> None:
        self.latent = stream.model.QuantizedLaplace(LATENT_MIN, LATENT_MAX)
        self.parameter = stream.model.QuantizedLaplace(-PARAMETER_MAX, PARAMETER_MAX)
        self.bit = stream.model.QuantizedLaplace(0, 1)
        self.uniform: dict[int, Any] = {}
        self.integer: dict[tuple[int, int], Any] = {}

    def uniform_of(self, size: int) -> Any:
        if size not in self.uniform:
            self.uniform[size] = stream.model.Uniform(size)
        return self.uniform[size]

    def integer_of(self, low: int, high: int) -> Any:
        if (low, high) not in self.integer:
            self.integer[low, high] = stream.model.QuantizedLaplace(low, high)
        return self.integer[low, high]


class SymbolEncoder:
    """Encodes symbols in the order in which a `SymbolDecoder` reads them back."""

    def __init__(self) -> None:
        self._models = _Models()
        self._encoder = stream.queue.RangeEncoder()

    def laplace(
        self, symbols: NDArray[np.int32], mean: NDArray[np.float64], scale: NDArray[np.float64]
    ) -> None:
        """Append latents of -64 to 63, each with the mean and scale of its Laplace model.

        All three are one-dimensional and of one length; scales are positive. Raises UsageError
        for a symbol out of range.
        """
        self._encode(symbols, self._models.latent, mean, scale)

    def parameters(self, integers: NDArray[np.int32], scale: float) -> None:
        """Append quantised parameters of -4095 to 4095 with mean 0 and one positive scale.

        `integers` is one-dimensional. Raises UsageError for an integer out of range.
        """
        mean = np.zeros(len(integers))
        self._encode(integers, self._models.parameter, mean, np.full(len(integers), scale))

    def uniform(self, value: int, size: int) -> None:
        """Append one value of 0 to size - 1, all equally likely; size is 2 to 2^24 - 1."""
        if not 0 <= value < size:
            raise UsageError(f"the value is {value}, it must be 0 to {size - 1}")
        self._encoder.encode(value, self._models.uniform_of(size))

    def integer(self, value: int, low: int, high: int, mean: float, scale: float) -> None:
        """Append one integer of low to high with the mean and scale of its Laplace model.

        `low` is below `high`, the scale is positive. Raises UsageError for a value out of range.
        """
        symbols, model = np.array([value], np.int32), self._models.integer_of(low, high)
        self._encode(symbols, model, np.array([mean], float), np.array([scale], float))

    def bits(self, values: NDArray[np.int32], mean: NDArray[np.float64]) -> None:
        """Append values of 0 and 1, each with the mean of its Laplace model, whose scale is 1.

        Both are one-dimensional and of one length.
        """
        self._encode(values, self._models.bit, mean, np.ones(len(mean)))

    def _encode(self, symbols: NDArray[np.int32], *model: Any) -> None:
        try:
            self._encoder.encode(symbols, *model)
        except KeyError:
            low, high = symbols.min(), symbols.max()
            raise UsageError(f"symbols of {low} to {high} exceed their range") from None

    def to_bytes(self) -> bytes:
        """The shortest message that decodes to the symbols so far; it never ends in a zero byte.

        The coder's state is an interval [lower, lower + width) of the fractions that decode to
        these symbols, and its sealed form is one fraction within. The shortest is another one: the
        first multiple of the largest power of 256 that has a multiple in the interval.
        """
        words = self._encoder.get_compressed()
        if len(words) == 0:
            return b""
        n_written, (lower, width) = self._encoder.pos()
        # The interval is known modulo the 64-bit window that starts after the written words; a
        # carry may still run through words that the coder holds back, so place it from the seal.
        n_bytes = n_written * _WORD_BYTES + _WINDOW_BYTES
        n_bytes = max(n_bytes, len(words) * _WORD_BYTES)
        sealed = words.astype(">u4").tobytes().ljust(n_bytes, b"\0")
        point = int.from_bytes(sealed[-_WINDOW_BYTES:], "big")
        first = int.from_bytes(sealed, "big") - (point - lower) % (1 << 64)
        return _shortest_fraction(first, first + width, n_bytes)


def _shortest_fraction(first: int, end: int, n_bytes: int) -> bytes:
    """The shortest byte string that, padded with zeros to n_bytes, lies in [first, end)."""
    n_dropped = min((end - first).bit_length() // 8 + 1, n_bytes)
    while True:
        value = -(-first >> 8 * n_dropped)
        if value << 8 * n_dropped < end:
            return value.to_bytes(n_bytes - n_dropped, "big").rstrip(b"\0")
        n_dropped -= 1


def message_words(data: bytes) -> NDArray[np.uint32]:
    """The words of a message. Raises CorruptError if it ends in a zero byte."""
    if data.endswith(b"\0"):
        raise CorruptError("a coded section ends in a zero byte, which must be left out")
    padded = data.ljust(-(-len(data) // _WORD_BYTES) * _WORD_BYTES, b"\0")
    return np.frombuffer(padded, ">u4").astype(np.uint32)


def initial_state(words: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """The range decoder's state before the first symbol of a message.

    Returns:
        uint64 (3,): the offset of the message within the interval, the interval's width minus
        one, and the place of the next word.
    """
    head = [int(word) for word in words[:2]] + [0, 0]
    return np.array([head[0] << 32 | head[1], (1 << 64) - 1, 2], np.uint64)


class SymbolDecoder:
    """Decodes the symbols of one message, in order.

    Any bytes decode to something, so success proves nothing: checksums do. Raises CorruptError if
    the message ends in a zero byte, which no encoder writes, and on data that the coder refuses.
    """

    def __init__(self, data: bytes) -> None:
        self._models = _Models()
        self._decoder = stream.queue.RangeDecoder(message_words(data))

    def laplace(self, mean: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.int32]:
        """Decode as many latents, -64 to 63, as `mean` and `scale` have elements (one axis)."""
        return self._decode(self._models.latent, mean, scale)

    def parameters(self, n: int, scale: float) -> NDArray[np.int32]:
        """Decode `n` quantised parameters, -4095 to 4095, with mean 0 and one scale."""
        return self._decode(self._models.parameter, np.zeros(n), np.full(n, scale))

    def uniform(self, size: int) -> int:
        """Decode one value of 0 to size - 1."""
        return int(self._decode(self._models.uniform_of(size), 1)[0])

    def integer(self, low: int, high: int, mean: float, scale: float) -> int:
        """Decode one integer of low to high with the mean and scale of its Laplace model."""
        model = self._models.integer_of(low, high)
        return int(self._decode(model, np.array([mean], float), np.array([scale], float))[0])

    def bits(self, mean: NDArray[np.float64]) -> NDArray[np.int32]:
        """Decode a 0 or 1 for each mean of a Laplace model of scale 1."""
        return self._decode(self._models.bit, mean, np.ones(len(mean)))

    def _decode(self, *model: Any) -> NDArray[np.int32]:
        try:
            symbols: NDArray[np.int32] = self._decoder.decode(*model)
        except BaseException as error:  # a Rust panic is not an Exception
            _raise_corrupt(error)
        return symbols


def _raise_corrupt(error: BaseException) -> NoReturn:
    """Turn the coder's complaints about the data into a CorruptError; let all others pass."""
    if isinstance(error, AssertionError) or type(error).__name__ == "PanicException":
        raise CorruptError("a coded section holds data that no encoder writes") from None
    raise error
