"""The entropy model's kernels, run over all grids of an image: rate, bits, and gradients.

Everything is NumPy; `givre.models.fused.entropy.rate` makes torch's functions of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from givre.models.architecture import Architecture
from givre.models.compiled.buffers import Buffers
from givre.models.compiled.pool import run_tasks, share
from givre.models.compiled.types import Floats
from givre.models.fused.entropy.arm import arm_rate
from givre.models.fused.entropy.tables import TASK_GRID, RateInputs, RateResults
from givre.models.fused.entropy.tasks import (
    RateTasks,
    arm_tasks,
    collect_tasks,
    extract_features,
    extract_features_backward,
    rate_tasks,
)
from givre.models.fused.entropy.weights import (
    ArmWeights,
    IfceWeights,
    arm_weights,
    ifce_weights,
)
from givre.models.geometry import Grid


@dataclass(frozen=True)
class EntropyModel:
    """Geometry and weights of one image's entropy model.

    Attributes:
        arch: shapes.
        work: where latents and feature maps lie, and how the work is cut into tasks.
        arm: packed weights of the ARM.
        ifce: packed weights of the inter-feature extractors.
    """

    arch: Architecture
    work: RateTasks
    arm: ArmWeights
    ifce: IfceWeights


def entropy_model(
    arch: Architecture, grids: tuple[Grid, ...], parameters: Sequence[Floats]
) -> EntropyModel:
    """Pack the parameters.

    Args:
        arch: shapes.
        grids: `geometry.grids`.
        parameters: those of `architecture.tensor_specs` whose names begin with "arm." or "ifce.",
            in that order.
    """
    n = arch.n_arm_hidden
    hidden, bias = parameters[0 : 2 * n : 2], parameters[1 : 2 * n : 2]
    output, output_bias, stabiliser = parameters[2 * n : 2 * n + 3]
    return EntropyModel(
        arch,
        rate_tasks(arch, grids),
        arm_weights(hidden, bias, output, output_bias, stabiliser),
        ifce_weights(parameters[2 * n + 3 :: 2], parameters[2 * n + 4 :: 2], arch.n_features),
    )


def bits_maps(model: EntropyModel, latents: Sequence[Floats], threads: int) -> list[Floats]:
    """Bits of every latent: (H_i, W_i) for each grid."""
    return _bits(model, latents, threads)[0]


def rate(model: EntropyModel, latents: Sequence[Floats], threads: int) -> float:
    """Bits of all latents together."""
    return _bits(model, latents, threads)[1]


def _bits(
    model: EntropyModel, latents: Sequence[Floats], threads: int
) -> tuple[list[Floats], float]:
    places, tables = model.work.layout.places, model.work.tables
    inputs = _inputs(model, latents, threads, Buffers())
    found = [np.empty((p.grid.height, p.grid.width), np.float32) for p in places]
    totals = np.zeros(len(tables.tasks))

    def rows(number: int) -> None:
        task = tables.tasks[number]
        i = task[TASK_GRID]
        totals[number] = arm_rate(task, tables.neighbours[i], inputs, model.arm, found[i])

    run_tasks(rows, len(totals), threads)
    return found, float(totals.sum())


@dataclass(frozen=True)
class RateGradient:
    """What is known of the rate and its gradient when all grids have been visited.

    Attributes:
        bits: of all latents together.
        parameters: gradients in the order of `entropy_model`'s parameters.
        results: gradients by the latents and by the feature maps; they lie in buffers.
    """

    bits: float
    parameters: list[Floats]
    results: RateResults


def rate_gradient(
    model: EntropyModel, latents: Sequence[Floats], threads: int, buffers: Buffers
) -> RateGradient:
    """Bits of latents (H_i, W_i) and the gradient, but for `add_latents_gradient`."""
    work, arm = model.work, model.arm
    inputs = _inputs(model, latents, threads, buffers)
    n_tasks = len(work.tables.tasks)
    results = RateResults(
        own=buffers.take("gradient of the tasks", work.own_size),
        maps=buffers.take("gradient of the maps", inputs.maps.shape),
        sums=np.zeros((n_tasks, arm.n_sums), np.float32),
        bits=np.zeros(n_tasks),
    )
    share(
        lambda tickets, parts: arm_tasks(tickets, parts, work.tables, inputs, arm, results),
        work.batches,
        threads,
    )
    arm_sums = results.sums.sum(axis=0, dtype=np.float64).astype(np.float32)
    hidden, bias, output, output_bias, stabiliser = arm.unpack(arm_sums)
    parameters = [part for pair in zip(hidden, bias, strict=True) for part in pair]
    parameters += [output, output_bias, stabiliser]
    parameters += _extractors_backward(model, inputs.latents, results.maps, threads)
    return RateGradient(float(results.bits.sum()), parameters, results)


def add_latents_gradient(
    model: EntropyModel, found: RateGradient, scale: float, gradient: Floats, threads: int
) -> None:
    """Add the rate's gradient by the latents, times `scale`, to that of all grids, flat."""
    work = model.work
    share(
        lambda tickets, parts: collect_tasks(
            tickets,
            parts,
            work.tables,
            found.results,
            model.ifce.weights,
            np.float32(scale),
            gradient,
        ),
        work.collected,
        threads,
    )


def _inputs(
    model: EntropyModel, latents: Sequence[Floats], threads: int, buffers: Buffers
) -> RateInputs:
    """Lay out the latents, and compute the feature maps."""
    work = model.work
    flat = work.layout.padded(latents, buffers)
    maps = buffers.take("maps", work.layout.maps_size)
    share(
        lambda tickets, parts: extract_features(
            tickets, parts, work.tables.levels, flat, model.ifce, maps
        ),
        work.features,
        threads,
    )
    return RateInputs(flat, maps)


def _extractors_backward(
    model: EntropyModel, flat: Floats, maps_gradient: Floats, threads: int
) -> list[Floats]:
    """Carry the maps' gradient to the coarser levels; return that of the weights and biases."""
    work = model.work
    n_extractors, n_features, n_inputs = model.ifce.weights.shape
    sums = np.zeros((n_extractors, n_features, n_inputs + 1))
    share(
        lambda tickets, parts: extract_features_backward(
            tickets, parts, work.tables.levels, flat, maps_gradient, sums
        ),
        work.features,
        threads,
    )
    found = sums.astype(np.float32)
    # An extractor reads one main grid less than the one before it.
    return [
        part for i, total in enumerate(found) for part in (total[:, : n_inputs - i], total[:, -1])
    ]
