"""The named kernels that an upsampling filter can start from.

This is the one place that knows them by name. No torch is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from givre.errors import UsageError
from givre.models.filters.interpolation import bicubic_half, bilinear_half, default_transposed_half
from givre.models.filters.kaiser import kaiser_half

INITIAL_KERNELS: Final[dict[str, Callable[[int], tuple[float, ...]]]] = {
    "bilinear": bilinear_half,
    "bicubic": bicubic_half,
    "kaiser": kaiser_half,
}
"""Name to the function that makes the left half of a kernel from its size."""


def initial_half(name: str | None, kernel_size: int) -> tuple[float, ...]:
    """Left half of the named x2 filter, outermost tap first: kernel_size / 2 coefficients.

    None stands for the rule by size: bilinear for 4 and 6 taps, bicubic from 8 on. Raises
    UsageError for an unknown name, an odd kernel size, one below 4, or "bicubic" below 8.
    """
    if name is None:
        return default_transposed_half(kernel_size)
    if name not in INITIAL_KERNELS:
        names = ", ".join(INITIAL_KERNELS)
        raise UsageError(f"the initial kernel is {name!r}, it must be one of {names}")
    return INITIAL_KERNELS[name](kernel_size)
