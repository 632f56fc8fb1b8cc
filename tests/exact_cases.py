"""Random decoders and pyramids for the tests of exact decoding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.header import Header
from givre.bitstream.parameters import QuantisedParameters
from givre.bitstream.priors import Prior
from givre.models.architecture import NAMED_POINTS, Architecture, group_names, tensor_specs
from givre.models.geometry import LATENT_MAX, LATENT_MIN, grids

Array = NDArray[np.float64]


def architecture(name: str, *, channels: int = 3, levels: int = 5) -> Architecture:
    n_hyper = min(2, max(0, levels - 3))
    return replace(NAMED_POINTS[name], n_levels=levels, n_hyper=n_hyper, n_channels=channels)


def random_parameters(arch: Architecture, seed: int) -> QuantisedParameters:
    """Parameters of the size that a fit gives, on steps of every kind."""
    rng = np.random.default_rng(seed)
    exponents = {name: int(rng.integers(5, 13)) for name in group_names(arch)}
    integers = {}
    for spec in tensor_specs(arch):
        scale = 0.25 * 2.0 ** exponents[spec.group]
        values = np.rint(rng.laplace(0, scale, spec.shape))
        integers[spec.name] = np.clip(values, -4095, 4095).astype(np.int32)
    return QuantisedParameters(integers, exponents)


def extreme_parameters(arch: Architecture, exponent: int, seed: int) -> QuantisedParameters:
    """Every integer at the end of its range, signs random."""
    rng = np.random.default_rng(seed)
    integers = {
        spec.name: (4095 * rng.choice([-1, 1], spec.shape)).astype(np.int32)
        for spec in tensor_specs(arch)
    }
    return QuantisedParameters(integers, dict.fromkeys(group_names(arch), exponent))


def extreme_sums(arch: Architecture, exponent: int, seed: int) -> QuantisedParameters:
    """Every parameter +-(2^16 - 1) 2^-exponent, the most that there is, signs random.

    It takes a prior on a step 16 times as wide; `exponent` is 4 to 15.
    """
    rng = np.random.default_rng(seed)
    signs = {spec.name: rng.choice([-1, 1], spec.shape) for spec in tensor_specs(arch)}
    base = {name: (4095 * sign).astype(np.int32) for name, sign in signs.items()}
    difference = {name: (15 * sign).astype(np.int32) for name, sign in signs.items()}
    groups = group_names(arch)
    prior = Prior(1, base, dict.fromkeys(groups, exponent - 4))
    return QuantisedParameters(difference, dict.fromkeys(groups, exponent), prior)


def random_latents(arch: Architecture, width: int, height: int, seed: int) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [
        np.clip(np.rint(rng.laplace(0, 1.5, (g.height, g.width))), LATENT_MIN, LATENT_MAX)
        for g in grids(arch, width, height)
    ]


def extreme_latents(arch: Architecture, width: int, height: int, seed: int) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [
        rng.choice([float(LATENT_MIN), float(LATENT_MAX)], (g.height, g.width))
        for g in grids(arch, width, height)
    ]


def header_for(arch: Architecture, width: int, height: int) -> Header:
    return Header(
        width=width,
        height=height,
        bit_depth=8,
        architecture=arch,
        sample_low=(3,) * arch.n_channels,
        sample_high=(250,) * arch.n_channels,
        parameter_bytes=0,
        latent_bytes=0,
        pixel_crc=0,
    )
