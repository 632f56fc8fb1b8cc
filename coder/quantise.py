"""Parameter quantisation by rate-distortion: a step for each group, then the integers one by one.

What is quantised is the difference from the prior. The cost is the one of the fit, MSE + lambda *
bpp, where the rate now includes the parameters at the size the coder gives them; a group whose
differences are not worth their bits returns to the prior.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from givre.bitstream.parameter_section import N_EXPONENTS
from givre.bitstream.parameters import QuantisedParameters, parameter_bits
from givre.bitstream.rangecoder import PARAMETER_MAX
from givre.coder.fit import Fit
from givre.coder.kernels import choose_kernels
from givre.coder.normalisation import Target
from givre.coder.rdoq import refine_group
from givre.coder.sampled_cost import SampledDistortion, SampledRate, WholeDistortion
from givre.models.architecture import Architecture, tensor_specs
from givre.models.codec_model import CodecModel
from givre.models.exact.arithmetic import PARAMETER_BITS

_log = logging.getLogger(__name__)

_STEP_BITS = 10
"""Bits that a group's step and scale take in the file."""

_STALE_EXPONENTS = 3
"""Exponents tried past the best one before the search for a step stops."""


@dataclass(frozen=True)
class _Group:
    """Where a group's parameters lie: its tensors' names and sizes, joined in file order."""

    name: str
    tensors: tuple[tuple[str, tuple[int, ...]], ...]


class QuantisedGroup:
    """One group's integers and step, kept together with the tensors that the cost is computed on.

    Args:
        group: names and shapes of the tensors.
        tensors: float tensors to write the quantised values into, by name.
        prior: what the differences are taken from, by name.
        prior_exponent: the prior's values are multiples of 2^-prior_exponent.
    """

    def __init__(
        self,
        group: _Group,
        tensors: dict[str, Tensor],
        prior: Mapping[str, NDArray[np.float64]],
        prior_exponent: int,
    ) -> None:
        self.name = group.name
        self._tensors = [tensors[name] for name, _ in group.tensors]
        self._prior = np.concatenate([prior[name].reshape(-1) for name, _ in group.tensors])
        self._prior_exponent = prior_exponent
        fitted = torch.cat([t.reshape(-1) for t in self._tensors]).double().numpy()
        self._start = fitted - self._prior
        self.exponent = 0
        self.integers: NDArray[np.int32] = np.zeros(len(self._start), np.int32)
        self._where = [
            (tensor.view(-1), i) for tensor in self._tensors for i in range(tensor.numel())
        ]

    def quantise(self, exponent: int) -> bool:
        """Round the fitted differences to multiples of 2^-exponent.

        Returns False, without a change, when an integer or a parameter would leave its range on a
        step that can be made coarser.
        """
        scaled = np.rint(np.ldexp(self._start, exponent))
        integers = np.clip(scaled, -PARAMETER_MAX, PARAMETER_MAX).astype(np.int32)
        fits = bool(np.abs(self._values(integers, exponent)).max() < self._limit(exponent))
        if exponent and not (fits and np.abs(scaled).max() <= PARAMETER_MAX):
            return False
        self.restore(integers if fits else np.zeros_like(integers), exponent)
        return True

    def reset(self) -> None:
        """Return to the prior."""
        self.restore(np.zeros_like(self.integers), 0)

    def restore(self, integers: NDArray[np.int32], exponent: int) -> None:
        """Take other integers and another step, also where the cost is computed."""
        self.exponent, self.integers = exponent, integers.copy()
        values = torch.from_numpy(self._values(integers, exponent))
        parts = torch.split(values, [tensor.numel() for tensor in self._tensors])
        for tensor, part in zip(self._tensors, parts, strict=True):
            tensor.copy_(part.reshape(tensor.shape))

    def may_be(self, index: int, integer: int) -> bool:
        """Whether one integer may be changed to another value."""
        value = self._prior[index] + integer * 2.0**-self.exponent
        return abs(integer) <= PARAMETER_MAX and abs(value) < self._limit(self.exponent)

    def set(self, index: int, integer: int) -> None:
        """Change one integer."""
        self.integers[index] = integer
        flat, i = self._where[index]
        flat[i] = self._prior[index] + integer * 2.0**-self.exponent

    def bits(self) -> float:
        """Coded size of the group, with its flag, step and scale."""
        return 1 + (parameter_bits(self.integers)[0] + _STEP_BITS if self.integers.any() else 0)

    def _limit(self, exponent: int) -> float:
        """What the group's parameters must stay below on a step of 2^-exponent."""
        return 2.0 ** (PARAMETER_BITS - max(exponent, self._prior_exponent))

    def _values(self, integers: NDArray[np.int32], exponent: int) -> NDArray[np.float64]:
        """The parameters that integers on a step of 2^-exponent stand for."""
        return self._prior + np.ldexp(integers.astype(np.float64), -exponent)


