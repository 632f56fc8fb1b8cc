"""The upsampler as compiled kernels on the CPU: `givre.models.upsampling.upsample`, only faster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from givre.errors import UsageError
from givre.models.compiled.buffers import Buffers
from givre.models.fused.upsampling.passes import UpsamplingPasses
from givre.models.upsampling import check_pyramid


def fused_upsample(
    latents: Sequence[Tensor],
    transposed_halves: Sequence[Tensor],
    preconcat_halves: Sequence[Tensor],
    threads: int,
) -> Tensor:
    """Turn a pyramid of latents into the dense representation, on up to `threads` threads.

    Latent i has shape (1, C_i, ceil(H/2^i), ceil(W/2^i)), any C_i >= 0; the result has shape
    (1, sum of C_i, H, W). All tensors are float32 on the CPU; gradients go to all of them.
    Values and gradients equal those of `upsample` up to rounding, and do not depend on `threads`.
    Raises UsageError where `upsample` does, and for tensors that no kernel is for.
    """
    check_pyramid(latents)
    if len(latents) > 1 and not (transposed_halves and preconcat_halves):
        raise UsageError(f"{len(latents)} latents need at least one filter of each kind")
    if latents[0].shape[0] != 1:
        raise UsageError(f"the batch is {latents[0].shape[0]}, the fused upsampler takes one image")
    tensors = (*latents, *transposed_halves, *preconcat_halves)
    for tensor in tensors:
        if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
            raise UsageError(
                f"a tensor is {tensor.dtype} on {tensor.device}, the fused upsampler takes "
                "float32 on the CPU"
            )
    if len(latents) == 1:
        return latents[0]
    return _dense(latents, transposed_halves, preconcat_halves, threads)


def fused_dense(
    latents: Sequence[Tensor],
    transposed_halves: Sequence[Tensor],
    preconcat_halves: Sequence[Tensor],
    threads: int,
) -> Tensor:
    """What `fused_upsample` makes of a model's own latent grids, without its checks.

    Latent i has shape (ceil(H/2^i), ceil(W/2^i)); the result has shape (1, L, H, W). All tensors
    are float32 on the CPU; gradients go to all of them.
    """
    if len(latents) == 1:
        return latents[0][None, None]
    return _dense(latents, transposed_halves, preconcat_halves, threads)


def _dense(
    latents: Sequence[Tensor],
    transposed_halves: Sequence[Tensor],
    preconcat_halves: Sequence[Tensor],
    threads: int,
) -> Tensor:
    tensors = (*latents, *transposed_halves, *preconcat_halves)
    dense: Tensor = _FusedUpsample.apply(  # type: ignore[no-untyped-call]
        threads, len(latents), len(transposed_halves), *tensors
    )
    return dense


class _FusedUpsample(torch.autograd.Function):
    """`fused_upsample` on checked tensors: latents, transposed halves, preconcat halves.

    Latents have any number of dimensions; all but the last two are planes.
    """

    @staticmethod
    def forward(
        ctx: Any, threads: int, n_latents: int, n_transposed: int, *tensors: Tensor
    ) -> Tensor:
        arrays = [np.ascontiguousarray(tensor.detach().numpy()) for tensor in tensors]
        latents, halves = arrays[:n_latents], arrays[n_latents:]
        passes = UpsamplingPasses(
            latents, halves[:n_transposed], halves[n_transposed:], threads, Buffers()
        )
        dense = torch.from_numpy(passes.forward())
        ctx.passes, ctx.n_latents = passes, n_latents
        ctx.save_for_backward(*tensors)
        return dense[None]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_dense: Tensor) -> tuple[Tensor | None, ...]:
        # Their values are at hand already, but this notices if one has been changed.
        tensors: Sequence[Tensor] = ctx.saved_tensors
        latents = tensors[: ctx.n_latents]
        grads = [np.empty(latent.shape, np.float32) for latent in latents]
        ctx.passes.backward(grad_dense[0].contiguous().numpy(), grads)
        halves = ctx.passes.filter_gradients()
        return None, None, None, *map(torch.from_numpy, (*grads, *halves))
