"""Random decoders and pyramids for the tests of exact decoding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.header import Alpha, TileEntry
from givre.bitstream.parameter_section import parameter_groups
from givre.bitstream.parameters import QuantisedParameters
from givre.bitstream.priors import NO_PRIOR, Prior
from givre.coder.decoder import TilePlan, grid_predictor
from givre.models.architecture import (
    NAMED_POINTS,
    Architecture,
    TensorSpec,
    group_names,
    tensor_specs,
)
from givre.models.exact.numpy_backend import NumpyBackend
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


def modest_parameters(
    arch: Architecture,
    seed: int,
    prior: Prior = NO_PRIOR,
    exponent: int | None = None,
    difference: float = 0.4,
) -> QuantisedParameters:
    """Parameters that keep means and samples away from the ends of their ranges.

    Args:
        arch: shapes.
        seed: of the random numbers.
        prior: what the parameters are near, in the groups that it has.
        exponent: of every group; by default each group has one of 5 to 9.
        difference: scale of the Laplace distribution of the integers, in the prior's groups.
    """
    rng = np.random.default_rng(seed)
    integers, exponents = {}, {}
    for group, specs in parameter_groups(arch):
        q = int(rng.integers(5, 10)) if exponent is None else exponent
        exponents[group] = q
        for spec in specs:
            if group in prior.exponents:
                steps = rng.laplace(0, difference, spec.shape)
            else:
                steps = _modest_values(spec, rng) * 2**q
            integers[spec.name] = np.clip(np.rint(steps), -4095, 4095).astype(np.int32)
    return QuantisedParameters(integers, exponents, prior)


def _modest_values(spec: TensorSpec, rng: np.random.Generator) -> Array:
    """One tensor: sums over its inputs are of the size of one input, or somewhat smaller."""
    noise = rng.normal(0, 1, spec.shape)
    if spec.name == "arm.output.bias":
        # The logarithm of the scale is this less 4: the model is right for latents of -5 to 5.
        return noise * 0.2 + [0.3, 4.3]
    if spec.name.endswith("bias"):
        return noise * 0.2 + 0.5 * (spec.name == "synthesis.output.bias")
    n_inputs = int(np.prod(spec.shape[1:])) if len(spec.shape) > 1 else spec.shape[0]
    if spec.group == "ups.transposed":
        # The taps of a half add up to about 1, so that coarse grids come through all stages.
        return (1 + 0.3 * noise) / n_inputs
    strength = {"arm.hidden": 0.4, "arm.output": 0.4, "ups.preconcat": 0.3 / n_inputs**0.5}
    strength |= {"synthesis.output": 0.2, "synthesis.residual": 0.3, "synthesis.stabiliser": 0.1}
    return noise * strength.get(spec.group, 1.0) / n_inputs**0.5


def likely_latents(backend: NumpyBackend, plan: TilePlan) -> list[Array]:
    """Latents that cost as little as they can: each is the integer next to its mean."""
    all_grids = grids(plan.architecture, plan.width, plan.height)
    found: list[Array] = []
    for i in reversed(range(len(all_grids))):
        predictor = grid_predictor(backend, plan.architecture, all_grids, i, found)
        for wave in predictor.waves():
            mean, _ = predictor.predict(*wave)
            nearest = np.clip(np.rint(mean), LATENT_MIN, LATENT_MAX)
            predictor.fill(*wave, nearest.astype(np.int32))
        found.insert(0, predictor.grid())
    return found


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


def plan_for(
    arch: Architecture,
    width: int,
    height: int,
    samples: tuple[tuple[int, ...], tuple[int, ...]] | None = None,
    bit_depth: int = 8,
) -> TilePlan:
    """A picture of one piece with this architecture.

    Args:
        arch: of the decoder.
        width: in pixels.
        height: in pixels.
        samples: lows and highs of the channels; by default 3 and 250.
        bit_depth: bits a sample.
    """
    low, high = samples or ((3,) * arch.n_channels, (250,) * arch.n_channels)
    entry = TileEntry(low, high, parameter_bytes=0, latent_bytes=0, pixel_crc=0)
    alpha = Alpha.NONE if arch.n_channels % 2 else Alpha.SOFT
    return TilePlan(arch, width, height, bit_depth, alpha, entry)
