"""Elementary functions in float32, as polynomials that LLVM turns into vector instructions.

Calls into a mathematics library would keep loops scalar. All functions are for use inside
kernels, on float32 scalars; relative errors are below 1e-6 on the stated ranges, arguments outside
of them give no NaN. The polynomials are minimax fits of this project.
"""

from __future__ import annotations

import numpy as np

from givre.models.compiled.kernel import kernel_part

# Sums must not be reordered here: the range reductions rely on the order. Fused multiply-adds
# are welcome.
_CONTRACT = frozenset({"contract"})

_ONE = np.float32(1)
_HALF = np.float32(0.5)
_TWO = np.float32(2)
_QUARTER = np.float32(0.25)

_TO_INTEGER = np.float32(12582912.0)
"""1.5 * 2^23: adding it rounds a small float32 to an integer, held in the lowest bits."""

_LOG2_E = np.float32(1.44269504)
_LN_2_HIGH = np.float32(0.693359375)
"""ln 2 to 9 bits: its products with exponents are exact."""

_LN_2_LOW = np.float32(-2.12194440e-4)
_EXPONENT_LIMIT = np.float32(126)
_EXP_LIMIT = np.float32(87)
_TWO_LOG2_E = np.float32(2.88539008)

_E0 = np.float32(6.93147203e-01)
_E1 = np.float32(2.40226479e-01)
_E2 = np.float32(5.55033247e-02)
_E3 = np.float32(9.61843737e-03)
_E4 = np.float32(1.33988749e-03)
_E5 = np.float32(1.53533606e-04)

_N1 = np.float32(4.999999421e-01)
_N2 = np.float32(1.666643126e-01)
_N3 = np.float32(4.166800207e-02)
_N4 = np.float32(8.374155595e-03)
_N5 = np.float32(1.384365236e-03)

_SQRT_HALF_BITS = np.int32(0x3F3504F3)
_MANTISSA_MASK = np.int32(0x007FFFFF)
_MANTISSA_BITS = np.int32(23)
_EXPONENT_BIAS = np.int32(127)

_L0 = np.float32(1.44269500)
_L1 = np.float32(-0.72134735)
_L2 = np.float32(0.48091064)
_L3 = np.float32(-0.36070368)
_L4 = np.float32(0.28791624)
_L5 = np.float32(-0.23894495)
_L6 = np.float32(0.21571585)
_L7 = np.float32(-0.20726894)
_L8 = np.float32(0.12583537)

_TANH_SMALL = np.float32(0.6)
_T0 = np.float32(-0.33333298)
_T1 = np.float32(0.13331924)
_T2 = np.float32(-0.05378383)
_T3 = np.float32(0.02079596)
_T4 = np.float32(-0.00589515)

_S0 = np.float32(6.28318527)
_S1 = np.float32(-41.34167747)
_S2 = np.float32(81.602231)
_S3 = np.float32(-76.57498713)
_S4 = np.float32(39.71088306)


@kernel_part(fastmath=_CONTRACT)
def exp2(x: np.float32) -> np.float32:
    """2 to the power x for -126 <= x <= 126; clamped to that range outside of it."""
    x = min(max(x, -_EXPONENT_LIMIT), _EXPONENT_LIMIT)
    shifted = x + _TO_INTEGER
    r = x - (shifted - _TO_INTEGER)
    power = _ONE + r * (_E0 + r * (_E1 + r * (_E2 + r * (_E3 + r * (_E4 + r * _E5)))))
    exponent = np.int32(np.float32(shifted).view(np.int32) << _MANTISSA_BITS)
    return np.int32(np.float32(power).view(np.int32) + exponent).view(np.float32)


@kernel_part(fastmath=_CONTRACT)
def exp(x: np.float32) -> np.float32:
    """E to the power x for -87 <= x <= 87; clamped to that range outside of it."""
    x = min(max(x, -_EXP_LIMIT), _EXP_LIMIT)
    shifted = x * _LOG2_E + _TO_INTEGER
    n = shifted - _TO_INTEGER
    r = (x - n * _LN_2_HIGH) - n * _LN_2_LOW
    power = _ONE + r * (_ONE + r * (_N1 + r * (_N2 + r * (_N3 + r * (_N4 + r * _N5)))))
    exponent = np.int32(np.float32(shifted).view(np.int32) << _MANTISSA_BITS)
    return np.int32(np.float32(power).view(np.int32) + exponent).view(np.float32)


@kernel_part(fastmath=_CONTRACT)
def log2(x: np.float32) -> np.float32:
    """Logarithm to the base 2 of a normal positive x."""
    offset = np.int32(np.float32(x).view(np.int32) - _SQRT_HALF_BITS)
    exponent = np.int32(offset >> _MANTISSA_BITS)
    f = np.int32((offset & _MANTISSA_MASK) + _SQRT_HALF_BITS).view(np.float32) - _ONE
    high = _L4 + f * (_L5 + f * (_L6 + f * (_L7 + f * _L8)))
    series = _L0 + f * (_L1 + f * (_L2 + f * (_L3 + f * high)))
    return np.float32(exponent) + f * series


@kernel_part(fastmath=_CONTRACT)
def tanh(x: np.float32) -> np.float32:
    """Hyperbolic tangent of any x."""
    u = x * x
    small = x + x * u * (_T0 + u * (_T1 + u * (_T2 + u * (_T3 + u * _T4))))
    magnitude = abs(x)
    large = _ONE - _TWO / (exp2(magnitude * _TWO_LOG2_E) + _ONE)
    return small if magnitude < _TANH_SMALL else np.copysign(large, x)


@kernel_part(fastmath=_CONTRACT)
def sin_turns(x: np.float32) -> np.float32:
    """Sine of 2 pi x, for x in turns, |x| <= 1000; the error is relative to 1, not to the sine."""
    # Nearest half turn; what is left lies within a quarter turn and the half turns give the sign.
    doubled = x + x
    shifted = doubled + _TO_INTEGER
    r = _HALF * (doubled - (shifted - _TO_INTEGER))
    u = r * r
    sine = r * (_S0 + u * (_S1 + u * (_S2 + u * (_S3 + u * _S4))))
    sign = np.int32(np.float32(shifted).view(np.int32) << np.int32(31))
    return np.int32(np.float32(sine).view(np.int32) ^ sign).view(np.float32)


@kernel_part(fastmath=_CONTRACT)
def cos_turns(x: np.float32) -> np.float32:
    """Cosine of 2 pi x, for x in turns, |x| <= 1000; the error is relative to 1."""
    # Whole turns go first, while that loses nothing.
    fraction = x - ((x + _TO_INTEGER) - _TO_INTEGER)
    return sin_turns(fraction + _QUARTER)
