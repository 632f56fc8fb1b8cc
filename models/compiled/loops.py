"""Loops that stand for NumPy's assignments to slices in kernels.

An assignment to a slice makes ten times the code of a loop, wherever it stands, and takes as much
longer to compile.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from givre.models.compiled.kernel import kernel_part


@kernel_part()
def fill(values: NDArray[Any], value: np.float32 | float) -> None:
    """Set all of values (n,) to a value of their type."""
    for i in range(values.shape[0]):
        values[i] = value


@kernel_part()
def copy(source: NDArray[Any], values: NDArray[Any]) -> None:
    """Set values (n,) to those of a source (n,)."""
    for i in range(values.shape[0]):
        values[i] = source[i]
