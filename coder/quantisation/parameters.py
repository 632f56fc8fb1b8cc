"""Quantise a fitted decoder: integers and steps of all parameters, by rate and distortion.

What is quantised is the difference from the prior. The cost is the one of the fit, MSE + lambda *
bpp, where the rate now includes the parameters at the size the coder gives them; a group whose
differences are not worth their bits returns to the prior.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from givre.bitstream.parameter_section import parameter_groups
from givre.bitstream.parameters import QuantisedParameters
from givre.bitstream.priors import Prior
from givre.bitstream.rangecoder import PARAMETER_MAX
from givre.coder.fitting.checkpoint import Fit
from givre.coder.fitting.context import FitContext
from givre.coder.quantisation.curvature import distortion_curvature, rate_curvature
from givre.coder.quantisation.model_cost import DecoderCost
from givre.coder.quantisation.spending import spending_for
from givre.coder.quantisation.step_search import Choice, Group, choose_integers
from givre.models.architecture import Architecture, TensorSpec
from givre.models.codec_model import CodecModel

_CURVATURE_SHARE = 0.3
"""Rough part of the time that the curvature takes."""


def quantise_parameters(
    fit: Fit, context: FitContext, tell: Callable[[float], None] = lambda share: None
) -> QuantisedParameters:
    """Quantise a fitted decoder.

    ARM and IFCE change the rate alone, upsampling and synthesis the distortion alone.

    Args:
        fit: the outcome of `overfit`.
        context: of the fit, on the CPU; see `givre.coder.fitting.context.on_cpu`.
        tell: called now and then with the share that is done, 0 to 1.

    Returns:
        The integers and steps that the file will hold. Deterministic for a fit.
    """
    arch, prior, target = context.architecture, context.prior, context.target
    latents = [latent.to(torch.float32) for latent in fit.latents]
    model = CodecModel(arch, fit.width, fit.height)
    values = prior.values(arch)
    model.load_state_dict(_within_reach(fit.parameters, values))
    kernels, spending = context.kernels, spending_for(fit.settings.steps, context.pixels)
    generator = torch.Generator().manual_seed(fit.settings.seed)

    def quantise(
        specs: Sequence[TensorSpec],
        cost: Callable[[CodecModel], Tensor],
        scale: float,
        curvature: Callable[[Sequence[str]], Tensor],
        start: float,
    ) -> tuple[dict[str, NDArray[np.int32]], dict[str, int]]:
        names = [spec.name for spec in specs]
        groups = _groups(specs, prior)
        part = DecoderCost(model, names, values, cost, scale)
        matrix = scale * curvature(names)
        tell(start + _CURVATURE_SHARE / 2)
        choice = choose_integers(part, matrix, groups, kernels, spending)
        tell(start + 0.5)
        return _tensors(specs, choice), _exponents(groups, choice)

    entropy, picture = _parts(arch)
    rate = quantise(
        entropy,
        lambda m: kernels.rate(m, latents),
        1.0,
        lambda names: rate_curvature(model, latents, names, spending.latents, generator),
        0.0,
    )
    distortion = quantise(
        picture,
        lambda m: kernels.distortion(m, latents, target.normalised, target.span),
        fit.width * fit.height / fit.settings.lmbda,
        lambda names: distortion_curvature(
            model, latents, target, names, kernels, spending.pixels, generator
        ),
        0.5,
    )
    return QuantisedParameters(rate[0] | distortion[0], rate[1] | distortion[1], prior)


def _within_reach(
    parameters: Mapping[str, Tensor], prior: Mapping[str, NDArray[np.float64]]
) -> dict[str, Tensor]:
    """The same, but at the prior where no integer reaches, as after a fit that diverged."""
    kept = {}
    for name, value in parameters.items():
        base = torch.from_numpy(prior[name]).to(value.dtype)
        kept[name] = torch.where((value - base).abs() <= PARAMETER_MAX, value, base)
    return kept


def _parts(arch: Architecture) -> tuple[list[TensorSpec], list[TensorSpec]]:
    """Tensors of ARM and IFCE, and those of upsampling and synthesis, in the file's order."""
    specs = [spec for _, tensors in parameter_groups(arch) for spec in tensors]
    entropy = [spec for spec in specs if spec.name.startswith(("arm.", "ifce."))]
    return entropy, [spec for spec in specs if spec not in entropy]


def _groups(specs: Sequence[TensorSpec], prior: Prior) -> list[Group]:
    sizes: dict[str, int] = {}
    for spec in specs:
        sizes[spec.group] = sizes.get(spec.group, 0) + spec.size
    exponents, guesses = prior.exponents, prior.guesses
    return [
        Group(name, size, exponents.get(name, 0), guesses.get(name)) for name, size in sizes.items()
    ]


def _tensors(specs: Sequence[TensorSpec], choice: Choice) -> dict[str, NDArray[np.int32]]:
    ends = np.cumsum([spec.size for spec in specs])
    parts = np.split(choice.integers.astype(np.int32), ends[:-1])
    return {spec.name: part.reshape(spec.shape) for spec, part in zip(specs, parts, strict=True)}


def _exponents(groups: Sequence[Group], choice: Choice) -> dict[str, int]:
    pairs = zip(groups, choice.exponents, strict=True)
    return {group.name: max(exponent, 0) for group, exponent in pairs}
