"""The kernel that does a step of SOAP on all tensors of a decoder in one call.

The tensors are a few thousand numbers together, so what a step costs in torch is the number of
calls that it makes, some three hundred.
"""

from __future__ import annotations

import numpy as np

from givre.models.compiled.kernel import kernel, kernel_part
from givre.models.compiled.types import FLAGS, Doubles1, Floats, Floats1, Integers2

CLIP_EPSILON = 1e-6
"""Added to the norm of a gradient before it is clipped, as in torch's `clip_grad_norm_`."""
_ZERO = np.float32(0)
_ONE = np.float32(1)


@kernel_part(fastmath=FLAGS)
def clip_factor(gradients: Floats, largest: float) -> float:
    """Factor at most 1 that brings the norm of a gradient down to `largest`; NaN stays NaN."""
    total = 0.0
    for i in range(gradients.shape[0]):
        total += np.float64(gradients[i]) * np.float64(gradients[i])
    factor = largest / (np.sqrt(total) + CLIP_EPSILON)
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
    table: Integers2, parameters: Floats1, gradients: Floats1, state: Floats1, constants: Doubles1
) -> None:
    """Clip the gradient, update the parameters and all running means.

    Args:
        table: (n, 9), a row for each tensor: where it starts among the parameters, its rows and
            columns, and where in the state these matrices of it start: mean, square, factor and
            basis of the rows, factor and basis of the columns. What does not exist is -1.
        parameters: (N,), changed.
        gradients: (N,), changed: clipped.
        state: changed.
        constants: (7,): largest norm of the gradient, factor of the weight decay, step size,
            shares of a new gradient in mean, square and factors, and epsilon.
    """
    decay, size = np.float32(constants[1]), np.float32(constants[2])
    share_mean, share_square = np.float32(constants[3]), np.float32(constants[4])
    share_factor, epsilon = np.float32(constants[5]), np.float32(constants[6])
    factor = np.float32(clip_factor(gradients, constants[0]))
    for i in range(gradients.shape[0]):
        gradients[i] *= factor
    for t in range(table.shape[0]):
        rows, columns = table[t, 1], table[t, 2]
        parameter = matrix_at(parameters, table[t, 0], rows, columns)
        gradient = matrix_at(gradients, table[t, 0], rows, columns)
        mean = matrix_at(state, table[t, 3], rows, columns)
        square = matrix_at(state, table[t, 4], rows, columns)
        row_factor = matrix_at(state, table[t, 5], rows, rows)
        row_basis = matrix_at(state, table[t, 6], rows, rows)
        column_factor = matrix_at(state, table[t, 7], columns, columns)
        column_basis = matrix_at(state, table[t, 8], columns, columns)
        spare = np.empty((rows, columns), np.float32)

        _approach(mean, gradient, share_mean)
        rotated = gradient.copy()
        _rotate(rotated, row_basis, column_basis, spare)
        update = mean.copy()
        _rotate(update, row_basis, column_basis, spare)
        for i in range(rows):
            for j in range(columns):
                rotated_square = rotated[i, j] * rotated[i, j]
                square[i, j] += share_square * (rotated_square - square[i, j])
                update[i, j] /= np.sqrt(square[i, j]) + epsilon
        _rotate_back(update, row_basis, column_basis, spare)
        for i in range(rows):
            for j in range(columns):
                parameter[i, j] = decay * parameter[i, j] - size * update[i, j]

        if row_factor.size:
            outer = np.empty((rows, rows), np.float32)
            _multiply_second_transposed(gradient, gradient, outer)
            _approach(row_factor, outer, share_factor)
        if column_factor.size:
            outer = np.empty((columns, columns), np.float32)
            _multiply_first_transposed(gradient, gradient, outer)
            _approach(column_factor, outer, share_factor)