def quantise_parameters(fit: Fit, target: Target, threads: int) -> QuantisedParameters:
    """Quantise a fitted decoder.

    ARM and IFCE are judged by the rate alone. The upsampling is judged by the distortion of the
    whole image, then the synthesis with the upsampling already quantised.

    Args:
        fit: the outcome of `overfit`.
        target: the image it was fitted to.
        threads: how many the kernels may use.

    Returns:
        The integers and steps that the file will hold. Deterministic for a fit.
    """
    arch, lmbda = fit.architecture, fit.settings.lmbda
    pixels = fit.width * fit.height
    latents = [latent.to(torch.float32) for latent in fit.latents]
    tensors = {name: p.detach().clone() for name, p in fit.parameters.items()}
    model = CodecModel(arch, fit.width, fit.height)
    model.load_state_dict(tensors, assign=True)  # the model follows every change of the tensors
    kernels = choose_kernels(fit.settings.kernels, torch.device("cpu"), threads)
    prior = fit.prior
    values = prior.values(arch)
    groups = [
        QuantisedGroup(g, tensors, values, prior.exponents.get(g.name, 0)) for g in _groups(arch)
    ]
    generator = torch.Generator().manual_seed(fit.settings.seed)
    weight = lmbda / pixels

    rate = SampledRate(model, latents, generator, kernels, threads)
    entropy = [g for g in groups if g.name.startswith(("arm.", "ifce."))]
    _quantise_stage(entropy, lambda: weight * rate.bits(tensors), weight, generator)

    upsampling = [g for g in groups if g.name.startswith("ups.")]
    whole = WholeDistortion(model, latents, target, kernels)
    _quantise_stage(upsampling, whole.mse, weight, generator)

    sampled = SampledDistortion(model, whole.dense(), target, generator, kernels, threads)
    synthesis = [g for g in groups if g.name.startswith("synthesis.")]
    _quantise_stage(synthesis, lambda: sampled.mse(tensors), weight, generator)

    exponents = {group.name: group.exponent for group in groups}
    names = {group.name: group for group in groups}
    integers = {}
    for group in _groups(arch):
        offset = 0
        for name, shape in group.tensors:
            size = int(np.prod(shape))
            integers[name] = names[group.name].integers[offset : offset + size].reshape(shape)
            offset += size
    return QuantisedParameters(integers, exponents, prior)


def _quantise_stage(
    groups: list[QuantisedGroup],
    cost: Callable[[], float],
    weight: float,
    generator: torch.Generator,
) -> None:
    """Steps of all groups in turn, once more over the steps' neighbours, then RDOQ."""
    for group in groups:
        _search_exponent(group, cost, weight, range(N_EXPONENTS - 1, -1, -1))
    for group in groups:
        near = range(min(group.exponent + 1, N_EXPONENTS - 1), max(group.exponent - 2, -1), -1)
        _search_exponent(group, cost, weight, near)
    for group in groups:
        before = group.bits()
        refine_group(group, cost, weight, generator)
        _reset_if_cheaper(group, cost, weight)
        _log.debug("%s: 2^-%d, %.0f -> %.0f bits", group.name, group.exponent, before, group.bits())


def _search_exponent(
    group: QuantisedGroup, cost: Callable[[], float], weight: float, exponents: range
) -> None:
    """Take the step with the least cost, going from fine to coarse until it gets worse."""
    best, best_cost, stale = exponents[-1], np.inf, 0
    for exponent in exponents:
        if not group.quantise(exponent):
            continue
        found = cost() + weight * group.bits()
        if found <= best_cost:  # of two steps that cost the same, the coarser is the safer
            best, best_cost, stale = exponent, found, 0
        else:
            stale += 1
            if stale > _STALE_EXPONENTS:
                break
    group.quantise(best)


def _reset_if_cheaper(group: QuantisedGroup, cost: Callable[[], float], weight: float) -> None:
    """Return a group to the prior unless its differences pay for their bits."""
    if not group.integers.any():
        return
    integers, exponent = group.integers, group.exponent
    moved = cost() + weight * group.bits()
    group.reset()
    if cost() + weight * group.bits() > moved:
        group.restore(integers, exponent)


def _groups(arch: Architecture) -> list[_Group]:
    found: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
    for spec in tensor_specs(arch):
        found.setdefault(spec.group, []).append((spec.name, spec.shape))
    return [_Group(name, tuple(tensors)) for name, tensors in found.items()]
