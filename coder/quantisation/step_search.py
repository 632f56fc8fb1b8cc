"""Steps and integers for the parameters of a part of the decoder, by rate and distortion.

A quadratic model of the cost proposes, the true cost over the whole image decides. First the
parameters go, still as real numbers, to where cost and bits are least together: a fit leaves them
a little off, because its latents were noisy. Then they are rounded in turn, and steps are tried, a
group at a time: the integers are carried over and descend, and only what the model expects to gain
is judged by the true cost. In the end the integers are improved with slopes taken where they are.
Where the model has led astray, plain rounding takes the place of its proposal.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from givre.bitstream.rangecoder import PARAMETER_MAX
from givre.bitstream.side_information import N_EXPONENTS, GroupGuess, side_bits
from givre.coder.fitting.fit_kernels import IntegerRounding
from givre.coder.quantisation.integer_search import (
    Lattice,
    descend,
    round_in_turn,
)
from givre.coder.quantisation.model_cost import DecoderCost
from givre.coder.quantisation.polishing import FLOOR, polish, spreads
from givre.coder.quantisation.spending import THOROUGH, Spending
from givre.models.compiled.types import Integers
from givre.models.exact.arithmetic import PARAMETER_BITS

_log = logging.getLogger(__name__)

EMPTY = -1
"""In place of a group's exponent: all its parameters stay at the prior."""

_CAUTION = 3.0
"""Twice the bits that a move by one step is taken to cost beyond the quadratic model: parameters
that hardly matter must not go far, for there the model does not hold."""

_ASTRAY = 20.0
"""A model is not believed where rounding costs so many times what it foresees."""

_LEAST_CURVATURE = 1.0
"""In bits per unit squared, of a parameter without any effect."""

_FINER_FIRST = 2
"""Exponents above the expected best one at which the search starts. From a step that is too coarse
it does not find back."""

_ERROR_BITS = 17.0
"""Curvature times squared step, in bits, at which a finer step costs as much as it gains: the
derivative of h * step^2 / 24 is 1 / ln 2 bits for each halving."""


@dataclass(frozen=True)
class Group:
    """A group of parameters.

    Attributes:
        name: as in `architecture.tensor_specs`.
        size: number of parameters.
        prior_exponent: the prior's values are multiples of 2^-prior_exponent.
        guess: what predicts the group's step and scale in the file, if anything.
    """

    name: str
    size: int
    prior_exponent: int
    guess: GroupGuess | None = None


@dataclass(frozen=True)
class Choice:
    """Integers with the steps they belong to.

    Attributes:
        exponents: of each group, q of 0 to 15 for a step of 2^-q, or EMPTY.
        integers: (P,), all groups joined.
        bits: what they cost in all, their own size included.
    """

    exponents: tuple[int, ...]
    integers: Integers
    bits: float


def choose_integers(
    cost: DecoderCost,
    curvature: Tensor,
    groups: Sequence[Group],
    rounding: IntegerRounding,
    spending: Spending = THOROUGH,
) -> Choice:
    """Quantise the parameters that a cost depends on.

    Args:
        cost: of the differences from the prior; joined in the order of `groups`.
        curvature: (P, P), float64, of the cost in bits; Gauss-Newton will do.
        groups: their sizes add up to P.
        rounding: what does the loops over parameters.
        spending: how long it may look.

    Returns:
        The best choice found. Deterministic.
    """
    return _Search(cost, curvature, groups, rounding, spending).run()


