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
from givre.models.compiled.types import FLAGS, Doubles3, Floats1, Floats3, Integers, Integers3
from givre.models.context import CONTEXT_REACH
from givre.models.fused.entropy.arm import arm_rate_and_gradient
from givre.models.fused.entropy.ifce import (
    collect_gradient,
    extract_feature,
    extract_feature_backward,
)
from givre.models.fused.entropy.layout import GridPlace, Layout, layout
from givre.models.fused.entropy.tables import (
    LEVEL_HYPER_INPUT,
    LEVEL_MAIN_INPUT,
    LEVEL_MAP,
    LEVEL_MAP_STRIDE,
    LEVEL_PLANE,
    N_LEVEL_COLUMNS,
    N_SOURCE_COLUMNS,
    N_TASK_COLUMNS,
    SOURCE_EXTRACTOR,
    SOURCE_INPUT,
    SOURCE_MAP,
    SOURCE_MAP_STRIDE,
    SOURCE_PLANE,
    TASK_END_SOURCE,
    TASK_FEATURES,
    TASK_FIRST,
    TASK_FIRST_SOURCE,
    TASK_GRADIENT,
    TASK_GRID,
    TASK_LAST,
    TASK_MAP,
    TASK_MAP_STRIDE,
    TASK_OWN_END,
    TASK_OWN_START,
    TASK_PLANE,
    TASK_START,
    TASK_STRIDE,
    TASK_WIDTH,
    RateInputs,
    RateResults,
    RateTables,
)
from givre.models.fused.entropy.weights import ArmWeights, IfceWeights
from givre.models.geometry import Grid

_BATCH = 1 << 13
"""Latents, with the padding of their rows, that a batch has at least."""

_COLLECTED = 1 << 15
"""The same for `collect_tasks`, which does far less work with each."""

_FEATURE_BATCH = 1 << 15
"""Samples of feature maps that a batch of features has at least."""


@dataclass(frozen=True)
class RateTasks:
    """An image's tasks.

    Attributes:
        layout: where latents and feature maps lie.
        tables: the same for the kernels.
        batches: parts of tasks for `arm_tasks`.
        collected: parts of tasks for `collect_tasks`.
        features: parts of features, counted through all extractors.
        own_size: of the flat buffer of the tasks' own gradients.
    """

    layout: Layout
    tables: RateTables
    batches: Parts
    collected: Parts
    features: Parts
    own_size: int


@lru_cache(maxsize=16)
def rate_tasks(arch: Architecture, grids: tuple[Grid, ...]) -> RateTasks:
    """Tables for the grids of `geometry.grids`."""
    lay = layout(arch, grids)
    rows: list[Integers] = []
    sources: list[Integers] = []
    own_start = gradient_start = 0
    for i, place in enumerate(lay.places):
        first_source = len(sources)
        sources += _sources(lay, place)
        for first, last in place.row_chunks:
            row = _task(place, first, last)
            row[TASK_GRID], row[TASK_GRADIENT] = i, gradient_start
            row[TASK_FIRST_SOURCE], row[TASK_END_SOURCE] = first_source, len(sources)
            row[TASK_OWN_START] = own_start
            own_start += (CONTEXT_REACH + last - first) * place.stride
            row[TASK_OWN_END] = own_start
            rows.append(row)
        gradient_start += place.grid.height * place.grid.width
    own_sizes = [int(row[TASK_OWN_END] - row[TASK_OWN_START]) for row in rows]
    levels = np.full((arch.n_ifce, arch.n_levels - 1, N_LEVEL_COLUMNS), -1, np.int64)
    for i, extractor in enumerate(lay.extractors):
        levels[i, : len(extractor.levels)] = extractor.levels
    feature_sizes = [
        int(extractor.planes.sum()) for extractor in lay.extractors for _ in range(arch.n_features)
    ]
    tables = RateTables(
        tasks=np.array(rows),
        neighbours=np.array([place.neighbours for place in lay.places], np.int64),
        sources=np.array(sources, np.int64).reshape(-1, N_SOURCE_COLUMNS),
        levels=levels,
    )
    return RateTasks(
        layout=lay,
        tables=tables,
        batches=parts_of(join(own_sizes, _BATCH)),
        collected=parts_of(join(own_sizes, _COLLECTED)),
        features=parts_of(join(feature_sizes, _FEATURE_BATCH)),
        own_size=own_start,
    )


def _task(place: GridPlace, first: int, last: int) -> Integers:
    """The columns that say which rows of the flat buffers a task reads."""
    row = np.zeros(N_TASK_COLUMNS, np.int64)
    row[TASK_START], row[TASK_WIDTH], row[TASK_STRIDE] = place.start, place.grid.width, place.stride
    row[TASK_FEATURES], row[TASK_MAP] = place.n_features, place.feature_start
    row[TASK_PLANE], row[TASK_MAP_STRIDE] = place.plane, place.feature_stride
    row[TASK_FIRST], row[TASK_LAST] = first, last
    return row


