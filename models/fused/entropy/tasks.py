"""The entropy model's work on an image cut into tasks, and kernels that do several in one call.

A task is some rows of a grid. Those of coarse grids take less time than a call from Python, so
tasks come in batches of about the same size. All tables depend on geometry alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from givre.models.architecture import Architecture
from givre.models.compiled.kernel import kernel
from givre.models.compiled.pool import join, parts_of
from givre.models.compiled.tickets import Parts, Tickets, next_ticket
from givre.models.compiled.types import (
    FLAGS,
    Doubles1,
    Doubles3,
    Floats1,
    Floats2,
    Floats3,
    Integers,
    Integers2,
    Integers3,
)
from givre.models.fused.entropy.arm import MARGIN, arm_rate_and_gradient
from givre.models.fused.entropy.ifce import (
    collect_gradient,
    extract_feature,
    extract_feature_backward,
)
from givre.models.fused.entropy.layout import GridPlace, Layout, layout
from givre.models.geometry import Grid

_BATCH = 1 << 13
"""Latents, with the padding of their rows, that a batch has at least."""

_COLLECTED = 1 << 15
"""The same for `collect_tasks`, which does far less work with each."""

_FEATURE_BATCH = 1 << 15
"""Samples of feature maps that a batch of features has at least."""


@dataclass(frozen=True)
class RateTasks:
    """Tables of an image's tasks.

    Attributes:
        layout: where latents and feature maps lie.
        tasks: int64 (n, 15), a row for each task: the 9 numbers of `GridPlace.rows`; grid; where
            its own gradient starts and ends in the flat buffer of those; where the grid's gradient
            starts in the flat buffer of gradients; first and last of the grid's sources, the
            latter excluded.
        neighbours: int64 (grids, n_spatial), `GridPlace.neighbours`.
        sources: int64 (m, 5), feature maps that grids are part of: start, stride and distance of
            the maps of an extractor's features; extractor; column of its weight.
        levels: int64 (extractors, L - 1, 9), `Extractor.levels`, the later ones shorter.
        planes: int64 (extractors, L - 1), `Extractor.planes`, likewise.
        batches: parts of tasks for `arm_tasks`.
        collected: parts of tasks for `collect_tasks`.
        features: parts of features, counted through all extractors.
        own_size: of the flat buffer of the tasks' own gradients.
    """

    layout: Layout
    tasks: Integers
    neighbours: Integers
    sources: Integers
    levels: Integers
    planes: Integers
    batches: Parts
    collected: Parts
    features: Parts
    own_size: int


@lru_cache(maxsize=16)
def rate_tasks(arch: Architecture, grids: tuple[Grid, ...]) -> RateTasks:
    """Tables for the grids of `geometry.grids`."""
    lay = layout(arch, grids)
    rows: list[list[int]] = []
    sources: list[tuple[int, ...]] = []
    own_start = gradient_start = 0
    for i, place in enumerate(lay.places):
        first_source = len(sources)
        sources += _sources(lay, place)
        for first, last in place.row_chunks:
            own_end = own_start + (MARGIN + last - first) * place.stride
            numbers = (i, own_start, own_end, gradient_start, first_source, len(sources))
            rows.append([*place.rows(first, last), *numbers])
            own_start = own_end
        gradient_start += place.grid.height * place.grid.width
    tasks = np.array(rows, np.int64)
    own_sizes = [int(size) for size in tasks[:, 11] - tasks[:, 10]]
    levels = np.full((arch.n_ifce, arch.n_levels - 1, 9), -1, np.int64)
    planes = np.zeros((arch.n_ifce, arch.n_levels - 1), np.int64)
    for i, extractor in enumerate(lay.extractors):
        levels[i, : len(extractor.levels)] = extractor.levels
        planes[i, : len(extractor.planes)] = extractor.planes
    feature_sizes = [int(size) for size in planes.sum(axis=1) for _ in range(arch.n_features)]
    return RateTasks(
        layout=lay,
        tasks=tasks,
        neighbours=np.array([place.neighbours for place in lay.places], np.int64),
        sources=np.array(sources, np.int64).reshape(-1, 5),
        levels=levels,
        planes=planes,
        batches=parts_of(join(own_sizes, _BATCH)),
        collected=parts_of(join(own_sizes, _COLLECTED)),
        features=parts_of(join(feature_sizes, _FEATURE_BATCH)),
        own_size=own_start,
    )


def _sources(lay: Layout, place: GridPlace) -> list[tuple[int, ...]]:
    """Rows of `RateTasks.sources` for one grid."""
    found: list[tuple[int, ...]] = []
    for level in range(min(len(lay.extractors), place.grid.level)):
        extractor = lay.extractors[level]
        row = place.grid.level - level - 1
        numbers = extractor.levels[row]
        column = numbers[6 if place.grid.hyper else 5]
        found.append((numbers[7], numbers[8], extractor.planes[row], level, column))
    return found


@kernel(fastmath=FLAGS)
def arm_tasks(
    tickets: Tickets, parts: Parts, tasks: Integers2, neighbours: Integers2, latents: Floats1,
    maps: Floats1, hidden: Floats3, hidden_transposed: Floats3, hidden_bias: Floats2, output: Floats2,
    output_bias: Floats1, stabiliser: Floats2, own: Floats1, maps_gradient: Floats1, sums: Floats2,
    totals: Doubles1,
) -> None:  # fmt: skip
    """Do tasks of `arm_kernels.arm_rate_and_gradient`.

    Args:
        tickets: see `givre.models.compiled.tickets`.
        parts: likewise; of tasks.
        tasks: `RateTasks.tasks`.
        neighbours: `RateTasks.neighbours`.
        latents: see `arm_rate_and_gradient`, as everything up to `stabiliser`.
        maps: likewise.
        hidden: likewise.
        hidden_transposed: likewise.
        hidden_bias: likewise.
        output: likewise.
        output_bias: likewise.
        stabiliser: likewise.
        own: (own_size,), the tasks' gradients by the latents are written.
        maps_gradient: by the feature maps, flat, written.
        sums: (n, n_sums), a row for each task, zero before, written.
        totals: (n,), bits of each task, written.
    """
    part = next_ticket(tickets)
    while part < parts.shape[0]:
        for task in range(parts[part, 0], parts[part, 1]):
            totals[task] = arm_rate_and_gradient(
                latents, tasks[task, :9], neighbours[tasks[task, 9]], maps, hidden,
                hidden_transposed, hidden_bias, output, output_bias, stabiliser,
                own[tasks[task, 10] : tasks[task, 11]], maps_gradient, sums[task],
            )  # fmt: skip
        part = next_ticket(tickets)


@kernel(fastmath=FLAGS)
def collect_tasks(
    tickets: Tickets, parts: Parts, tasks: Integers2, own: Floats1, maps_gradient: Floats1,
    sources: Integers2, weights: Floats3, scale: np.float32, gradient: Floats1,
) -> None:  # fmt: skip
    """Add up the gradient of the latents of tasks.

    Args:
        tickets: see `givre.models.compiled.tickets`.
        parts: likewise; of tasks.
        tasks: `RateTasks.tasks`.
        own: (own_size,), of `arm_tasks`.
        maps_gradient: flat.
        sources: `RateTasks.sources`.
        weights: (extractors, F, n_in).
        scale: of the gradient.
        gradient: of all grids, flat; the gradient of the tasks' rows is added.
    """
    part = next_ticket(tickets)
    while part < parts.shape[0]:
        for task in range(parts[part, 0], parts[part, 1]):
            width, stride = tasks[task, 1], tasks[task, 2]
            first_row, last_row = tasks[task, 7], tasks[task, 8]
            follows = task + 1 < tasks.shape[0] and tasks[task + 1, 9] == tasks[task, 9]
            end = tasks[task + 1, 11] if follows else tasks[task, 11]
            start = tasks[task, 12]
            rows = gradient[start + first_row * width : start + last_row * width]
            collect_gradient(
                own[tasks[task, 10] : tasks[task, 11]], own[tasks[task, 11] : end], stride,
                first_row, last_row, maps_gradient, sources[tasks[task, 13] : tasks[task, 14]],
                weights, scale, rows.reshape(last_row - first_row, width),
            )  # fmt: skip
        part = next_ticket(tickets)


@kernel(fastmath=FLAGS)
def extract_features(
    tickets: Tickets, parts: Parts, latents: Floats1, levels: Integers3, planes: Integers2,
    weights: Floats3, biases: Floats2, maps: Floats1,
) -> None:  # fmt: skip
    """Compute the pyramids of features, counted through all extractors.

    Args:
        tickets: see `givre.models.compiled.tickets`.
        parts: likewise; of features.
        latents: padded grids, flat.
        levels: `RateTasks.levels`.
        planes: `RateTasks.planes`.
        weights: (extractors, F, n_in).
        biases: (extractors, F).
        maps: flat, written.
    """
    n_features = weights.shape[1]
    part = next_ticket(tickets)
    while part < parts.shape[0]:
        for task in range(parts[part, 0], parts[part, 1]):
            i, feature = task // n_features, task % n_features
            n = levels.shape[1] - i
            extract_feature(
                latents, levels[i, :n], planes[i, :n], weights[i, feature], biases[i, feature],
                feature, maps,
            )  # fmt: skip
        part = next_ticket(tickets)


@kernel(fastmath=FLAGS)
def extract_features_backward(
    tickets: Tickets, parts: Parts, latents: Floats1, levels: Integers3, planes: Integers2,
    maps_gradient: Floats1, sums: Doubles3,
) -> None:  # fmt: skip
    """Carry the gradient of features to all their maps and their weights.

    Args:
        tickets: see `givre.models.compiled.tickets`.
        parts: likewise; of features.
        latents: padded grids, flat.
        levels: `RateTasks.levels`.
        planes: `RateTasks.planes`.
        maps_gradient: flat; the finest levels are read, the others written.
        sums: (extractors, F, n_in + 1), by the weights and last by the bias; zero before, written.
    """
    n_features = sums.shape[1]
    part = next_ticket(tickets)
    while part < parts.shape[0]:
        for task in range(parts[part, 0], parts[part, 1]):
            i, feature = task // n_features, task % n_features
            n = levels.shape[1] - i
            extract_feature_backward(
                latents, levels[i, :n], planes[i, :n], feature, maps_gradient, sums[i, feature]
            )
        part = next_ticket(tickets)
