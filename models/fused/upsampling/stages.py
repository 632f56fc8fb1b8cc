"""Kernels for one stage of the upsampler: the filters of `plane_filters`, on any number of threads.

A stage upsamples the planes that are carried on and sharpens the new latents. The items of both
are counted through, first those of the upsampling.
"""

from __future__ import annotations

from givre.models.compiled.kernel import kernel
from givre.models.compiled.tickets import Parts, Tickets, next_ticket
from givre.models.compiled.types import FLAGS, Doubles2, Floats1, Floats3
from givre.models.fused.upsampling.plane_filters import (
    double_planes,
    double_planes_adjoint,
    sharpen_planes,
    sharpen_planes_adjoint,
)


@kernel(fastmath=FLAGS)
def stage_forward(
    tickets: Tickets, parts: Parts, fresh: Floats3, low: Floats3, out: Floats3, transposed: Floats1,
    preconcat: Floats1, n_double: int,
) -> None:  # fmt: skip
    """Compute items of a stage's result.

    Args:
        tickets: see `givre.models.compiled.tickets`.
        parts: likewise; of items.
        fresh: (C, H, W), the new latents.
        low: (P, h, w), what is carried on.
        out: (C + P, H, W), written.
        transposed: taps of the upsampling filter, see `double_planes`.
        preconcat: taps of the pre-concatenation filter, see `sharpen_planes`.
        n_double: items of the upsampling.
    """
    sharp, doubled = out[: fresh.shape[0]], out[fresh.shape[0] :]
    part = next_ticket(tickets)
    while part < parts.shape[0]:
        first, last = parts[part, 0], parts[part, 1]
        if first < n_double:
            double_planes(low, doubled, transposed, first, min(last, n_double))
        if last > n_double:
            sharpen_planes(fresh, sharp, preconcat, max(first - n_double, 0), last - n_double)
        part = next_ticket(tickets)


@kernel(fastmath=FLAGS)
def stage_adjoint(
    tickets: Tickets, parts: Parts, fresh: Floats3, low: Floats3, grad_out: Floats3,
    grad_fresh: Floats3, grad_low: Floats3, transposed: Floats1, preconcat: Floats1,
    grad_transposed: Doubles2, grad_preconcat: Doubles2,
) -> None:  # fmt: skip
    """Carry the gradient of a stage's result back to items of its inputs, and to both filters.

    Args:
        tickets: see `givre.models.compiled.tickets`.
        parts: likewise; of items.
        fresh: see `stage_forward`, as the next.
        low: likewise.
        grad_out: (C + P, H, W).
        grad_fresh: (C, H, W), written.
        grad_low: (P, h, w), written.
        transposed: see `stage_forward`, as the next.
        preconcat: likewise.
        grad_transposed: a row for each item of the upsampling, written.
        grad_preconcat: a row for each item of the pre-concatenation, written.
    """
    n_double = grad_transposed.shape[0]
    grad_sharp, grad_doubled = grad_out[: fresh.shape[0]], grad_out[fresh.shape[0] :]
    part = next_ticket(tickets)
    while part < parts.shape[0]:
        first, last = parts[part, 0], parts[part, 1]
        if first < n_double:
            end = min(last, n_double)
            double_planes_adjoint(
                low, grad_doubled, grad_low, transposed, grad_transposed, first, end
            )
        if last > n_double:
            start, end = max(first - n_double, 0), last - n_double
            sharpen_planes_adjoint(
                fresh, grad_sharp, grad_fresh, preconcat, grad_preconcat, start, end
            )
        part = next_ticket(tickets)