def _sources(lay: Layout, place: GridPlace) -> list[Integers]:
    """Rows of `RateTables.sources` for one grid."""
    found: list[Integers] = []
    for number, extractor in enumerate(lay.extractors[: place.grid.level]):
        level = extractor.levels[place.grid.level - number - 1]
        row = np.empty(N_SOURCE_COLUMNS, np.int64)
        row[SOURCE_MAP], row[SOURCE_MAP_STRIDE] = level[LEVEL_MAP], level[LEVEL_MAP_STRIDE]
        row[SOURCE_PLANE], row[SOURCE_EXTRACTOR] = level[LEVEL_PLANE], number
        row[SOURCE_INPUT] = level[LEVEL_HYPER_INPUT if place.grid.hyper else LEVEL_MAIN_INPUT]
        found.append(row)
    return found


@kernel(fastmath=FLAGS)
def arm_tasks(
    tickets: Tickets,
    parts: Parts,
    tables: RateTables,
    inputs: RateInputs,
    weights: ArmWeights,
    results: RateResults,
) -> None:
    """Do tasks of `givre.models.fused.entropy.arm.arm_rate_and_gradient`.

    Args:
        tickets: shared by all threads.
        parts: of tasks.
        tables: of the image.
        inputs: latents and maps.
        weights: of the ARM.
        results: written.
    """
    part = next_ticket(tickets)
    while part < parts.shape[0]:
        for i in range(parts[part, 0], parts[part, 1]):
            task = tables.tasks[i]
            results.bits[i] = arm_rate_and_gradient(
                task,
                tables.neighbours[task[TASK_GRID]],
                inputs,
                weights,
                results.own[task[TASK_OWN_START] : task[TASK_OWN_END]],
                results.maps,
                results.sums[i],
            )
        part = next_ticket(tickets)


@kernel(fastmath=FLAGS)
def collect_tasks(
    tickets: Tickets,
    parts: Parts,
    tables: RateTables,
    results: RateResults,
    weights: Floats3,
    scale: np.float32,
    gradient: Floats1,
) -> None:
    """Add up the gradient of the latents of tasks.

    Args:
        tickets: shared by all threads.
        parts: of tasks.
        tables: of the image.
        results: of `arm_tasks`, the maps' gradient on all levels.
        weights: (extractors, F, n_in), of the inter-feature extractors.
        scale: of the gradient.
        gradient: of all grids, flat; the gradient of the tasks' rows is added.
    """
    tasks = tables.tasks
    part = next_ticket(tickets)
    while part < parts.shape[0]:
        for i in range(parts[part, 0], parts[part, 1]):
            task = tasks[i]
            width, n_rows = task[TASK_WIDTH], task[TASK_LAST] - task[TASK_FIRST]
            own_end = end = task[TASK_OWN_END]
            if i + 1 < tasks.shape[0] and tasks[i + 1, TASK_GRID] == task[TASK_GRID]:
                end = tasks[i + 1, TASK_OWN_END]
            start = task[TASK_GRADIENT] + task[TASK_FIRST] * width
            collect_gradient(
                results.own[task[TASK_OWN_START] : own_end],
                results.own[own_end:end],
                task,
                results.maps,
                tables.sources[task[TASK_FIRST_SOURCE] : task[TASK_END_SOURCE]],
                weights,
                scale,
                gradient[start : start + n_rows * width].reshape(n_rows, width),
            )
        part = next_ticket(tickets)


@kernel(fastmath=FLAGS)
def extract_features(
    tickets: Tickets,
    parts: Parts,
    levels: Integers3,
    latents: Floats1,
    weights: IfceWeights,
    maps: Floats1,
) -> None:
    """Compute the pyramids of features, counted through all extractors.

    Args:
        tickets: shared by all threads.
        parts: of features.
        levels: `RateTables.levels`.
        latents: padded grids, flat.
        weights: of the extractors.
        maps: flat, written.
    """
    n_features = weights.biases.shape[1]
    part = next_ticket(tickets)
    while part < parts.shape[0]:
        for task in range(parts[part, 0], parts[part, 1]):
            i, feature = task // n_features, task % n_features
            extract_feature(
                latents,
                levels[i, : levels.shape[1] - i],
                weights.weights[i, feature],
                weights.biases[i, feature],
                feature,
                maps,
            )
        part = next_ticket(tickets)


@kernel(fastmath=FLAGS)
def extract_features_backward(
    tickets: Tickets,
    parts: Parts,
    levels: Integers3,
    latents: Floats1,
    maps_gradient: Floats1,
    sums: Doubles3,
) -> None:
    """Carry the gradient of features to all their maps and their weights.

    Args:
        tickets: shared by all threads.
        parts: of features.
        levels: `RateTables.levels`.
        latents: padded grids, flat.
        maps_gradient: flat; the finest levels are read, the others written.
        sums: (extractors, F, n_in + 1), by the weights and last by the bias; zero before, written.
    """
    n_features = sums.shape[1]
    part = next_ticket(tickets)
    while part < parts.shape[0]:
        for task in range(parts[part, 0], parts[part, 1]):
            i, feature = task // n_features, task % n_features
            extract_feature_backward(
                latents, levels[i, : levels.shape[1] - i], feature, maps_gradient, sums[i, feature]
            )
        part = next_ticket(tickets)
