"""What the kernels of SOAP take: where the state of each tensor lies, and a step's constants."""

from __future__ import annotations

from typing import NamedTuple

START, ROWS, COLUMNS, MEAN, SQUARE, ROW_FACTOR, ROW_BASIS, COLUMN_FACTOR, COLUMN_BASIS = range(9)
"""Columns of a table of tensors, each of them a matrix.

START: where it begins among the parameters.
ROWS, COLUMNS: its shape.
MEAN, SQUARE: where these running means of it begin in the state.
ROW_FACTOR, ROW_BASIS, COLUMN_FACTOR, COLUMN_BASIS: where those begin; -1 for what does not exist.
"""

N_COLUMNS = 9


class SoapConstants(NamedTuple):
    """Of one step.

    Attributes:
        clip_norm: the norm to which a larger gradient is scaled down.
        clip_epsilon: added to the norm of a gradient before it is clipped.
        decay: factor of the parameters, 1 less the learning rate times the weight decay.
        size: of the step.
        mean_share: of a new gradient in its running mean.
        square_share: of a new gradient in the running mean of its square.
        factor_share: of a new gradient in the factors.
        epsilon: added to the root of the mean square.
    """

    clip_norm: float
    clip_epsilon: float
    decay: float
    size: float
    mean_share: float
    square_share: float
    factor_share: float
    epsilon: float
