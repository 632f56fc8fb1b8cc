"""Synthesis and distortion on the CPU: what `givre.models.synthesis` computes for one image."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from givre.models.compiled.buffers import Buffers
from givre.models.compiled.types import Floats
from givre.models.fused.module_parameters import arrays_of, parameters_of
from givre.models.fused.synthesis.passes import SynthesisPasses, squared_error
from givre.models.synthesis import Synthesis


class _Distortion(torch.autograd.Function):
    """Computes all gradients at once: the loss is a scalar, so `backward` only scales them."""

    @staticmethod
    def forward(
        ctx: Any, dense: Tensor, target: Tensor, span: Tensor, threads: int, *parameters: Tensor
    ) -> Tensor:
        arrays = [_array(parameter) for parameter in parameters]
        layers = SynthesisPasses(arrays, _planes_of(dense), threads, Buffers())
        value, by_dense = error_backward(layers, target, span, threads)
        gradients = layers.parameter_gradients()
        ctx.save_for_backward(*map(torch.from_numpy, (by_dense[None], *gradients)))
        return dense.new_tensor(value)

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = outputs
        gradients = ctx.saved_tensors
        # As a rule the loss is the distortion plus something else: nothing to multiply then.
        if float(scale) != 1:
            gradients = [g * scale for g in gradients]
        dense, *parameters = gradients
        return (dense, None, None, None, *parameters)


def fused_distortion(
    synthesis: Synthesis, dense: Tensor, target: Tensor, span: Tensor, threads: int
) -> Tensor:
    """Mean squared error of the synthesis, as `distortion(synthesis(dense), target, span)`.

    Args:
        synthesis: the network; the result is differentiable with respect to its parameters.
        dense: (1, L, H, W), float32 on the CPU; the result is differentiable with respect to it.
        target: (1, C, H, W), normalised samples in [0, 1].
        span: (C, 1, 1), a factor of each channel's errors before they are squared, or (C, H, W).
        threads: of the kernels; the result does not depend on it.

    Returns:
        Scalar.
    """
    parameters = _parameters(synthesis)
    if torch.is_grad_enabled() and any(t.requires_grad for t in (dense, *parameters)):
        value: Tensor = _Distortion.apply(dense, target, span, threads, *parameters)  # type: ignore[no-untyped-call]
        return value
    arrays = arrays_of(synthesis).arrays
    planes = SynthesisPasses(arrays, _planes_of(dense), threads, Buffers()).forward()
    return dense.new_tensor(squared_error(planes, _planes_of(target), _array(span), threads))


def error_backward(
    layers: SynthesisPasses, target: Tensor, span: Tensor, threads: int
) -> tuple[float, Floats]:
    """Run a synthesis forwards, and its mean squared error backwards, without autograd.

    Args:
        layers: the synthesis over an image; afterwards it has the gradients of its parameters.
        target: (1, C, H, W), normalised samples in [0, 1].
        span: (C, 1, 1), a factor of each channel's errors before they are squared, or (C, H, W).
        threads: of the kernels; the result does not depend on it.

    Returns:
        The error, and its gradient by the dense representation, (L, H, W).
    """
    planes = layers.forward()
    value = squared_error(planes, _planes_of(target), _array(span), threads)
    # The gradient has taken the samples' place.
    return value, layers.backward(planes)


def fused_synthesis(synthesis: Synthesis, dense: Tensor, threads: int) -> Tensor:
    """Normalised samples (1, C, H, W), as `synthesis(dense)`, without a gradient.

    Args:
        synthesis: the network.
        dense: (1, L, H, W), float32 on the CPU.
        threads: of the kernels; the result does not depend on it.
    """
    arrays = arrays_of(synthesis).arrays
    layers = SynthesisPasses(arrays, _planes_of(dense), threads, Buffers())
    return torch.from_numpy(layers.forward()[None])


def _parameters(synthesis: Synthesis) -> list[Tensor]:
    """The synthesis' parameters: hidden, output and residual layers, then the stabiliser.

    Every layer's weight comes before its bias.
    """
    return list(parameters_of(synthesis))


def _planes_of(batch: Tensor) -> Floats:
    """The only image of a batch as an array."""
    planes: Floats = batch.detach()[0].contiguous().numpy()
    return planes


def _array(tensor: Tensor) -> Floats:
    array: Floats = np.ascontiguousarray(tensor.detach().numpy())
    return array
