"""Memory that a step takes again from the step before it.

Fresh memory is given out by the operating system a page at a time, at the first touch. In a step
on a large image that would take as long as a quarter of the arithmetic.
"""

from __future__ import annotations

import numpy as np

from givre.models.compiled.types import Floats


class Buffers:
    """Arrays by name; the same name gives the same memory, with what was in it."""

    def __init__(self) -> None:
        self._arrays: dict[str, Floats] = {}

    def take(self, name: str, shape: int | tuple[int, ...]) -> Floats:
        """The float32 array of a name; all zeros where it is new or was of another shape."""
        wanted = (shape,) if isinstance(shape, int) else shape
        array = self._arrays.get(name)
        if array is None or array.shape != wanted:
            array = self._arrays[name] = np.zeros(wanted, np.float32)
        return array
