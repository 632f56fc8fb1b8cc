"""Initial kernels of the upsampler, as the left halves that its filters store.

The x2 upsampler puts the outputs at -1/4 and +1/4 of an input sample (half-pixel alignment, that of
`align_corners=False`). A continuous interpolation kernel therefore becomes a filter by reading it
every half sample at the distances 1/4, 3/4, 5/4 ... No torch is imported.
"""

from __future__ import annotations

from collections.abc import Callable

from givre.errors import UsageError

BICUBIC_A = -0.75
"""Slope of the cubic convolution kernel at distance 1; the value of OpenCV and PyTorch."""

SMALLEST_BICUBIC = 8
"""Fewest taps that hold the four samples of the cubic kernel on either side."""


def check_transposed_size(kernel_size: int) -> None:
    """Raise UsageError unless `kernel_size` is even and at least 4."""
    if kernel_size < 4 or kernel_size % 2:
        raise UsageError(
            f"the upsampling kernel size is {kernel_size}, it must be even and at least 4"
        )


def check_preconcat_size(kernel_size: int) -> None:
    """Raise UsageError unless `kernel_size` is odd and at least 1."""
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise UsageError(
            f"the pre-concatenation kernel size is {kernel_size}, it must be odd and at least 1"
        )


def triangle(distance: float) -> float:
    """Linear interpolation kernel at `distance` >= 0 in input samples; zero from 1 on."""
    return max(0.0, 1.0 - distance)


def cubic_convolution(distance: float, a: float = BICUBIC_A) -> float:
    """Cubic interpolation kernel at `distance` >= 0 in input samples; zero from 2 on.

    Source: Keys, "Cubic convolution interpolation for digital image processing" (1981), with the
    free parameter `a`.
    """
    d = distance
    if d <= 1:
        return ((a + 2) * d - (a + 3)) * d * d + 1
    if d < 2:
        return a * (((d - 5) * d + 8) * d - 4)
    return 0.0


def sampled_half(kernel_size: int, kernel: Callable[[float], float]) -> tuple[float, ...]:
    """Left half of the x2 filter that a continuous kernel gives, outermost tap first.

    Returns kernel_size / 2 coefficients; the last one lies at distance 1/4. Taps beyond the
    kernel's support are zero, which is the zero padding of a filter larger than it needs to be.
    Raises UsageError for an odd kernel size or one below 4.
    """
    check_transposed_size(kernel_size)
    n_taps = kernel_size // 2
    return tuple(kernel((n_taps - i) / 2 - 0.25) for i in range(n_taps))


def bilinear_half(kernel_size: int) -> tuple[float, ...]:
    """Left half (0 ... 0 1/4 3/4) of the bilinear x2 filter: kernel_size / 2 coefficients.

    Raises UsageError for an odd kernel size or one below 4.
    """
    return sampled_half(kernel_size, triangle)


def bicubic_half(kernel_size: int) -> tuple[float, ...]:
    """Left half of the bicubic x2 filter, zero-padded outside: kernel_size / 2 coefficients.

    Raises UsageError for an odd kernel size or one below 8, which would cut the kernel off.
    """
    if kernel_size < SMALLEST_BICUBIC:
        raise UsageError(
            f"the kernel size is {kernel_size}, a bicubic filter needs at least {SMALLEST_BICUBIC}"
        )
    return sampled_half(kernel_size, cubic_convolution)


def default_transposed_half(kernel_size: int) -> tuple[float, ...]:
    """Left half of the filter that an upsampling layer starts from: kernel_size / 2 coefficients.

    Bilinear for 4 and 6 taps, bicubic from 8 on. Raises UsageError for an odd kernel size or one
    below 4. Source: the upsampling module of Cool-chic.
    """
    if kernel_size < SMALLEST_BICUBIC:
        return bilinear_half(kernel_size)
    return bicubic_half(kernel_size)


def dirac_half(kernel_size: int) -> tuple[float, ...]:
    """Left half (0 ... 0 1), centre included, of the identity: (kernel_size + 1) / 2 coefficients.

    Raises UsageError for an even kernel size or one below 1.
    """
    check_preconcat_size(kernel_size)
    return (0.0,) * (kernel_size // 2) + (1.0,)