class _Search:
    """The quadratic model around the polished parameters, and the choices tried so far."""

    def __init__(
        self,
        cost: DecoderCost,
        curvature: Tensor,
        groups: Sequence[Group],
        rounding: IntegerRounding,
        spending: Spending,
    ) -> None:
        self._cost, self._groups, self._rounding = cost, groups, rounding
        self._spending = spending
        self._index = np.repeat(np.arange(len(groups)), [group.size for group in groups])
        self._curvature = curvature + _LEAST_CURVATURE * torch.eye(len(curvature)).double()
        polished = polish(cost, self._curvature, self._index, spending.polishing)
        self._values, self._least, self._gradient = (
            polished.values,
            polished.bits,
            polished.gradient,
        )
        # A Laplace rate pulls like a Gaussian of the same spread.
        self._pull = 1 / (spreads(self._values, self._index, FLOOR / 3) ** 2 * log(2))

    def run(self) -> Choice:
        best = self._rounded(self._first_exponents())
        for _ in range(self._spending.trials):
            moved = self._moved_in_turn(best)
            if moved.exponents == best.exponents:
                break
            best = min(moved, self._rounded(moved.exponents), key=lambda choice: choice.bits)
        best = self._without_zeros(self._improve(best))
        for group, exponent in zip(self._groups, best.exponents, strict=True):
            step = "at the prior" if exponent == EMPTY else f"2^-{exponent}"
            _log.debug("%s: %s", group.name, step)
        return best

    def _moved_in_turn(self, best: Choice) -> Choice:
        """Go on to other steps from a choice's integers, one move after the other."""
        tried, judged = {best.exponents}, 0
        foreseen = self._foreseen(best)
        improved = True
        while improved:
            improved = False
            for move in self._moves():
                exponents = self._moved(best.exponents, move)
                if exponents in tried:
                    continue
                if judged == self._spending.moves:
                    return best
                tried.add(exponents)
                found = self._carried(best, foreseen, exponents)
                judged += found.bits < np.inf
                if found.bits < best.bits:
                    best, improved = found, True
                    foreseen = self._foreseen(best)
        return best

    def _foreseen(self, choice: Choice) -> float:
        """What a choice should cost by the quadratic model; what it costs where that is astray."""
        lattice = self._lattice(choice.exponents)
        if lattice is None:
            return np.inf
        expected = self._expected(lattice, choice.integers)
        start = self._least + lattice.bits(choice.integers)
        is_astray = choice.bits - start > _ASTRAY * (expected - start)
        return choice.bits if is_astray else expected

    def _carried(self, start: Choice, foreseen: float, exponents: tuple[int, ...]) -> Choice:
        """A choice's integers on other steps, after a descent: that takes no factor.

        What the quadratic does not expect to cost less than `foreseen` is not judged.
        """
        lattice = self._lattice(exponents)
        if lattice is None:
            return replace(start, exponents=exponents, bits=np.inf)
        held = start.integers * 2.0 ** -np.maximum(start.exponents, 0)[self._index]
        integers = lattice.nearest(held)
        caution, moved = _CAUTION / lattice.steps**2, integers * lattice.steps - self._values
        gradient = self._gradient + self._curvature.numpy() @ moved + caution * moved
        integers = descend(self._curvature, caution, gradient, integers, lattice, self._rounding)
        if self._expected(lattice, integers) >= foreseen:
            return Choice(exponents, integers, np.inf)
        return self._best_of(exponents, lattice, integers)

    def _first_exponents(self) -> tuple[int, ...]:
        pulled = self._curvature + torch.diag(torch.from_numpy(self._pull))
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(pulled))
        free = -np.log2(inverse.diagonal().numpy() * _ERROR_BITS)
        means = np.bincount(self._index, free) / np.bincount(self._index)
        wanted = np.rint(_FINER_FIRST + means / 2).tolist()
        return tuple(int(np.clip(q, 0, self._finest(group))) for group, q in enumerate(wanted))

    def _finest(self, group: int) -> int:
        """Exponent of the finest step that can hold a group's prior."""
        reach = np.abs(self._cost.prior[self._index == group]).max()
        return max(q for q in range(N_EXPONENTS) if np.ldexp(reach, q) < 1 << PARAMETER_BITS)

    def _moves(self) -> list[NDArray[np.int64]]:
        """Changes of the exponents to try: all at once, then each, then each group left out."""
        n = len(self._groups)
        single = np.eye(n, dtype=np.int64)
        moves = [-np.ones(n, np.int64), np.ones(n, np.int64)]
        moves += [sign * row for row in single for sign in (-1, 1)]
        return moves + [-N_EXPONENTS * row for row in single]

    def _moved(self, exponents: tuple[int, ...], move: NDArray[np.int64]) -> tuple[int, ...]:
        moved = []
        for exponent, change in zip(exponents, move.tolist(), strict=True):
            if exponent == EMPTY or change == -N_EXPONENTS:
                moved.append(EMPTY)
            else:
                moved.append(min(max(exponent + change, 0), N_EXPONENTS - 1))
        return tuple(moved)

    def _rounded(self, exponents: tuple[int, ...]) -> Choice:
        lattice = self._lattice(exponents)
        if lattice is None:
            return Choice(exponents, np.zeros(len(self._index), np.int64), np.inf)
        matrix, caution = self._curvature, _CAUTION / lattice.steps**2
        plain = lattice.nearest(self._values)
        tables = lattice.tables(plain)
        integers = round_in_turn(
            matrix, caution + self._pull, self._values, lattice, tables, self._rounding
        )
        moved = integers * lattice.steps - self._values
        gradient = self._gradient + matrix.numpy() @ moved + caution * moved
        integers = descend(matrix, caution, gradient, integers, lattice, self._rounding)
        return self._best_of(exponents, lattice, integers)

    def _best_of(self, exponents: tuple[int, ...], lattice: Lattice, integers: Integers) -> Choice:
        """Integers that the model proposes, or the plain ones where it has led astray."""
        plain = lattice.nearest(self._values)
        found = self._judged(exponents, lattice, integers)
        if found.bits > self._expected(lattice, plain):
            found = min(found, self._judged(exponents, lattice, plain), key=lambda c: c.bits)
        return found

    def _expected(self, lattice: Lattice, integers: Integers) -> float:
        """What integers should cost by the quadratic model, their own size included."""
        moved = integers * lattice.steps - self._values
        slope = self._gradient + 0.5 * (self._curvature.numpy() @ moved)
        return self._least + float(slope @ moved) + lattice.bits(integers)

    def _improve(self, best: Choice) -> Choice:
        """Descend again, with the slope of the true cost where the integers are."""
        lattice = self._lattice(best.exponents)
        if lattice is None:
            return best
        caution = _CAUTION / lattice.steps**2
        gradient = self._cost.gradient(best.integers * lattice.steps)
        for _ in range(self._spending.improving):
            integers = descend(
                self._curvature, caution, gradient, best.integers, lattice, self._rounding
            )
            if (integers == best.integers).all():
                break  # with more caution still less would move
            found = self._judged(best.exponents, lattice, integers)
            if found.bits < best.bits:
                best, caution = found, caution / 2
                gradient = self._cost.gradient(best.integers * lattice.steps)
            else:
                caution *= 4
        return best

    def _without_zeros(self, choice: Choice) -> Choice:
        """The same without the steps of groups that stay at the prior."""
        moved = np.bincount(self._index, choice.integers != 0)
        pairs = zip(choice.exponents, moved.tolist(), strict=True)
        return replace(choice, exponents=tuple(e if any_moved else EMPTY for e, any_moved in pairs))

    def _judged(self, exponents: tuple[int, ...], lattice: Lattice, integers: Integers) -> Choice:
        bits = self._cost.bits(integers * lattice.steps) + lattice.bits(integers)
        return Choice(exponents, integers, bits)

    def _lattice(self, exponents: tuple[int, ...]) -> Lattice | None:
        """Steps and limits; None if a step cannot hold the prior itself."""
        steps = 2.0 ** -np.maximum(exponents, 0)[self._index]
        finest = [max(e, g.prior_exponent) for e, g in zip(exponents, self._groups, strict=True)]
        limits = 2.0 ** (PARAMETER_BITS - np.array(finest))[self._index]
        low = np.floor((-limits - self._cost.prior) / steps) + 1
        high = np.ceil((limits - self._cost.prior) / steps) - 1
        empty = np.array([e == EMPTY for e in exponents])[self._index]
        low = np.where(empty, 0, np.maximum(low, -PARAMETER_MAX)).astype(np.int64)
        high = np.where(empty, 0, np.minimum(high, PARAMETER_MAX)).astype(np.int64)
        if (low > 0).any() or (high < 0).any():
            return None
        pairs = zip(exponents, self._groups, strict=True)
        side = np.stack([side_bits(max(e, 0), group.guess) for e, group in pairs])
        return Lattice(self._index, len(self._groups), steps, low, high, side)
