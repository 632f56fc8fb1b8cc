"""The kinds of arrays that kernels take, and the flags that most of them are compiled with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
"""Latents, weights, pixels and gradients of a fit."""

Doubles = NDArray[np.float64]
"""Sums, and everything that the exact decoder computes with."""

Integers = NDArray[np.int64]
"""Positions, sizes, and tables of what a kernel is to do."""

Words = NDArray[np.uint32]
"""Keys and values of the noise's hash."""

FLAGS = frozenset({"reassoc", "contract", "nsz", "arcp"})
"""Sums may be reordered, but a fit that diverges must still show NaN and infinity."""
