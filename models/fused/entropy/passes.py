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
from givre.models.fused.entropy.layout import ArmWeights, arm_weights
from givre.models.fused.entropy.tasks import (
    RateTasks,
    arm_tasks,
    collect_tasks,
    extract_features,
    extract_features_backward,
    rate_tasks,
)
from givre.models.geometry import Grid


@dataclass(frozen=True)
class EntropyModel:
    """Geometry and weights of one image's entropy model.

    Attributes:
        arch: shapes.
        work: where latents and feature maps lie, and how the work is cut into tasks.
        arm: packed weights.
        ifce_weights: (extractors, F, n_in), filled up with zeros: later extractors read less.
        ifce_biases: (extractors, F).
    """

    arch: Architecture
    work: RateTasks
    arm: ArmWeights
    ifce_weights: Floats
    ifce_biases: Floats


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
    extractors, extractor_biases = parameters[2 * n + 3 :: 2], parameters[2 * n + 4 :: 2]
    n_inputs = max((weight.shape[1] for weight in extractors), default=0)
    weights = np.zeros((len(extractors), arch.n_features, n_inputs), np.float32)
    biases = np.zeros(weights.shape[:2], np.float32)
    for i, (weight, extractor_bias) in enumerate(zip(extractors, extractor_biases, strict=True)):
        weights[i, :, : weight.shape[1]] = weight
        biases[i] = extractor_bias
    return EntropyModel(
        arch,
        rate_tasks(arch, grids),
        arm_weights(hidden, bias, output, output_bias, stabiliser),
        weights,
        biases,
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
    places, tasks = model.work.layout.places, model.work.layout.tasks
    buffers = Buffers()
    flat = model.work.layout.padded(latents, buffers)
    maps = _feature_maps(model, flat, threads, buffers)
    found = [np.empty((p.grid.height, p.grid.width), np.float32) for p in places]
    totals = np.zeros(len(tasks))

    def rows(task: int) -> None:
        i, chunk = tasks[task]
        w = model.arm
        totals[task] = arm_rate(
            flat, places[i].rows(*places[i].row_chunks[chunk]), places[i].neighbours, maps,
            w.hidden, w.hidden_bias, w.output, w.output_bias, w.stabiliser, found[i],
        )  # fmt: skip

    run_tasks(rows, len(tasks), threads)
    return found, float(totals.sum())


@dataclass(frozen=True)
class RateGradient:
    """What is known of the rate and its gradient when all grids have been visited.

    Attributes:
        bits: of all latents together.
        parameters: gradients in the order of `entropy_model`'s parameters.
        own: what each task contributes to the gradient by the latents; lies in a buffer.
        maps: gradient by the feature maps; lies in a buffer.
    """

    bits: float
    parameters: list[Floats]
    own: Floats
    maps: Floats


def rate_gradient(
    model: EntropyModel, latents: Sequence[Floats], threads: int, buffers: Buffers
) -> RateGradient:
    """Bits of latents (H_i, W_i) and the gradient, but for `add_latents_gradient`."""
    work, w = model.work, model.arm
    flat = work.layout.padded(latents, buffers)
    maps = _feature_maps(model, flat, threads, buffers)
    maps_gradient = buffers.take("gradient of the maps", maps.shape)
    own = buffers.take("gradient of the tasks", work.own_size)
    sums = np.zeros((len(work.tasks), w.n_sums), np.float32)
    totals = np.zeros(len(work.tasks))
    share(
        lambda tickets, parts: arm_tasks(
            tickets, parts, work.tasks, work.neighbours, flat, maps,
            w.hidden, w.hidden_transposed, w.hidden_bias, w.output, w.output_bias, w.stabiliser,
            own, maps_gradient, sums, totals,
        ),
        work.batches,
        threads,
    )  # fmt: skip
    arm_sums = sums.sum(axis=0, dtype=np.float64).astype(np.float32)
    hidden, bias, output, output_bias, stabiliser = w.unpack(arm_sums)
    parameters = [part for pair in zip(hidden, bias, strict=True) for part in pair]
    parameters += [output, output_bias, stabiliser]
    parameters += _extractors_backward(model, flat, maps_gradient, threads)
    return RateGradient(float(totals.sum()), parameters, own, maps_gradient)


def add_latents_gradient(
    model: EntropyModel, found: RateGradient, scale: float, gradient: Floats, threads: int
) -> None:
    """Add the rate's gradient by the latents, times `scale`, to that of all grids, flat."""
    work = model.work
    share(
        lambda tickets, parts: collect_tasks(
            tickets, parts, work.tasks, found.own, found.maps, work.sources, model.ifce_weights,
            np.float32(scale), gradient,
        ),
        work.collected,
        threads,
    )  # fmt: skip


def _feature_maps(model: EntropyModel, flat: Floats, threads: int, buffers: Buffers) -> Floats:
    work, maps = model.work, buffers.take("maps", model.work.layout.maps_size)
    share(
        lambda tickets, parts: extract_features(
            tickets, parts, flat, work.levels, work.planes,
            model.ifce_weights, model.ifce_biases, maps,
        ),
        work.features,
        threads,
    )  # fmt: skip
    return maps


def _extractors_backward(
    model: EntropyModel, flat: Floats, maps_gradient: Floats, threads: int
) -> list[Floats]:
    """Carry the maps' gradient to the coarser levels; return that of the weights and biases."""
    work = model.work
    n_extractors, n_features, n_inputs = model.ifce_weights.shape
    sums = np.zeros((n_extractors, n_features, n_inputs + 1))
    share(
        lambda tickets, parts: extract_features_backward(
            tickets, parts, flat, work.levels, work.planes, maps_gradient, sums
        ),
        work.features,
        threads,
    )
    found = sums.astype(np.float32)
    # An extractor reads one main grid less than the one before it.
    return [
        part for i, total in enumerate(found) for part in (total[:, : n_inputs - i], total[:, -1])
    ]
