"""Parameters go, as real numbers, to where their cost and their own bits are least together.

A fit leaves them a little off, because its latents were noisy, and after a short fit by a lot: then
these steps carry the fit on. They are Newton's, damped as in the method of Levenberg and Marquardt.
"""

from __future__ import annotations

from math import log
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from givre.coder.quantisation.model_cost import DecoderCost
from givre.models.compiled.types import Doubles, Integers

FLOOR = 0.01
"""Added to a group's mean difference: what is smaller will be rounded away."""

_DAMPING = 0.1
_LEAST_DAMPING = 1e3

_SHORT_STEP = 0.3
"""Part of a step that is tried where the whole one goes too far."""

_LESS_DAMPING, _MORE_DAMPING, _MUCH_MORE_DAMPING = 1 / 3, 4.0, 10.0
"""Factors of the damping: after a step that gained what was foreseen, after one that did not, and
after one that lost."""


class Polished(NamedTuple):
    """Parameters (P,), as differences from the prior, their cost in bits, and its slope (P,)."""

    values: Doubles
    bits: float
    gradient: Doubles


def polish(cost: DecoderCost, curvature: Tensor, index: Integers, steps: int) -> Polished:
    """Minimise cost and smooth bits together, from where the parameters are.

    Args:
        cost: of the differences from the prior.
        curvature: (P, P), float64, of the cost in bits, positive definite.
        index: (P,), the group of each parameter.
        steps: how many factors of the curvature it may take.
    """
    values, damping = cost.differences(), 1.0
    extra = _DAMPING * curvature.diagonal() + _LEAST_DAMPING
    found, gradient = cost.bits(values), cost.gradient(values)
    least = found + _smooth_bits(values, index)
    for _ in range(steps):
        pull = 1 / (spreads(values, index, FLOOR) * log(2) * (np.abs(values) + 0.3 * FLOOR))
        matrix = curvature + torch.diag(torch.from_numpy(pull) + damping * extra)
        slope = torch.from_numpy(gradient + pull * values)
        step = -torch.cholesky_solve(slope[:, None], torch.linalg.cholesky(matrix))[:, 0]
        # A part of the step needs no other factor.
        for part in (1.0, _SHORT_STEP):
            candidate = values + part * step.numpy()
            bits = cost.bits(candidate)
            gain = least - bits - _smooth_bits(candidate, index)
            if gain > 0:
                break
        if gain > 0:
            foreseen = -float(part * slope @ step + 0.5 * part**2 * step @ (matrix @ step))
            values, found, least = candidate, bits, least - gain
            gradient = cost.gradient(values)
            damping *= _damping_change(gain / foreseen) if part == 1 else _MORE_DAMPING
        else:
            damping *= _MUCH_MORE_DAMPING
    return Polished(values, found, gradient)


def spreads(values: Doubles, index: Integers, floor: float) -> Doubles:
    """Mean magnitude in the group of each parameter, (P,), plus `floor`."""
    means: Doubles = np.bincount(index, np.abs(values)) / np.bincount(index) + floor
    return means[index]


def _smooth_bits(values: Doubles, index: Integers) -> float:
    """Size of differences that are not rounded, up to a constant."""
    return float(np.log2(spreads(values, index, FLOOR)).sum())


def _damping_change(share: float) -> float:
    """Factor of the damping after a step that gained a share of what was foreseen."""
    if share > 0.75:
        return _LESS_DAMPING
    return 1.0 if share > 0.25 else _MORE_DAMPING
