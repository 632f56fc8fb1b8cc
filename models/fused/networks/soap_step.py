"""The kernel that does a step of SOAP on all tensors of a decoder in one call.

SOAP (Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", 2024, arXiv:2409.11321,
algorithm 3) runs Adam in the eigenbases of Shampoo's factors. With G the gradient of a matrix W of
parameters, P and Q the bases of its rows and columns, and b the decay rates:

    M = b_1 M + (1 - b_1) G,   V = b_2 V + (1 - b_2) (P^T G Q)^2
    W = decay W - size P ((P^T M Q) / (sqrt(V) + epsilon)) Q^T
    L = b_s L + (1 - b_s) G G^T,   R = b_s R + (1 - b_s) G^T G

`size` is the learning rate with Adam's corrections for the bias of M and V. A side that is too long
has no basis. P and Q are renewed from L and R by `givre.models.fused.networks.soap_bases`.

The tensors are a few thousand numbers together, so what a step costs in torch is the number of
calls that it makes, some three hundred.
"""

from __future__ import annotations

import numpy as np

from givre.models.compiled.kernel import kernel, kernel_part
from givre.models.compiled.types import FLAGS, Floats, Floats1, Integers2
from givre.models.fused.networks.soap_table import (
    COLUMN_BASIS,
    COLUMN_FACTOR,
    COLUMNS,
    MEAN,
    ROW_BASIS,
    ROW_FACTOR,
    ROWS,
    SQUARE,
    START,
    SoapConstants,
)

_ZERO = np.float32(0)
_ONE = np.float32(1)


@kernel_part(fastmath=FLAGS)
def clip_factor(gradients: Floats, largest: float, epsilon: float) -> float:
    """Factor at most 1 that brings the norm of a gradient down to `largest`; NaN stays NaN."""
    total = 0.0
    for i in range(gradients.shape[0]):
        total += np.float64(gradients[i]) * np.float64(gradients[i])
    factor = largest / (np.sqrt(total) + epsilon)
    return 1.0 if factor > 1.0 else factor


# Loops, not slices: NumPy's assignment to a slice makes ten times the code, at every call.


@kernel_part()
def _fill(x: Floats, value: np.float32) -> None:
    """Set all of a matrix to a value."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            x[i, j] = value


@kernel_part()
def _copy(x: Floats, out: Floats) -> None:
    """Set out to x."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = x[i, j]


@kernel_part(fastmath=FLAGS)
def _multiply(a: Floats, b: Floats, out: Floats) -> None:
    """Set out to a @ b."""
    _fill(out, _ZERO)
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            factor = a[i, k]
            for j in range(b.shape[1]):
                out[i, j] += factor * b[k, j]


@kernel_part(fastmath=FLAGS)
def _multiply_first_transposed(a: Floats, b: Floats, out: Floats) -> None:
    """Set out to a.T @ b."""
    _fill(out, _ZERO)
    for k in range(a.shape[0]):
        for i in range(a.shape[1]):
            factor = a[k, i]
            for j in range(b.shape[1]):
                out[i, j] += factor * b[k, j]


@kernel_part(fastmath=FLAGS)
def _multiply_second_transposed(a: Floats, b: Floats, out: Floats) -> None:
    """Set out to a @ b.T."""
    for i in range(a.shape[0]):
        for j in range(b.shape[0]):
            total = _ZERO
            for k in range(a.shape[1]):
                total += a[i, k] * b[j, k]
            out[i, j] = total


@kernel_part(fastmath=FLAGS)
def _approach(running: Floats, wanted: Floats, share: np.float32) -> None:
    """Move a running mean towards a matrix."""
    for i in range(running.shape[0]):
        for j in range(running.shape[1]):
            running[i, j] += share * (wanted[i, j] - running[i, j])


@kernel_part()
def matrix_at(flat: Floats, start: int, rows: int, columns: int) -> Floats:
    """The matrix that begins at `start`; empty if `start` is -1."""
    if start < 0:
        return flat[:0].reshape(0, 0)
    return flat[start : start + rows * columns].reshape(rows, columns)


@kernel_part(fastmath=FLAGS)
def _rotate(x: Floats, row_basis: Floats, column_basis: Floats, spare: Floats) -> None:
    """Express x in the bases; an empty basis is the identity."""
    if row_basis.size:
        _multiply_first_transposed(row_basis, x, spare)
        _copy(spare, x)
    if column_basis.size:
        _multiply(x, column_basis, spare)
        _copy(spare, x)


@kernel_part(fastmath=FLAGS)
def _rotate_back(x: Floats, row_basis: Floats, column_basis: Floats, spare: Floats) -> None:
    """Undo `_rotate`."""
    if row_basis.size:
        _multiply(row_basis, x, spare)
        _copy(spare, x)
    if column_basis.size:
        _multiply_second_transposed(x, column_basis, spare)
        _copy(spare, x)


@kernel(fastmath=FLAGS)
def soap_step(
    table: Integers2,
    parameters: Floats1,
    gradients: Floats1,
    state: Floats1,
    constants: SoapConstants,
) -> None:
    """Clip the gradient, update the parameters and all running means.

    Args:
        table: (n, 9), a row for each tensor, columns START to COLUMN_BASIS of `soap_table`.
        parameters: (N,), changed.
        gradients: (N,), changed: clipped.
        state: changed.
        constants: of this step.
    """
    decay, size = np.float32(constants.decay), np.float32(constants.size)
    mean_share, square_share = np.float32(constants.mean_share), np.float32(constants.square_share)
    factor_share, epsilon = np.float32(constants.factor_share), np.float32(constants.epsilon)
    factor = np.float32(clip_factor(gradients, constants.clip_norm, constants.clip_epsilon))
    for i in range(gradients.shape[0]):
        gradients[i] *= factor
    for t in range(table.shape[0]):
        row = table[t]
        rows, columns = row[ROWS], row[COLUMNS]
        parameter = matrix_at(parameters, row[START], rows, columns)
        gradient = matrix_at(gradients, row[START], rows, columns)
        mean = matrix_at(state, row[MEAN], rows, columns)
        square = matrix_at(state, row[SQUARE], rows, columns)
        row_factor = matrix_at(state, row[ROW_FACTOR], rows, rows)
        row_basis = matrix_at(state, row[ROW_BASIS], rows, rows)
        column_factor = matrix_at(state, row[COLUMN_FACTOR], columns, columns)
        column_basis = matrix_at(state, row[COLUMN_BASIS], columns, columns)
        spare = np.empty((rows, columns), np.float32)

        _approach(mean, gradient, mean_share)
        rotated = gradient.copy()
        _rotate(rotated, row_basis, column_basis, spare)
        update = mean.copy()
        _rotate(update, row_basis, column_basis, spare)
        for i in range(rows):
            for j in range(columns):
                rotated_square = rotated[i, j] * rotated[i, j]
                square[i, j] += square_share * (rotated_square - square[i, j])
                update[i, j] /= np.sqrt(square[i, j]) + epsilon
        _rotate_back(update, row_basis, column_basis, spare)
        for i in range(rows):
            for j in range(columns):
                parameter[i, j] = decay * parameter[i, j] - size * update[i, j]

        if row_factor.size:
            outer = np.empty((rows, rows), np.float32)
            _multiply_second_transposed(gradient, gradient, outer)
            _approach(row_factor, outer, factor_share)
        if column_factor.size:
            outer = np.empty((columns, columns), np.float32)
            _multiply_first_transposed(gradient, gradient, outer)
            _approach(column_factor, outer, factor_share)
