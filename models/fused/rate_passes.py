"""The entropy model's kernels, run over all grids of an image: rate, bits, and gradients.

Everything is NumPy; `givre.models.fused.rate` makes torch's functions of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from givre.models.architecture import Architecture
from givre.models.fused.arm_kernels import MARGIN, Integers, arm_rate, arm_rate_and_gradient
from givre.models.fused.block_products import Floats
from givre.models.fused.ifce_kernels import (
    collect_gradient,
    extract_feature,
    extract_feature_backward,
)
from givre.models.fused.pool import run_tasks
from givre.models.fused.rate_layout import ArmWeights, Layout, arm_weights, layout
from givre.models.geometry import Grid

_NOTHING = np.empty(0, np.float32)


@dataclass(frozen=True)
class EntropyModel:
    """Geometry and weights of one image's entropy model.

    Attributes:
        arch: shapes.
        layout: where latents and feature maps lie.
        arm: packed weights.
        ifce: weight (F, n_in) and bias (F,) of each extractor.
    """

    arch: Architecture
    layout: Layout
    arm: ArmWeights
    ifce: tuple[tuple[Floats, Floats], ...]


@dataclass(frozen=True)
class RateGradient:
    """Gradient of the rate in bits.

    Attributes:
        latents: (H_i, W_i) each.
        parameters: in the order of `entropy_model`'s parameters.
    """

    latents: list[Floats]
    parameters: list[Floats]


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
    rest = parameters[2 * n + 3 :]
    return EntropyModel(
        arch,
        layout(arch, grids),
        arm_weights(hidden, bias, output, output_bias, stabiliser),
        tuple(zip(rest[0::2], rest[1::2], strict=True)),
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
    places, tasks = model.layout.places, model.layout.tasks
    flat = model.layout.padded(latents)
    maps = _feature_maps(model, flat, threads)
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


def rate_and_gradient(
    model: EntropyModel, latents: Sequence[Floats], threads: int
) -> tuple[float, RateGradient]:
    """Bits of all latents together, and the gradient by latents and parameters."""
    places, tasks = model.layout.places, model.layout.tasks
    flat = model.layout.padded(latents)
    maps = _feature_maps(model, flat, threads)
    maps_gradient = np.empty_like(maps)
    found: list[Floats] = [_NOTHING] * len(tasks)
    sums = np.zeros((len(tasks), model.arm.n_sums), np.float32)
    totals = np.zeros(len(tasks))

    def rows(task: int) -> None:
        i, chunk = tasks[task]
        first, last = places[i].row_chunks[chunk]
        found[task] = np.empty((MARGIN + last - first) * places[i].stride, np.float32)
        w = model.arm
        totals[task] = arm_rate_and_gradient(
            flat, places[i].rows(first, last), places[i].neighbours, maps,
            w.hidden, w.hidden_transposed, w.hidden_bias, w.output, w.output_bias, w.stabiliser,
            found[task], maps_gradient, sums[task],
        )  # fmt: skip

    run_tasks(rows, len(tasks), threads)
    arm_sums = sums.sum(axis=0, dtype=np.float64).astype(np.float32)
    hidden, bias, output, output_bias, stabiliser = model.arm.unpack(arm_sums)
    parameters = [part for pair in zip(hidden, bias, strict=True) for part in pair]
    parameters += [output, output_bias, stabiliser]
    parameters += _extractors_backward(model, flat, maps_gradient, threads)
    return float(totals.sum()), RateGradient(
        _latents_gradient(model, found, maps_gradient, threads), parameters
    )


def _feature_maps(model: EntropyModel, flat: Floats, threads: int) -> Floats:
    maps = np.empty(model.layout.maps_size, np.float32)
    n_features = model.arch.n_features

    def one(task: int) -> None:
        level, feature = divmod(task, n_features)
        extractor, (weight, bias) = model.layout.extractors[level], model.ifce[level]
        extract_feature(
            flat, extractor.levels, extractor.planes, weight[feature], bias[feature], feature, maps
        )

    run_tasks(one, len(model.ifce) * n_features, threads)
    return maps


def _extractors_backward(
    model: EntropyModel, flat: Floats, maps_gradient: Floats, threads: int
) -> list[Floats]:
    """Carry the maps' gradient to the coarser levels; return that of the weights and biases."""
    n_features = model.arch.n_features
    sums = [np.zeros((n_features, weight.shape[1] + 1)) for weight, _ in model.ifce]

    def one(task: int) -> None:
        level, feature = divmod(task, n_features)
        extractor = model.layout.extractors[level]
        extract_feature_backward(
            flat, extractor.levels, extractor.planes, feature, maps_gradient, sums[level][feature]
        )

    run_tasks(one, len(model.ifce) * n_features, threads)
    parts = [part for total in sums for part in (total[:, :-1], total[:, -1])]
    return [part.astype(np.float32) for part in parts]


def _latents_gradient(
    model: EntropyModel, found: list[Floats], maps_gradient: Floats, threads: int
) -> list[Floats]:
    """Add up what the grids' chunks and the extractors contribute."""
    places, tasks = model.layout.places, model.layout.tasks
    gradients = [np.empty((p.grid.height, p.grid.width), np.float32) for p in places]
    readers = [_readers(model, place.grid) for place in places]

    def rows(task: int) -> None:
        i, chunk = tasks[task]
        first, last = places[i].row_chunks[chunk]
        follows = chunk + 1 < len(places[i].row_chunks)
        collect_gradient(
            found[task], found[task + 1] if follows else _NOTHING, places[i].stride, first, last,
            maps_gradient, *readers[i], gradients[i],
        )  # fmt: skip

    run_tasks(rows, len(tasks), threads)
    return gradients


def _readers(model: EntropyModel, grid: Grid) -> tuple[Integers, Floats]:
    """Where the maps are that a grid is part of, and its weights in them."""
    sources, factors = [], []
    for level in range(min(len(model.ifce), grid.level)):
        extractor = model.layout.extractors[level]
        row = grid.level - level - 1
        numbers = extractor.levels[row]
        sources.append((numbers[7], numbers[8], extractor.planes[row]))
        factors.append(model.ifce[level][0][:, numbers[6 if grid.hyper else 5]])
    n = len(sources)
    shape = (n, model.arch.n_features)
    return (
        np.array(sources, np.int64).reshape(n, 3),
        np.array(factors, np.float32).reshape(shape),
    )
