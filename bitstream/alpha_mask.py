"""The mask section: which pixels are transparent, opaque or in between, without loss.

Pixels come in waves, as latents do: pixel (y, x) belongs to wave x + 2 y, and sees six neighbours
in earlier waves. Each decision has counts for every pattern of the neighbours' classes, which
follow what has been coded: context modelling as in JBIG (ITU-T T.82), a wave at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.rangecoder import SymbolDecoder, SymbolEncoder

Classes = NDArray[np.uint8]
Integers = NDArray[np.int64]
Doubles = NDArray[np.float64]

BETWEEN, TRANSPARENT, OPAQUE = range(3)
"""Classes of a pixel: neither, alpha 0, and alpha at its largest."""

N_STATES = 41
"""Skews that a decision can have: the rarer outcome has a probability of exp(-k / 4) / 2."""

STATE_THRESHOLDS = np.rint(2.0**23 * np.exp(-(np.arange(N_STATES - 1) + 0.5) / 4)).astype(np.int64)
"""A skew is the number of these that are above 2^24 times the share of the rarer outcome."""

MAX_COUNT = 1 << 14
"""Sum of a pattern's two counts above which both are halved."""

_NEIGHBOURS = ((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0))
_STEP = 2
_REACH = 2
_N_PATTERNS = 3 ** len(_NEIGHBOURS)

Decide = Callable[[Integers, Doubles], NDArray[np.int32]]
"""Codes one decision a pixel: takes flat places and means, gives the outcomes."""


@dataclass
class _Counts:
    """How often each outcome of a decision came, for every pattern of neighbours.

    Attributes:
        values: int64 (2, patterns): twice the times that 0 and 1 came, and one.
    """

    values: Integers

    def means(self, patterns: Integers) -> Doubles:
        """Means of the decisions' Laplace models."""
        zeros, ones = self.values[:, patterns]
        share = (np.minimum(zeros, ones) << 24) // (zeros + ones)
        skew = np.searchsorted(-STATE_THRESHOLDS, -share, side="left")
        # A mean below 1/2 makes 0 the likelier outcome.
        means: Doubles = 0.5 + np.where(ones > zeros, skew, -skew) / 4.0
        return means

    def add(self, patterns: Integers, outcomes: NDArray[np.int32]) -> None:
        """Count the outcomes of a wave; counts that become large are halved."""
        np.add.at(self.values, (outcomes, patterns), 2)
        large = self.values.sum(axis=0) > MAX_COUNT
        self.values[:, large] = (self.values[:, large] + 1) >> 1


def write_mask(classes: Classes, has_between: bool) -> bytes:
    """Code the classes of all pixels.

    Args:
        classes: uint8 (H, W) of BETWEEN, TRANSPARENT and OPAQUE.
        has_between: whether pixels may be BETWEEN: alpha is soft.

    Returns:
        The section's bytes.
    """
    height, width = classes.shape
    encoder = SymbolEncoder()
    plane = _Plane(height, width)
    inside = plane.inside(classes)

    def code(found: NDArray[np.bool_]) -> Decide:
        def decide(places: Integers, means: Doubles) -> NDArray[np.int32]:
            outcomes = found[places].astype(np.int32)
            encoder.bits(outcomes, means)
            return outcomes

        return decide

    _code(plane, has_between, code(inside != BETWEEN), code(inside == OPAQUE))
    return encoder.to_bytes()


def read_mask(data: bytes, width: int, height: int, has_between: bool) -> Classes:
    """Decode the classes of all pixels.

    Args:
        data: the section.
        width: columns of pixels.
        height: rows of pixels.
        has_between: whether pixels may be BETWEEN: alpha is soft.

    Returns:
        uint8 (H, W) of BETWEEN, TRANSPARENT and OPAQUE.

    Raises:
        CorruptError: the section ends in a zero byte.
    """
    decoder = SymbolDecoder(data)
    plane = _Plane(height, width)

    def decide(_: Integers, means: Doubles) -> NDArray[np.int32]:
        return decoder.bits(means)

    _code(plane, has_between, decide, decide)
    return plane.classes()


def _code(plane: _Plane, has_between: bool, is_end: Decide, is_opaque: Decide) -> None:
    """Go through all waves: first it is decided whether a pixel is at an end, then at which one.

    The outcomes fill the plane.
    """
    ends, opaque = _Counts(_ones()), _Counts(_ones())
    for wave in plane.waves():
        places, patterns = wave, plane.patterns(wave)
        if has_between:
            outcomes = is_end(places, ends.means(patterns))
            ends.add(patterns, outcomes)
            at_end = outcomes > 0
            places, patterns = places[at_end], patterns[at_end]
        if len(places):
            outcomes = is_opaque(places, opaque.means(patterns))
            opaque.add(patterns, outcomes)
            plane.flat[places] = TRANSPARENT + outcomes


def _ones() -> Integers:
    return np.ones((2, _N_PATTERNS), np.int64)


class _Plane:
    """The classes known so far, BETWEEN elsewhere and outside of the picture.

    Attributes:
        flat: uint8, the rows with a margin of two pixels above and on both sides, one after the
            other.
    """

    def __init__(self, height: int, width: int) -> None:
        self._height, self._width = height, width
        self._pitch = width + 2 * _REACH
        self.flat = np.zeros((height + _REACH) * self._pitch, np.uint8)
        self._offsets = np.array([dy * self._pitch + dx for dy, dx in _NEIGHBOURS])
        self._weights = 3 ** np.arange(len(_NEIGHBOURS))

    def inside(self, classes: Classes) -> Classes:
        """Classes (H, W) in the layout of `flat`."""
        return np.pad(classes, ((_REACH, 0), (_REACH, _REACH))).reshape(-1)

    def classes(self) -> Classes:
        """The classes as (H, W)."""
        rows = self.flat.reshape(self._height + _REACH, self._pitch)
        return rows[_REACH:, _REACH : _REACH + self._width].copy()

    def waves(self) -> Iterator[Integers]:
        """Places of the pixels of every wave, from the top row down."""
        for t in range(self._width + _STEP * (self._height - 1)):
            first = max(0, -(-(t - self._width + 1) // _STEP))
            rows = np.arange(first, min(self._height, t // _STEP + 1))
            if len(rows):
                yield (rows + _REACH) * self._pitch + t - _STEP * rows + _REACH

    def patterns(self, places: Integers) -> Integers:
        """The number of the pattern of each pixel's neighbours, 0 to 3^6 - 1."""
        found: Integers = self.flat[places[:, None] + self._offsets] @ self._weights
        return found
