"""The integrated Laplace rate of a block of latents, and its gradient.

With mean m and scale b a latent y costs the Laplace mass of its interval (a relaxed rate
as in Ballé et al., "End-to-end optimized image compression", ICLR 2017, arXiv:1611.01704; with a
Laplace distribution as in COOL-CHIC, Ladune et al., ICCV 2023, arXiv:2212.05458):

    bits = -log2(F(y + 1/2) - F(y - 1/2)),   F the cumulative distribution of Laplace(m, b),
    b = exp(min(max(raw - SHIFT, -LIMIT), LIMIT))

By symmetry only d = |y - m| counts. With near = exp(-|d - 1/2| / b) and far = exp(-(d + 1/2) / b):

    mass = (near - far) / 2 where d > 1/2, else 1 - (near + far) / 2
    mass by d = (far - near) / (2 b),   mass by ln b = ((d - 1/2) near - (d + 1/2) far) / (2 b)

The mass is at least 2^-MAX_BITS, and has no slope below. The arithmetic is that of
`givre.models.arm.laplace_bits`, on float32 blocks of BLOCK pixels.
"""

from __future__ import annotations

from math import log

import numpy as np

from givre.models.arm import LOG_SCALE_LIMIT, LOG_SCALE_SHIFT, MAX_BITS
from givre.models.compiled.kernel import kernel_part
from givre.models.compiled.types import FLAGS, Floats
from givre.models.compiled.vector_math import exp, log2
from givre.models.fused.entropy.products import BLOCK

_SHIFT = np.float32(LOG_SCALE_SHIFT)
_LIMIT = np.float32(LOG_SCALE_LIMIT)
_LEAST_MASS = np.float32(2.0**-MAX_BITS)
_BITS_PER_MASS = np.float32(-1 / log(2))
_ZERO = np.float32(0)
_HALF = np.float32(0.5)
_ONE = np.float32(1)


@kernel_part(fastmath=FLAGS, inline="always")
def _bits(mass: np.float32, predicted: np.float32) -> np.float32:
    # Clamping swallows NaN, but a fit that diverges must show it.
    return -log2(max(mass, _LEAST_MASS)) if not np.isnan(predicted) else predicted


@kernel_part(fastmath=FLAGS, inline="always")
def latent_bits(symbol: np.float32, mean: np.float32, raw: np.float32) -> np.float32:
    """Bits of a latent, from the ARM's outputs: mean, and log-scale before shift and clamp."""
    log_scale = min(max(raw - _SHIFT, -_LIMIT), _LIMIT)
    inverse = exp(-log_scale)
    distance = abs(symbol - mean)
    inner = distance - _HALF
    far = exp(-(distance + _HALF) * inverse)
    near = exp(-abs(inner) * inverse)
    mass = _HALF * (near - far) if inner > _ZERO else _ONE - _HALF * (near + far)
    return _bits(mass, mean + raw)


@kernel_part(fastmath=FLAGS)
def block_bits(symbols: Floats, predicted: Floats, bits: Floats) -> None:
    """Bits of BLOCK latents.

    Args:
        symbols: block of 1 row.
        predicted: block of 2 rows, the ARM's outputs: mean, and log-scale before it is shifted
            and clamped.
        bits: block of 1 row, written.
    """
    for p in range(BLOCK):
        bits[p] = latent_bits(symbols[p], predicted[p], predicted[BLOCK + p])


@kernel_part(fastmath=FLAGS)
def block_bits_and_gradient(
    symbols: Floats, predicted: Floats, bits: Floats, gradient: Floats
) -> None:
    """Bits of BLOCK latents, and their derivatives by the ARM's outputs.

    The derivative by the latent itself is the one by the mean, with the other sign.

    Args:
        symbols: block of 1 row.
        predicted: block of 2 rows, the ARM's outputs: mean, and log-scale before it is shifted
            and clamped.
        bits: block of 1 row, written.
        gradient: block of 2 rows as `predicted`, written.
    """
    for p in range(BLOCK):
        raw = predicted[BLOCK + p] - _SHIFT
        inverse = exp(-min(max(raw, -_LIMIT), _LIMIT))
        offset = symbols[p] - predicted[p]
        distance = abs(offset)
        inner = distance - _HALF
        reach = distance + _HALF
        far = exp(-reach * inverse)
        near = exp(-abs(inner) * inverse)
        mass = _HALF * (near - far) if inner > _ZERO else _ONE - _HALF * (near + far)
        bits[p] = _bits(mass, predicted[p] + predicted[BLOCK + p])
        # On either side of |inner| = 0 the mass has the same slope over the distance.
        by_mass = _BITS_PER_MASS / mass if mass >= _LEAST_MASS else _ZERO
        common = _HALF * by_mass * inverse
        by_distance = common * (far - near)
        by_log_scale = common * (inner * near - reach * far)
        gradient[p] = -by_distance if offset > _ZERO else by_distance
        gradient[BLOCK + p] = by_log_scale if abs(raw) <= _LIMIT else _ZERO
