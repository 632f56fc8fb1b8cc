"""Integers for parameters: rounding in turn, where those to come make up for the error; descent.

With q the integers, s their steps and v where the quadratic is least, both look for a low

    cost = (q s - v)^T H (q s - v) / 2 + sum of bits(q)

Rounding in turn factors H = R^T R and takes the last parameter first, so that parameter i sees the
errors e_j = q_j s_j - v_j of those behind it (Babai's nearest plane, "On Lovász' lattice reduction
and the nearest lattice point problem", 1986, DOI 10.1007/BF02579403):

    q_i = argmin over q of R_ii^2 (q s_i - t_i)^2 / 2 + bits(q),
    t_i = v_i - (sum over j > i of R_ij e_j) / R_ii

Descent changes the one integer that gains most, with g the gradient and a change of m = dq s_i:

    change of cost = (g_i + H_ii m / 2) m + bits(q_i + dq) - bits(q_i)

The loops are short but serial. The same in NumPy is in `givre.models.integer_rounding`.
"""

from __future__ import annotations

import numpy as np

from givre.models.compiled.kernel import kernel
from givre.models.compiled.types import Doubles1, Doubles2, Integers1, StridedDoubles2
from givre.models.integer_rounding import REACH, Choices


@kernel()
def round_rows(factor: Doubles2, values: Doubles1, choices: Choices, integers: Integers1) -> None:
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
    for place in range(n - 1, -1, -1):
        pulled = 0.0
        for behind in range(place + 1, n):
            pulled += factor[place, behind] * errors[behind]
        weight, step, group = factor[place, place], steps[place], groups[place]
        wanted = values[place] - pulled / weight
        centre = min(max(np.rint(wanted / step), float(low[place])), float(high[place]))
        best, least = np.int64(0), np.inf
        for offset in range(-REACH, REACH + 2):
            near = np.int64(centre) + offset if offset <= REACH else np.int64(0)
            candidate = min(max(near, low[place]), high[place])
            off = (candidate * step - wanted) * weight
            cost = 0.5 * off * off + bits[group, zero + candidate]
            if cost < least:
                best, least = candidate, cost
        integers[place] = best
        errors[place] = best * step - values[place]


@kernel()
def descend_rows(
    matrix: StridedDoubles2,
    extra: Doubles1,
    gradient: Doubles1,
    choices: Choices,
    least_gain: float,
    integers: Integers1,
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
    for changes in range(4 * n):
        least, place, chosen = np.inf, 0, np.int64(0)
        for i in range(n):
            bend = matrix[i, i] + extra[i]
            own, group = integers[i], groups[i]
            wanted = np.rint(own - gradient[i] / (bend * steps[i]))
            centre = np.int64(min(max(wanted, float(-zero)), float(zero)))
            before = bits[group, zero + own]
            for k in range(6):
                near = np.int64(0)
                if k < 2:
                    near = own + (2 * k - 1)
                elif k < 5:
                    near = centre + (k - 3)
                candidate = min(max(near, low[i]), high[i])
                move = (candidate - own) * steps[i]
                cost = (gradient[i] + 0.5 * bend * move) * move
                cost += bits[group, zero + candidate]
                cost -= before
                if cost < least:
                    least, place, chosen = cost, i, candidate
        if not least <= -least_gain:
            return changes
        move = (chosen - integers[place]) * steps[place]
        for i in range(n):
            gradient[i] += move * matrix[place, i]
        gradient[place] += move * extra[place]
        integers[place] = chosen
    return 4 * n
