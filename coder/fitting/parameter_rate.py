"""The parameters' rate in the loss: what the differences from the prior will cost, and its slope.

While a decoder is fitted nothing is rounded, so the coded size is not known yet. The Laplace model
of a group with mean magnitude b spends log2(b) bits a parameter more or less, whatever the step.
That is the rate used here. Its slope with respect to a parameter is sign(d) / (b ln 2): the less a
group has moved, the dearer it is to move, and groups that gain little stay at the prior.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log, log2

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from givre.models.architecture import Architecture, tensor_specs

FLOOR = 0.01
"""Magnitude below which a difference will be rounded away; added to every group's mean."""

SMOOTHNESS = 0.3 * FLOOR
"""Magnitude at which the slope of |d| is half of 1."""


class ParameterRate:
    """Rate of a model's parameters, as differences from a prior.

    Args:
        arch: groups of the parameters.
        model: holds the parameters.
        prior: what they are coded against, by name, in float64.
    """

    def __init__(
        self, arch: Architecture, model: nn.Module, prior: Mapping[str, NDArray[np.float64]]
    ) -> None:
        names = [spec.name for spec in tensor_specs(arch)]
        parameters: Mapping[str, Tensor] = dict(model.named_parameters())
        self._parameters = [parameters[name] for name in names]
        groups = list(dict.fromkeys(spec.group for spec in tensor_specs(arch)))
        index = [groups.index(spec.group) for spec in tensor_specs(arch)]
        sizes = [p.numel() for p in self._parameters]
        device = self._parameters[0].device
        self._groups = torch.repeat_interleave(torch.tensor(index), torch.tensor(sizes)).to(device)
        self._counts = torch.bincount(self._groups, minlength=len(groups)).float()
        values = [torch.from_numpy(prior[name]).reshape(-1) for name in names]
        self._prior = torch.cat(values).float().to(device)
        # Views, made once: a decoder has some fifty tensors, and to shape each takes its time.
        self._flat_parameters = [p.detach().view(-1) for p in self._parameters]
        self._gradient = torch.empty_like(self._prior)
        parts = torch.split(self._gradient, sizes)
        self._gradients = [
            part.view(p.shape) for part, p in zip(parts, self._parameters, strict=True)
        ]

    @torch.no_grad()
    def bits(self) -> float:
        """The rate, up to a constant: sum over the groups of n log2(mean |d| + FLOOR)."""
        return float((self._counts * torch.log2(self._means(self._flat() - self._prior))).sum())

    def coded_bits(self) -> float:
        """What the parameters will take in the file, where the fit is half done or more.

        Within a fifth of it after 250 steps on crops of photographs, lop to hop, lambda 0.01 to
        0.0003; after fewer steps on small pictures they may take only half.
        """
        n = float(self._counts.sum())
        rate = self.bits() - n * log2(FLOOR)
        return rate * (0.79 + 0.12 * rate / n)

    @torch.no_grad()
    def add_gradient(self, weight: float) -> None:
        """Add `weight` times the slope of the rate to every parameter's `.grad`.

        Args:
            weight: of the rate in bits.
        """
        self._find_slope(weight / log(2))
        for parameter in self._parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        own = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        torch._foreach_add_(own, self._gradients)

    def _find_slope(self, weight: float) -> None:
        """Fill `_gradient` with `weight` times the slope of the rate in nats."""
        difference = self._flat() - self._prior
        slope = weight / self._means(difference)
        torch.mul(slope[self._groups], difference, out=self._gradient)
        self._gradient.div_(difference.abs() + SMOOTHNESS)

    def _flat(self) -> Tensor:
        return torch.cat(self._flat_parameters)

    def _means(self, difference: Tensor) -> Tensor:
        """Mean magnitude in each group, plus FLOOR."""
        totals = torch.zeros_like(self._counts).index_add_(0, self._groups, difference.abs())
        return totals / self._counts + FLOOR
