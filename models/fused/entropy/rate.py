"""The rate of all latent grids in one pass over memory, as a differentiable torch function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from givre.models.architecture import Architecture
from givre.models.codec_model import CodecModel
from givre.models.compiled.buffers import Buffers
from givre.models.compiled.types import Floats
from givre.models.fused.entropy.passes import (
    EntropyModel,
    RateGradient,
    add_latents_gradient,
    bits_maps,
    entropy_model,
    rate,
    rate_gradient,
)
from givre.models.fused.module_parameters import ParameterArrays, parameters_of
from givre.models.geometry import Grid


def fused_rate(model: CodecModel, latents: Sequence[Tensor], threads: int) -> Tensor:
    """Total rate in bits: `CodecModel.rate`, computed on the CPU by compiled kernels.

    The rate is differentiable, once, by the latents and by the parameters of the ARM and the
    IFCE. Where nothing requires a gradient none is computed.

    Args:
        model: holds the entropy model; float32, on the CPU.
        latents: (H_i, W_i) in the order of `model.grids`, float32, on the CPU.
        threads: how many to use; the result does not depend on it.

    Returns:
        Scalar, float32.
    """
    parameters = _parameters(model)
    tensors = (*latents, *parameters)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return _Rate.apply(model.arch, model.grids, threads, *tensors)  # type: ignore[no-any-return, no-untyped-call]
    packed = _packed(model.arch, model.grids, parameters)
    return torch.tensor(rate(packed, _arrays(latents), threads))


def fused_bits(model: CodecModel, latents: Sequence[Tensor], threads: int) -> list[Tensor]:
    """Bits of every latent: `CodecModel.bits` without a gradient, by compiled kernels.

    Args:
        model: as for `fused_rate`.
        latents: as for `fused_rate`.
        threads: as for `fused_rate`.

    Returns:
        (H_i, W_i) for each grid.
    """
    packed = _packed(model.arch, model.grids, _parameters(model))
    return [torch.from_numpy(bits) for bits in bits_maps(packed, _arrays(latents), threads)]


class RateBackward:
    """The gradient of a multiple of the rate, without autograd.

    Args:
        model: as for `fused_rate`.
        parameters: of its ARM and IFCE; the gradient by them is put in their `.grad`.
        latents: as for `fused_rate`, as arrays.
        scale: of the rate.
        threads: as for `fused_rate`.
        buffers: for everything large.
    """

    def __init__(
        self,
        model: CodecModel,
        parameters: ParameterArrays,
        latents: Sequence[Floats],
        scale: float,
        threads: int,
        buffers: Buffers,
    ) -> None:
        self._model, self._parameters = model, parameters
        self._latents, self._scale = latents, scale
        self._threads, self._buffers = threads, buffers
        self._packed: EntropyModel
        self._found: RateGradient

    def visit(self) -> None:
        """Visit all grids and find the gradient by the parameters."""
        model = self._model
        self._packed = entropy_model(model.arch, model.grids, self._parameters.arrays)
        self._found = rate_gradient(self._packed, self._latents, self._threads, self._buffers)
        scale = np.float32(self._scale)
        self._parameters.set_gradients([gradient * scale for gradient in self._found.parameters])

    def add_to(self, gradient: Floats) -> None:
        """Add that by the latents, after `visit`, to that of all grids, flat."""
        add_latents_gradient(self._packed, self._found, self._scale, gradient, self._threads)


class _Rate(torch.autograd.Function):
    """The loss is linear in the rate, so the gradient is found on the way and scaled later."""

    @staticmethod
    def forward(
        ctx: Any, arch: Architecture, grids: tuple[Grid, ...], threads: int, *tensors: Tensor
    ) -> Tensor:
        latents, parameters = tensors[: len(grids)], tensors[len(grids) :]
        flat = np.zeros(sum(latent.numel() for latent in latents), np.float32)
        packed = _packed(arch, grids, parameters)
        found = rate_gradient(packed, _arrays(latents), threads, Buffers())
        add_latents_gradient(packed, found, 1.0, flat, threads)
        parts = np.split(flat, np.cumsum([latent.numel() for latent in latents[:-1]]))
        shaped = (part.reshape(y.shape) for part, y in zip(parts, latents, strict=True))
        ctx.gradients = [*shaped, *found.parameters]
        return torch.tensor(found.bits)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        scale = float(upstream)
        found = (
            torch.from_numpy(gradient * scale) if needed else None
            for gradient, needed in zip(ctx.gradients, ctx.needs_input_grad[3:], strict=True)
        )
        return (None, None, None, *found)


def _parameters(model: CodecModel) -> list[Tensor]:
    return [*parameters_of(model.arm), *parameters_of(model.ifce)]


def _packed(
    arch: Architecture, grids: tuple[Grid, ...], parameters: Sequence[Tensor]
) -> EntropyModel:
    return entropy_model(arch, grids, _arrays(parameters))


def _arrays(tensors: Sequence[Tensor]) -> list[Floats]:
    return [np.ascontiguousarray(tensor.detach().numpy()) for tensor in tensors]
