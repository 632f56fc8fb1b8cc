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
"""Output samples below which a stage is done sooner than a second thread has started."""


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
    dense: Tensor = _FusedUpsample.apply(  # type: ignore[no-untyped-call]
        threads, len(latents), len(transposed_halves), *tensors
    )
    return dense


class _FusedUpsample(torch.autograd.Function):
    """`fused_upsample` on checked tensors: latents, transposed halves, preconcat halves."""

    @staticmethod
    def forward(
        ctx: Any, threads: int, n_latents: int, n_transposed: int, *tensors: Tensor
    ) -> Tensor:
        planes = [tensor[0].contiguous() for tensor in tensors[:n_latents]]
        halves = tensors[n_latents:]
        transposed = [_even_taps(_array(half)) for half in halves[:n_transposed]]
        preconcat = [_odd_taps(_array(half)) for half in halves[n_transposed:]]
        keep = any(ctx.needs_input_grad)

        carried = [planes[-1]]
        for stage, fresh in enumerate(reversed(planes[:-1])):
            low = carried[-1]
            out = torch.empty(len(fresh) + len(low), *fresh.shape[1:])
            _forward_stage(
                _array(fresh),
                _array(low),
                _array(out),
                transposed[stage % len(transposed)],
                preconcat[stage % len(preconcat)],
                threads,
            )
            carried = [*carried, out] if keep else [out]

        ctx.threads, ctx.n_latents, ctx.n_transposed = threads, n_latents, n_transposed
        ctx.n_inputs = len(tensors)
        if keep:
            ctx.save_for_backward(*tensors, *carried[1:-1])
        return carried[-1][None]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_dense: Tensor) -> tuple[Tensor | None, ...]:
        saved: Sequence[Tensor] = ctx.saved_tensors
        n_stages = ctx.n_latents - 1
        tensors, between = saved[: ctx.n_inputs], saved[ctx.n_inputs :]
        planes = [tensor[0].contiguous() for tensor in tensors[: ctx.n_latents]]
        halves = [_array(half) for half in tensors[ctx.n_latents :]]
        transposed = [_even_taps(half) for half in halves[: ctx.n_transposed]]
        preconcat = [_odd_taps(half) for half in halves[ctx.n_transposed :]]
        carried = [planes[-1], *between]

        grads = [torch.empty_like(plane) for plane in planes]
        grad_transposed = [np.zeros(len(taps)) for taps in transposed]
        grad_preconcat = [np.zeros(len(taps)) for taps in preconcat]
        grad_out = grad_dense[0].contiguous()
        for stage in reversed(range(n_stages)):
            level, low = n_stages - 1 - stage, carried[stage]
            t, p = stage % len(transposed), stage % len(preconcat)
            grad_low = torch.empty_like(low) if stage else grads[-1]
            parts = _adjoint_stage(
                _array(planes[level]),
                _array(low),
                _array(grad_out),
                _array(grads[level]),
                _array(grad_low),
                transposed[t],
                preconcat[p],
                ctx.threads,
            )
            grad_transposed[t] += parts[0]
            grad_preconcat[p] += parts[1]
            grad_out = grad_low

        folded = [_fold_even(taps) for taps in grad_transposed]
        folded += [_fold_odd(taps) for taps in grad_preconcat]
        grad_halves = [
            torch.from_numpy(taps[len(taps) - len(half) :].astype(np.float32))
            for taps, half in zip(folded, halves, strict=True)
        ]
        return None, None, None, *(grad[None] for grad in grads), *grad_halves


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

    run(work, n_double + n_items(*fresh.shape[:2]), _useful_threads(threads, out))


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

    run(work, n_double + n_sharpen, _useful_threads(threads, grad_out))
    return parts_double.sum(axis=0), parts_sharpen.sum(axis=0)


def _useful_threads(threads: int, out: Floats) -> int:
    return threads if out.size > SMALL_STAGE else 1


def _array(tensor: Tensor) -> Floats:
    array: Floats = tensor.detach().numpy()
    return array


def _even_taps(half: Floats) -> Floats:
    """Whole kernel of an upsampling filter with zeros outside, a multiple of 8 taps."""
    n = _padded_length(half)
    taps = np.zeros(2 * n, np.float32)
    taps[n - len(half) : n] = half
    taps[n:] = taps[n - 1 :: -1]
    return taps


def _odd_taps(half: Floats) -> Floats:
    """Whole kernel of a pre-concatenation filter with zeros outside, a multiple of 8 taps.

    Of n taps the centre is number n / 2 - 1, which leaves one zero at the end.
    """
    n = _padded_length(half)
    taps = np.zeros(2 * n, np.float32)
    taps[n - len(half) : n] = half
    taps[n : 2 * n - 1] = taps[: n - 1][::-1]
    return taps


def _padded_length(half: Floats) -> int:
    return -(-len(half) // 4) * 4


def _fold_even(grad_taps: Doubles) -> Doubles:
    """Adjoint of mirroring (a b) to (a b b a)."""
    n = len(grad_taps) // 2
    return grad_taps[:n] + grad_taps[: n - 1 : -1]


def _fold_odd(grad_taps: Doubles) -> Doubles:
    """Adjoint of mirroring (a b c) to (a b c b a 0)."""
    n = len(grad_taps) // 2
    folded = grad_taps[:n].copy()
    folded[:-1] += grad_taps[-2 : n - 1 : -1]
    return folded
