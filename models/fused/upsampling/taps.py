"""The upsampler's symmetric filters as its kernels take them, and their gradients on the way back.

A filter is stored as one half. Kernels take whole filters, filled up with zeros to a multiple of 8
taps, those of all stages in one array.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from givre.models.compiled.types import Doubles, Doubles2, Floats, Floats2


class Filters(NamedTuple):
    """Whole filters of an upsampler; stages use those of a kind in turn.

    Attributes:
        transposed: (n, 2N), upsampling filters.
        preconcat: (m, 2R + 2), pre-concatenation filters; the last tap is zero.
    """

    transposed: Floats2
    preconcat: Floats2


def no_gradients(filters: Filters) -> FilterGradients:
    """Zeros in the shapes of some filters."""
    return FilterGradients(np.zeros(filters.transposed.shape), np.zeros(filters.preconcat.shape))


def whole_filters(transposed: Sequence[Floats], preconcat: Sequence[Floats]) -> Filters:
    """Mirror the halves of upsampling and of pre-concatenation filters, outermost tap first."""
    even, odd = _left_halves(transposed), _left_halves(preconcat)
    n = odd.shape[1] // 2
    even[:, even.shape[1] // 2 :] = even[:, even.shape[1] // 2 - 1 :: -1]
    odd[:, n:-1] = odd[:, : n - 1][:, ::-1]
    return Filters(even, odd)


class FilterGradients(NamedTuple):
    """Sums of the whole filters' gradients over the stages; they start at zero.

    Attributes:
        transposed: in the shape of `Filters.transposed`.
        preconcat: in the shape of `Filters.preconcat`.
    """

    transposed: Doubles2
    preconcat: Doubles2

    def add(self, stage: int, transposed: Doubles, preconcat: Doubles) -> None:
        """Add what a stage contributes to both of its filters."""
        self.transposed[stage % len(self.transposed)] += transposed
        self.preconcat[stage % len(self.preconcat)] += preconcat

    def halves(self, lengths: Sequence[int]) -> list[Floats]:
        """Gradients of the stored halves, given the lengths of all of them, in their order."""
        whole = self.transposed
        n = whole.shape[1] // 2
        even = whole[:, :n] + whole[:, : n - 1 : -1]
        whole = self.preconcat
        n = whole.shape[1] // 2
        odd = whole[:, :n].copy()
        odd[:, :-1] += whole[:, -2 : n - 1 : -1]
        rows = [*even.astype(np.float32), *odd.astype(np.float32)]
        return [row[len(row) - n :] for row, n in zip(rows, lengths, strict=True)]


def _left_halves(halves: Sequence[Floats]) -> Floats:
    """Halves that end in the middle of whole filters, zeros elsewhere."""
    n = -(-max(map(len, halves)) // 4) * 4
    taps = np.zeros((len(halves), 2 * n), np.float32)
    for row, half in zip(taps, halves, strict=True):
        row[n - len(half) : n] = half
    return taps
