"""The arrays that kernels take: element type, axes, memory layout. And the flags of most kernels.

A name without a number says the element type alone, and is for code that takes any number of axes.
A name with one, as `Floats2`, also says how many axes there are, in C order without gaps. A kernel
that Python calls must name its arrays so: numba's types are read from its annotations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Axes:
    """How an array lies in memory, for the annotations of kernels.

    Attributes:
        number: of axes.
        contiguous: whether it is in C order without gaps.
    """

    number: int
    contiguous: bool = True


Floats = NDArray[np.float32]
"""Latents, weights, pixels and gradients of a fit."""

Floats1 = Annotated[Floats, Axes(1)]
Floats2 = Annotated[Floats, Axes(2)]
Floats3 = Annotated[Floats, Axes(3)]
Floats4 = Annotated[Floats, Axes(4)]

Doubles = NDArray[np.float64]
"""Sums, and everything that the exact decoder computes with."""

Doubles1 = Annotated[Doubles, Axes(1)]
Doubles2 = Annotated[Doubles, Axes(2)]
Doubles3 = Annotated[Doubles, Axes(3)]
StridedDoubles2 = Annotated[Doubles, Axes(2, contiguous=False)]
"""A matrix in any order, for instance one that torch has transposed."""

Integers = NDArray[np.int64]
"""Positions, sizes, and tables of what a kernel is to do."""

Integers1 = Annotated[Integers, Axes(1)]
Integers2 = Annotated[Integers, Axes(2)]
Integers3 = Annotated[Integers, Axes(3)]

Words = NDArray[np.uint32]
"""Keys and values of the noise's hash, and the words of a range-coded message."""

Words1 = Annotated[Words, Axes(1)]
Words2 = Annotated[Words, Axes(2)]

LongWords1 = Annotated[NDArray[np.uint64], Axes(1)]
"""State of the range decoder."""

Symbols1 = Annotated[NDArray[np.int32], Axes(1)]
"""Latents of a wave, as the range decoder gives them."""

Latents2 = Annotated[NDArray[np.int8], Axes(2)]
"""Decoded latents of a grid, (H, W)."""

Samples3 = Annotated[NDArray[np.uint16], Axes(3)]
"""Samples of an image of any depth, (H, W, C)."""

FLAGS = frozenset({"reassoc", "contract", "nsz", "arcp"})
"""Sums may be reordered, but a fit that diverges must still show NaN and infinity."""
