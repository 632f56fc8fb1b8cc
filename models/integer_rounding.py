"""Integers for parameters, in plain NumPy: rounding in turn, and descent.

`givre.models.fused.networks.integer_rounding` has the equations, and the same in compiled code;
both give the same integers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from givre.models.compiled.types import Doubles, Doubles1, Doubles2, Integers, Integers1

REACH = 2
"""Integers on either side of the nearest one that are weighed against their bits; and 0."""


class Choices(NamedTuple):
    """What P parameters may be, and what that takes.

    Attributes:
        steps: (P,), of the integers.
        bits: (n_groups, 2 M + 1), of the integers from -M to M in each group.
        groups: (P,), of each parameter.
        low: (P,), smallest integer allowed, at least -M and at most 0.
        high: (P,), largest integer allowed, from 0 to M.
    """

    steps: Doubles1
    bits: Doubles2
    groups: Integers1
    low: Integers1
    high: Integers1


def round_rows(factor: Doubles, values: Doubles, choices: Choices, integers: Integers) -> None:
    """Round the last parameter first; each sees the errors of those behind it.

    Args:
        factor: (P, P), upper triangular; the cost of an error e is half of |factor e|^2, in bits.
        values: (P,), where that is least.
        choices: for the parameters.
        integers: (P,), for the result.
    """
    steps, bits, groups, low, high = choices
    n = len(values)
    zero = bits.shape[1] // 2
    errors = np.zeros(n)
    offsets = np.arange(-REACH, REACH + 1)
    for place in range(n - 1, -1, -1):
        behind = slice(place + 1, n)
        # A cumulative sum adds one by one, as the compiled loop does; a plain sum would not.
        products = np.cumsum(factor[place, behind] * errors[behind])
        pulled = products[-1] if len(products) else 0.0
        weight, step = factor[place, place], steps[place]
        wanted = values[place] - pulled / weight
        centre = min(max(np.rint(wanted / step), float(low[place])), float(high[place]))
        near = np.append(int(centre) + offsets, 0).clip(low[place], high[place])
        off = (near * step - wanted) * weight
        cost = 0.5 * off * off + bits[groups[place], zero + near]
        integers[place] = near[_first_least(cost)]
        errors[place] = integers[place] * step - values[place]


def descend_rows(
    matrix: Doubles,
    extra: Doubles,
    gradient: Doubles,
    choices: Choices,
    least_gain: float,
    integers: Integers,
) -> int:
    """Change one integer at a time, always the one that gains most, until none gains.

    Each may go one down or up, near to where the quadratic alone is least, or to 0.

    Args:
        matrix: (P, P), of the quadratic, without `extra`.
        extra: (P,), added to its diagonal, which is then above 0.
        gradient: (P,), of the quadratic; kept up to date in place.
        choices: for the parameters.
        least_gain: in bits, of a change; above 0.
        integers: (P,), where to begin; changed in place.

    Returns:
        The number of changes; they end at four times P.
    """
    steps, bits, groups, low, high = choices
    n = len(integers)
    zero = bits.shape[1] // 2
    bend = np.diagonal(matrix) + extra
    everyone = np.arange(n)
    for changes in range(4 * n):
        wanted = np.rint(integers - gradient / (bend * steps))
        centre = wanted.clip(-zero, zero).astype(np.int64)
        near = np.stack(
            [integers - 1, integers + 1, centre - 1, centre, centre + 1, np.zeros(n, np.int64)]
        )
        candidates = near.clip(low, high)
        moves = (candidates - integers) * steps
        cost = (gradient + 0.5 * bend * moves) * moves
        cost += bits[groups, zero + candidates]
        cost -= bits[groups, zero + integers[everyone]]
        best = _first_least(cost.T.reshape(-1))
        place, kind = divmod(best, len(near))
        if not cost[kind, place] <= -least_gain:
            return changes
        chosen = candidates[kind, place]
        move = moves[kind, place]
        gradient += move * matrix[place]
        gradient[place] += move * extra[place]
        integers[place] = chosen
    return 4 * n


def _first_least(costs: Doubles) -> int:
    """Position of the first of the smallest costs; what is not a number is never chosen."""
    return int(np.argmin(np.where(np.isnan(costs), np.inf, costs)))
