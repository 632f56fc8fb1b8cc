"""The upsampler as compiled kernels on the CPU: what `givre.models.upsampling.upsample` computes.

Filters are separable and polyphase, and every stage writes straight into its output: no plane is
padded, concatenated or held half filtered. The stages' inputs stay in memory for the backward
pass; together they are a third of the dense representation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from givre.errors import UsageError
from givre.models import upsampling
from givre.models.fused.coarse_stages import CoarseStages
from givre.models.fused.filter_taps import FilterGradients, whole_filters
from givre.models.fused.plane_filters import (
    double_planes,
    double_planes_adjoint,
    n_items,
    sharpen_planes,
    sharpen_planes_adjoint,
)
from givre.models.fused.pool import run
from givre.models.fused.row_filters import Doubles, Floats
from givre.models.upsampling import check_pyramid

SMALL_STAGE = 1 << 15
"""Output samples up to which a stage is done sooner than a second thread has started."""


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
    Raises UsageError where `upsample` does, and for tensors or a padding that no kernel is for.
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
    if upsampling.PRECONCAT_PADDING != "replicate":
        raise UsageError("the fused upsampler continues grids by their borders only")
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
        planes = [array.reshape(-1, *array.shape[-2:]) for array in arrays[:n_latents]]
        halves = arrays[n_latents:]
        filters = whole_filters(halves[:n_transposed], halves[n_transposed:])
        keep = any(ctx.needs_input_grad)

        planes.reverse()
        coarse = CoarseStages(planes, filters, SMALL_STAGE)
        carried = [coarse.result]
        for stage in range(coarse.n_stages, n_latents - 1):
            fresh, low = planes[stage + 1], carried[-1]
            # In memory of torch: the peak of a step came out some MiB lower than with NumPy's.
            out = torch.empty(len(fresh) + len(low), *fresh.shape[1:]).numpy()
            _forward_stage(fresh, low, out, *filters.of_stage(stage), threads)
            carried = [*carried, out] if keep else [out]
        dense = torch.from_numpy(carried.pop())

        ctx.threads, ctx.n_latents = threads, n_latents
        if keep:
            ctx.save_for_backward(*tensors)
            ctx.planes, ctx.filters, ctx.coarse, ctx.carried = planes, filters, coarse, carried
        return dense[None]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_dense: Tensor) -> tuple[Tensor | None, ...]:
        # Their values are at hand already, but this notices if one has been changed.
        tensors: Sequence[Tensor] = ctx.saved_tensors
        planes, filters, coarse, carried = ctx.planes, ctx.filters, ctx.coarse, ctx.carried
        grad_filters = FilterGradients(filters)
        grads: list[Floats] = []
        grad_out = grad_dense[0].contiguous().numpy()
        for stage in reversed(range(coarse.n_stages, ctx.n_latents - 1)):
            fresh, low = planes[stage + 1], carried[stage - coarse.n_stages]
            grad_fresh, grad_low = (torch.empty(x.shape).numpy() for x in (fresh, low))
            transposed, preconcat = filters.of_stage(stage)
            parts = _adjoint_stage(
                fresh, low, grad_out, grad_fresh, grad_low, transposed, preconcat, ctx.threads
            )
            grad_filters.add(stage, *parts)
            grads.append(grad_fresh)
            grad_out = grad_low
        grads += coarse.backward(grad_out, grad_filters)
        grads += grad_filters.halves([len(half) for half in tensors[ctx.n_latents :]])
        shaped = (grad.reshape(t.shape) for grad, t in zip(grads, tensors, strict=True))
        return None, None, None, *map(torch.from_numpy, shaped)


def _forward_stage(
    fresh: Floats, low: Floats, out: Floats, transposed: Floats, preconcat: Floats, threads: int
) -> None:
    """Fill out (C + P, H, W) from new latents (C, H, W) and what is carried on, (P, h, w)."""
    n_fresh = len(fresh)
    n_double = n_items(*low.shape[:2])

    def work(first: int, last: int) -> None:
        if first < n_double:
            double_planes(low, out[n_fresh:], transposed, first, min(last, n_double))
        if last > n_double:
            first = max(first - n_double, 0)
            sharpen_planes(fresh, out[:n_fresh], preconcat, first, last - n_double)

    run(work, n_double + n_items(*fresh.shape[:2]), threads)


def _adjoint_stage(
    fresh: Floats,
    low: Floats,
    grad_out: Floats,
    grad_fresh: Floats,
    grad_low: Floats,
    transposed: Floats,
    preconcat: Floats,
    threads: int,
) -> tuple[Doubles, Doubles]:
    """Fill the gradients of a stage's two inputs; return those of both filters' whole taps."""
    n_fresh = len(fresh)
    n_double, n_sharpen = n_items(*low.shape[:2]), n_items(*fresh.shape[:2])
    # One row an item, added up in their order: the sum does not depend on who was first.
    parts_double = np.empty((n_double, len(transposed)))
    parts_sharpen = np.empty((n_sharpen, len(preconcat)))

    def work(first: int, last: int) -> None:
        if first < n_double:
            grad, end = grad_out[n_fresh:], min(last, n_double)
            double_planes_adjoint(low, grad, grad_low, transposed, parts_double, first, end)
        if last > n_double:
            grad, start = grad_out[:n_fresh], max(first - n_double, 0)
            end = last - n_double
            sharpen_planes_adjoint(fresh, grad, grad_fresh, preconcat, parts_sharpen, start, end)

    run(work, n_double + n_sharpen, threads)
    return parts_double.sum(axis=0), parts_sharpen.sum(axis=0)
