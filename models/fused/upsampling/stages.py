"""Kernels for one stage of the upsampler: the filters of `plane_filters`, on any number of threads.

A stage upsamples the planes that are carried on and sharpens the new latents. The items of both
are counted through, first those of the upsampling.
"""

from __future__ import annotations

from typing import NamedTuple

from givre.models.compiled.kernel import kernel
from givre.models.compiled.tickets import Parts, Tickets, next_ticket
from givre.models.compiled.types import FLAGS, Doubles2, Floats3
from givre.models.fused.upsampling.plane_filters import (
    double_planes,
    double_planes_adjoint,
    sharpen_planes,
    sharpen_planes_adjoint,
)
from givre.models.fused.upsampling.taps import StageTaps


class StageInputs(NamedTuple):
    """What a stage works on, or the gradient with respect to it.

    Attributes:
        fresh: (C, H, W), the new latents.
        low: (P, h, w), what is carried on.
    """

    fresh: Floats3
    low: Floats3


class ItemSums(NamedTuple):
    """Gradients of both filters of a stage, an item each row.

    Attributes:
        transposed: (items of the upsampling, 2N).
        preconcat: (items of the pre-concatenation, 2R + 2).
    """

    transposed: Doubles2
    preconcat: Doubles2


@kernel(fastmath=FLAGS)
def stage_forward(
    tickets: Tickets,
    parts: Parts,
    inputs: StageInputs,
    taps: StageTaps,
    n_double: int,
    out: Floats3,
) -> None:
    """Compute items of a stage's result.

    Args:
        tickets: shared by all threads.
        parts: of items.
        inputs: of the stage.
        taps: of the stage.
        n_double: items of the upsampling.
        out: (C + P, H, W), written: the sharpened latents, then the upsampled planes.
    """
    n_fresh = inputs.fresh.shape[0]
    sharp, doubled = out[:n_fresh], out[n_fresh:]
    part = next_ticket(tickets)
    while part < parts.shape[0]:
        first, last = parts[part, 0], parts[part, 1]
        if first < n_double:
            double_planes(inputs.low, doubled, taps.transposed, first, min(last, n_double))
        if last > n_double:
            start, end = max(first - n_double, 0), last - n_double
            sharpen_planes(inputs.fresh, sharp, taps.preconcat, start, end)
        part = next_ticket(tickets)


@kernel(fastmath=FLAGS)
def stage_adjoint(
    tickets: Tickets,
    parts: Parts,
    inputs: StageInputs,
    taps: StageTaps,
    grad_out: Floats3,
    grad_inputs: StageInputs,
    sums: ItemSums,
) -> None:
    """Carry the gradient of a stage's result back to items of its inputs, and to both filters.

    Args:
        tickets: shared by all threads.
        parts: of items.
        inputs: of the stage.
        taps: of the stage.
        grad_out: (C + P, H, W), with respect to the result.
        grad_inputs: with respect to the inputs, written.
        sums: with respect to the filters, written.
    """
    n_fresh, n_double = inputs.fresh.shape[0], sums.transposed.shape[0]
    grad_sharp, grad_doubled = grad_out[:n_fresh], grad_out[n_fresh:]
    part = next_ticket(tickets)
    while part < parts.shape[0]:
        first, last = parts[part, 0], parts[part, 1]
        if first < n_double:
            double_planes_adjoint(
                inputs.low,
                grad_doubled,
                grad_inputs.low,
                taps.transposed,
                sums.transposed,
                first,
                min(last, n_double),
            )
        if last > n_double:
            sharpen_planes_adjoint(
                inputs.fresh,
                grad_sharp,
                grad_inputs.fresh,
                taps.preconcat,
                sums.preconcat,
                max(first - n_double, 0),
                last - n_double,
            )
        part = next_ticket(tickets)
