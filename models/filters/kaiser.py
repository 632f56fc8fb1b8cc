"""The Kaiser-windowed sinc as a x2 upsampling filter of any even size.

The sinc is the ideal interpolator: it passes everything below half the low sampling rate and
nothing above. Cut off after k taps it would ring, so a window fades it out; Kaiser's window trades
the width of the transition against the attenuation beyond it. Its samples lie at the distances
1/4, 3/4, 5/4 ... of an input sample, as those of the bilinear and the bicubic filter. No torch is
imported.

Sources: Kaiser, "Nonrecursive digital filter design using the I0-sinh window function" (1974), for
the formulas; Karras et al., "Alias-free generative adversarial networks" (2021), for this filter
as the upsampler of a network and for the width of its transition.
"""

from __future__ import annotations

from math import pi, sqrt

import numpy as np

from givre.models.filters.interpolation import check_transposed_size, sampled_half

TRANSITION_WIDTH = sqrt(2) - 1
"""Width of the transition band, as a part of the high rate's Nyquist frequency.

It is centred on half the low sampling rate, 1/2 on this scale, so the pass-band ends at 0.29 and
the stop-band begins at 0.71.
"""

STOPBAND_EDGE = (1 + TRANSITION_WIDTH) / 2
"""Where the stop-band begins, as a part of the high rate's Nyquist frequency: 0.71."""


def kaiser_attenuation_db(kernel_size: int) -> float:
    """Attenuation in dB that Kaiser's formula promises beyond `STOPBAND_EDGE`.

    From 16.9 dB for 4 taps to 52.6 dB for 16. The formula was fitted to longer filters: measured
    attenuations of 6 to 16 taps differ from it by up to 4 dB.
    Raises UsageError for an odd kernel size or one below 4.
    """
    check_transposed_size(kernel_size)
    return 2.285 * (kernel_size - 1) * pi * TRANSITION_WIDTH + 7.95


def kaiser_beta(attenuation_db: float) -> float:
    """Shape of the Kaiser window, at least 0, for an attenuation in dB.

    0, the rectangular window, for attenuations up to 21 dB, which it reaches by itself.
    """
    if attenuation_db > 50:
        return 0.1102 * (attenuation_db - 8.7)
    if attenuation_db > 21:
        excess = attenuation_db - 21
        return float(0.5842 * excess**0.4 + 0.07886 * excess)
    return 0.0


def kaiser_half(kernel_size: int) -> tuple[float, ...]:
    """Left half of the Kaiser-windowed sinc x2 filter: kernel_size / 2 coefficients, sum 1.

    The sum of the half is that of the even and of the odd taps, so a constant stays constant. With
    4 taps the filter is the bilinear one. Raises UsageError for an odd kernel size or one below 4.
    """
    beta = kaiser_beta(kaiser_attenuation_db(kernel_size))
    outermost = (kernel_size - 1) / 4

    def windowed_sinc(distance: float) -> float:
        inside = max(0.0, 1.0 - (distance / outermost) ** 2)
        return float(np.sinc(distance) * np.i0(beta * sqrt(inside)) / np.i0(beta))

    half = sampled_half(kernel_size, windowed_sinc)
    total = sum(half)
    return tuple(tap / total for tap in half)
