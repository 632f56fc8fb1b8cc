"""The rules of exact decoding: number grids, limits, and why float64 sums have no rounding error.

Every number of the decoder is a dyadic rational on a known grid within a known range, so that
every sum stays below 2^53 in units of its finest grid. Float64 then adds and multiplies without
error, and the order of the additions, fused multiply-adds, threads, vector width and device
cannot change a bit. `docs/FORMAT.md` has the budget of each layer.
"""

from __future__ import annotations

ACTIVATION_BITS = 16
"""Activations are multiples of 2^-16 ..."""

ACTIVATION_LIMIT = 2048.0
"""... in [-2^11, 2^11] (27 bits and a sign)."""

PARAMETER_BITS = 16
"""Parameters, prior and difference together, are m * 2^-e with |m| < 2^16 ..."""

MAX_EXPONENT = 15
"""... and 0 <= e <= 15."""

MEAN_BITS = 8
"""The ARM's mean is a multiple of 2^-8 ..."""

MEAN_MIN, MEAN_MAX = -64.0, 63.99609375
"""... in [-64, 64)."""

SCALE_STEPS = 32
"""The ARM's log-scale is a multiple of 1/32 ..."""

N_SCALES = 321
"""... between -5 and 5, given as an index 0 .. 320 into a table of literal scales."""

SCALE_OFFSET = 1.0
"""Index 0 (a log-scale of -5) is an output of -1: the shift of 4 is taken off first."""


def max_sum_bits(fan_in: int) -> int:
    """Bits that hold |W x + b + h| in units of 2^-(e + 16), for a layer with `fan_in` inputs.

    Each product is below 2^(16 + 27); the residual term h is at most 2^27 * 2^15; a bias
    m * 2^-p is below 2^16 * 2^(15 + 16), its grid 2^-p being no finer than the sum's because
    p <= 16. The layer that adds two products, W x + V c, counts the inputs of both.
    """
    products = fan_in << (PARAMETER_BITS + ACTIVATION_BITS + 11)
    residual = 1 << (ACTIVATION_BITS + 11 + MAX_EXPONENT)
    bias = 1 << (PARAMETER_BITS + MAX_EXPONENT + ACTIVATION_BITS)
    return (products + residual + bias).bit_length()
