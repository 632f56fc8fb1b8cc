"""The kernel that renews the eigenbases of SOAP for all tensors of a decoder in one call.

A basis Q of a factor F follows its eigenvectors by one step of the power iteration (Vyas et al.,
"SOAP: Improving and Stabilizing Shampoo using Adam", 2024, arXiv:2409.11321, algorithm 4):

    S = F Q, its columns sorted by falling diagonal of Q^T S;   the new Q is that of S = Q R

The decomposition reflects column after column by Householder's I - s v v^T, s = 2 / (v^T v), where
v is the column below the diagonal plus sign(v_k) |v| e_k; Q is the product of the reflections
(Golub and Van Loan, "Matrix Computations", 4th edition, sections 5.1 and 5.2).

Torch needs some ten calls for each matrix, which takes longer than a step on a small image.
"""

from __future__ import annotations

import numpy as np

from givre.models.compiled.kernel import kernel, kernel_part
from givre.models.compiled.types import FLAGS, Doubles, Floats, Floats1, Integers, Integers2
from givre.models.fused.networks.soap_step import matrix_at
from givre.models.fused.networks.soap_table import (
    COLUMN_BASIS,
    COLUMN_FACTOR,
    COLUMNS,
    ROW_BASIS,
    ROW_FACTOR,
    ROWS,
    SQUARE,
)

_ZERO = 0.0


@kernel_part(fastmath=FLAGS)
def _reflect(vector: Doubles, column: Doubles, first: int, scale: float) -> None:
    """Apply I - scale v v^T to a column; v and the column count from `first` on."""
    product = _ZERO
    for i in range(first, column.shape[0]):
        product += vector[i] * column[i]
    product *= scale
    for i in range(first, column.shape[0]):
        column[i] -= product * vector[i]


@kernel_part(fastmath=FLAGS)
def _orthogonalise(columns: Doubles) -> Doubles:
    """The Q of a QR decomposition by Householder reflections, with the signs of LAPACK.

    Args:
        columns: (n, n), a row for each column of the matrix; changed.

    Returns:
        (n, n), a row for each column of Q. It is orthogonal whatever the matrix' rank.
    """
    n = columns.shape[0]
    scales = np.zeros(n)
    for k in range(n):
        vector = columns[k]
        below = _ZERO
        for i in range(k + 1, n):
            below += vector[i] * vector[i]
        if below == _ZERO:
            continue  # nothing to reflect; its scale stays zero
        norm = np.sqrt(vector[k] * vector[k] + below)
        # Away from the diagonal's sign: the sum below does not cancel.
        head = vector[k] + norm if vector[k] >= _ZERO else vector[k] - norm
        vector[k] = head
        scales[k] = 2 / (head * head + below)
        for j in range(k + 1, n):
            _reflect(vector, columns[j], k, scales[k])
    q = np.eye(n)
    for k in range(n - 1, -1, -1):
        for j in range(k, n):
            _reflect(columns[k], q[j], k, scales[k])
    return q


@kernel_part()
def _by_size(values: Doubles) -> Integers:
    """Indices of the values, largest first; `np.argsort` would be code outside of the kernel."""
    order = np.arange(values.shape[0])
    for i in range(1, values.shape[0]):
        j = i
        while j > 0 and values[order[j - 1]] < values[order[j]]:
            order[j - 1], order[j] = order[j], order[j - 1]
            j -= 1
    return order


@kernel_part(fastmath=FLAGS)
def _renew(factor: Floats, basis: Floats) -> Integers:
    """One power iteration of a basis, then QR.

    Args:
        factor: (n, n), symmetric.
        basis: (n, n), its vectors are the columns; changed.

    Returns:
        (n,), which of the old vectors each new one comes from: by falling eigenvalue.
    """
    n = factor.shape[0]
    columns = np.zeros((n, n))
    values = np.zeros(n)
    for j in range(n):
        column = columns[j]
        for k in range(n):
            weight = np.float64(basis[k, j])
            for i in range(n):
                column[i] += weight * factor[k, i]
        for i in range(n):
            values[j] += basis[i, j] * column[i]
    order = _by_size(values)
    q = _orthogonalise(columns[order])
    for j in range(n):
        for i in range(n):
            basis[i, j] = q[j, i]
    return order


@kernel(fastmath=FLAGS)
def renew_bases(table: Integers2, state: Floats1) -> None:
    """Renew the bases of all matrices; the second moments, which live in them, follow their order.

    Args:
        table: (n, 9), a row for each tensor, columns START to COLUMN_BASIS of `soap_table`.
        state: the bases and mean squares are changed.
    """
    for t in range(table.shape[0]):
        row = table[t]
        rows, columns = row[ROWS], row[COLUMNS]
        square = matrix_at(state, row[SQUARE], rows, columns)
        if row[ROW_FACTOR] >= 0:
            order = _renew(
                matrix_at(state, row[ROW_FACTOR], rows, rows),
                matrix_at(state, row[ROW_BASIS], rows, rows),
            )
            before = square.copy()
            for i in range(rows):
                for j in range(columns):
                    square[i, j] = before[order[i], j]
        if row[COLUMN_FACTOR] >= 0:
            order = _renew(
                matrix_at(state, row[COLUMN_FACTOR], columns, columns),
                matrix_at(state, row[COLUMN_BASIS], columns, columns),
            )
            before = square.copy()
            for i in range(rows):
                for j in range(columns):
                    square[i, j] = before[i, order[j]]
