"""Integers for parameters under a quadratic model of their cost: rounding in turn, and descent.

Both weigh what a change costs in quality against the bits of the integer itself. Rounding in turn
lets the parameters that are still free make up for the error of those that are done, as in
Hassibi and Stork, "Optimal brain surgeon" (1993); in the theory of lattices it is Babai's nearest
plane. All costs are in bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from givre.bitstream.parameters import parameter_bits, parameter_cost_table
from givre.coder.fitting.fit_kernels import IntegerRounding
from givre.models.compiled.types import Doubles, Integers
from givre.models.integer_rounding import Choices

_LEAST_GAIN = 1e-9
_MAX_RESCALES = 4


@dataclass(frozen=True)
class Lattice:
    """The values that parameters may take: integer multiples of a step, in groups.

    Attributes:
        groups: (P,), the group of each parameter, 0 to n_groups - 1.
        n_groups: number of groups.
        steps: (P,), of each parameter.
        low: (P,), the smallest integer that each may have, at most 0.
        high: (P,), the largest, at least 0.
        side: (n_groups, 63), bits of a group's step and scale if any of its integers is not 0, by
            scale index less 1.
    """

    groups: Integers
    n_groups: int
    steps: Doubles
    low: Integers
    high: Integers
    side: Doubles

    def nearest(self, values: Doubles) -> Integers:
        """The closest integers that are allowed."""
        integers: Integers = np.clip(np.rint(values / self.steps), self.low, self.high).astype(int)
        return integers

    def bits(self, integers: Integers) -> float:
        """Coded size of all groups, with their flags, steps and scales."""
        return self.n_groups + sum(bits for bits, _ in self._coded(integers))

    def tables(self, integers: Integers) -> Doubles:
        """Bits (n_groups, 8191) of each integer under the scale that suits each group now."""
        scales = [scale for _, scale in self._coded(integers)]
        # A group of zeros may leave them.
        return np.stack([parameter_cost_table(max(scale, 1)) for scale in scales])

    def choices(self, tables: Doubles) -> Choices:
        """The lattice as kernels take it; `tables` are those of `Lattice.tables`."""
        return Choices(self.steps, tables, self.groups, self.low, self.high)

    def _coded(self, integers: Integers) -> list[tuple[float, int]]:
        """Bits of each group, without its flag, and the index of its scale."""
        return [
            parameter_bits(integers[self.groups == group].astype(np.int32), side)
            for group, side in enumerate(self.side)
        ]


def round_in_turn(
    curvature: torch.Tensor,
    extra: Doubles,
    values: Doubles,
    lattice: Lattice,
    tables: Doubles,
    rounding: IntegerRounding,
) -> Integers:
    """Round one parameter after the other; those to come make up for its error.

    Args:
        curvature: (P, P), float64.
        extra: (P,), added to its diagonal, which makes it positive definite; `values` is where the
            quadratic of that is least.
        values: (P,), to be rounded.
        lattice: what is allowed.
        tables: bits of each integer, from `Lattice.tables`.
        rounding: what does the loop.

    Returns:
        (P,) integers. The parameters whose rounding error costs most go first.
    """
    # The factor serves the last row first, so the order is turned round.
    bend = np.diagonal(curvature.numpy()) + extra
    order = np.argsort(-bend * lattice.steps**2, kind="stable")[::-1].copy()
    matrix = curvature.numpy()[order[:, None], order]
    np.einsum("ii->i", matrix)[:] = bend[order]
    factor = torch.linalg.cholesky(torch.from_numpy(matrix), upper=True).numpy()
    integers = np.zeros(len(values), np.int64)
    rounding.round_rows(
        np.ascontiguousarray(factor),
        values[order],
        Choices(
            lattice.steps[order],
            tables,
            lattice.groups[order],
            lattice.low[order],
            lattice.high[order],
        ),
        integers,
    )
    found = np.empty_like(integers)
    found[order] = integers
    return found


def descend(
    curvature: torch.Tensor,
    extra: Doubles,
    gradient: Doubles,
    integers: Integers,
    lattice: Lattice,
    rounding: IntegerRounding,
) -> Integers:
    """Change one integer at a time, always the one that gains most, until none gains.

    Args:
        curvature: (P, P), float64.
        extra: (P,), added to its diagonal.
        gradient: (P,), of the quadratic at `integers`.
        integers: where to begin.
        lattice: what is allowed.
        rounding: what does the loop.

    Returns:
        (P,) integers.
    """
    integers, gradient = integers.copy(), gradient.copy()
    matrix = curvature.numpy()
    for _ in range(_MAX_RESCALES):
        choices = lattice.choices(lattice.tables(integers))
        changes = rounding.descend_rows(matrix, extra, gradient, choices, _LEAST_GAIN, integers)
        if not changes:
            break
    return integers
