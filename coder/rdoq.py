"""Rate-distortion optimised quantisation (RDOQ) of parameters: move integers while it pays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from givre.bitstream.parameters import parameter_bits, parameter_cost_table
from givre.bitstream.rangecoder import PARAMETER_MAX

_MAX_MOVES = 15


class IntegerGroup(Protocol):
    """Integers that share a scale, and a way to change one of them."""

    integers: NDArray[np.int32]

    def may_be(self, index: int, integer: int) -> bool:
        """Whether one integer may be changed to another value."""

    def set(self, index: int, integer: int) -> None:
        """Change one integer, also where the cost is computed."""


def refine_group(
    group: IntegerGroup,
    cost: Callable[[], float],
    weight: float,
    generator: torch.Generator,
) -> None:
    """Move each integer, in random order, one by one while cost + weight * bits falls.

    The move towards zero, which makes the group cheaper, is tried first; the other direction only
    when the first move does not pay.

    Args:
        group: the integers, changed in place.
        cost: what the present integers cost, without their own bits.
        weight: cost of a bit.
        generator: decides the order.
    """
    if not group.integers.any():
        return
    scale_index = parameter_bits(group.integers)[1]
    table = parameter_cost_table(max(scale_index, 1))
    best = cost()
    for index in torch.randperm(len(group.integers), generator=generator).tolist():
        value = int(group.integers[index])
        first = -1 if value > 0 else 1
        for direction in (first, -first):
            moved = False
            for _ in range(_MAX_MOVES):
                candidate = value + direction
                if not group.may_be(index, candidate):
                    break
                delta = table[candidate + PARAMETER_MAX] - table[value + PARAMETER_MAX]
                group.set(index, candidate)
                found = cost()
                if found + weight * float(delta) >= best:
                    group.set(index, value)
                    break
                best, value, moved = found, candidate, True
            if moved:
                break
