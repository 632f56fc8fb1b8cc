"""Kernels of the inter-feature contexts, and the gradient of a latent grid from all its uses.

A feature of a fine grid is a weighted sum of all coarser grids y_i, stretched to one size by
repeating samples (the inter-feature context extractor, IFCE, of Cool-chic 5):

    map_f = b_f + sum over i of w_(f,i) stretched(y_i)

It is computed on a pyramid: the sum over the coarsest grids first, at their own size, then doubled
for the next finer ones. With m_l the map on level l, and y_l and z_l the main and the hyper grid
of that level:

    m_l[r, x] = m_(l+1)[r // 2, x // 2] + w_y y_l[r, x] + w_z z_l[r, x]        (b_f on the coarsest)

So every grid is read once and at its own size, and the gradient goes the same way back: that of
m_(l+1) is the sum over each sample's four repetitions.
"""

from __future__ import annotations

import numpy as np

from givre.models.compiled.kernel import kernel_part
from givre.models.compiled.loops import fill
from givre.models.compiled.types import FLAGS, Doubles, Floats, Integers
from givre.models.context import CONTEXT_REACH
from givre.models.fused.entropy.tables import (
    LEVEL_HEIGHT,
    LEVEL_HYPER,
    LEVEL_HYPER_INPUT,
    LEVEL_MAIN,
    LEVEL_MAIN_INPUT,
    LEVEL_MAP,
    LEVEL_MAP_STRIDE,
    LEVEL_PLANE,
    LEVEL_STRIDE,
    LEVEL_WIDTH,
    SOURCE_EXTRACTOR,
    SOURCE_INPUT,
    SOURCE_MAP,
    SOURCE_MAP_STRIDE,
    SOURCE_PLANE,
    TASK_FIRST,
    TASK_LAST,
    TASK_STRIDE,
)

_ZERO = np.float32(0)


@kernel_part(fastmath=FLAGS)
def _add_scaled(target: Floats, source: Floats, factor: np.float32) -> None:
    for x in range(target.shape[0]):
        target[x] += factor * source[x]


@kernel_part(fastmath=FLAGS)
def _dot(a: Floats, b: Floats) -> np.float32:
    total = _ZERO
    for x in range(a.shape[0]):
        total += a[x] * b[x]
    return total


@kernel_part(fastmath=FLAGS)
def _double(coarse: Floats, fine: Floats) -> None:
    """Repeat every sample of a row twice; what the row has beyond becomes zero."""
    for x in range(coarse.shape[0]):
        value = coarse[x]
        fine[2 * x] = value
        fine[2 * x + 1] = value
    fine[2 * coarse.shape[0] :] = _ZERO


@kernel_part(fastmath=FLAGS)
def _add_pairs(fine: Floats, coarse: Floats) -> None:
    """Add to every sample of a row the two that it was repeated to."""
    for x in range(coarse.shape[0]):
        coarse[x] += fine[2 * x] + fine[2 * x + 1]


@kernel_part(fastmath=FLAGS)
def _map_start(level: Integers, feature: int) -> int:
    """Index of a feature's map on a level."""
    return int(level[LEVEL_MAP] + feature * level[LEVEL_PLANE])


@kernel_part(fastmath=FLAGS)
def extract_feature(
    latents: Floats,
    levels: Integers,
    weight: Floats,
    bias: np.float32,
    feature: int,
    maps: Floats,
) -> None:
    """Compute the pyramid of maps of one feature.

    Args:
        latents: padded grids, flat.
        levels: (n, 10), columns LEVEL_..., of the extractor.
        weight: (n_in,), of this feature.
        bias: of this feature.
        feature: its number.
        maps: flat; the feature's maps are written, columns beyond a grid's width with zeros.
    """
    n_levels = levels.shape[0]
    for i in range(n_levels - 1, -1, -1):
        level = levels[i]
        height, width = level[LEVEL_HEIGHT], level[LEVEL_WIDTH]
        map_stride, start = level[LEVEL_MAP_STRIDE], _map_start(level, feature)
        for y in range(height):
            row = maps[start + y * map_stride : start + (y + 1) * map_stride]
            if i == n_levels - 1:
                fill(row, bias)
            else:
                coarser = levels[i + 1]
                above = _map_start(coarser, feature) + y // 2 * coarser[LEVEL_MAP_STRIDE]
                _double(maps[above : above + coarser[LEVEL_WIDTH]], row)
            inside = row[:width]
            at = level[LEVEL_MAIN] + y * level[LEVEL_STRIDE]
            _add_scaled(inside, latents[at : at + width], weight[level[LEVEL_MAIN_INPUT]])
            if level[LEVEL_HYPER] >= 0:
                at = level[LEVEL_HYPER] + y * level[LEVEL_STRIDE]
                _add_scaled(inside, latents[at : at + width], weight[level[LEVEL_HYPER_INPUT]])
            fill(row[width:], _ZERO)


@kernel_part(fastmath=FLAGS)
def extract_feature_backward(
    latents: Floats, levels: Integers, feature: int, gradient: Floats, sums: Doubles
) -> None:
    """Gradient of one feature's maps on all levels, and of its weights.

    Args:
        latents: padded grids, flat.
        levels: (n, 10), columns LEVEL_..., of the extractor.
        feature: its number.
        gradient: flat, as the maps; the finest level is read, the others are written.
        sums: (n_in + 1,), by the weights and by the bias; zero before, written.
    """
    n_levels = levels.shape[0]
    for i in range(n_levels):
        level = levels[i]
        height, width = level[LEVEL_HEIGHT], level[LEVEL_WIDTH]
        map_stride, start = level[LEVEL_MAP_STRIDE], _map_start(level, feature)
        for y in range(height):
            row = gradient[start + y * map_stride : start + y * map_stride + width]
            at = level[LEVEL_MAIN] + y * level[LEVEL_STRIDE]
            sums[level[LEVEL_MAIN_INPUT]] += _dot(row, latents[at : at + width])
            if level[LEVEL_HYPER] >= 0:
                at = level[LEVEL_HYPER] + y * level[LEVEL_STRIDE]
                sums[level[LEVEL_HYPER_INPUT]] += _dot(row, latents[at : at + width])
            if i == n_levels - 1:
                sums[sums.shape[0] - 1] += row.sum()
            else:
                coarser = levels[i + 1]
                at = _map_start(coarser, feature) + y // 2 * coarser[LEVEL_MAP_STRIDE]
                target = gradient[at : at + coarser[LEVEL_MAP_STRIDE]]
                if y % 2 == 0:
                    fill(target, _ZERO)
                # The columns beyond the width are zero, so an odd width needs no special case.
                pairs = target[: coarser[LEVEL_WIDTH]]
                at = start + y * map_stride
                _add_pairs(gradient[at : at + map_stride], pairs)


@kernel_part(fastmath=FLAGS)
def collect_gradient(
    chunk: Floats,
    next_chunk: Floats,
    task: Integers,
    maps_gradient: Floats,
    sources: Integers,
    weights: Floats,
    scale: np.float32,
    gradient: Floats,
) -> None:
    """Add up the gradient of some rows of a grid.

    Args:
        chunk: the rows' own gradients, CONTEXT_REACH rows above included, padded, flat; of
            `givre.models.fused.entropy.arm.arm_rate_and_gradient`.
        next_chunk: the same of the rows that follow, or the empty array.
        task: columns TASK_..., which rows they are.
        maps_gradient: flat.
        sources: (n, 5), columns SOURCE_..., the extractors that read the grid.
        weights: (extractors, F, n_in).
        scale: of the gradient.
        gradient: (rows, W); the rows' gradient is added.
    """
    stride, first, last = task[TASK_STRIDE], task[TASK_FIRST], task[TASK_LAST]
    width = gradient.shape[1]
    row = np.empty(width, np.float32)
    for y in range(first, last):
        at = (y - first + CONTEXT_REACH) * stride + CONTEXT_REACH
        own = chunk[at : at + width]
        for x in range(width):
            row[x] = own[x]
        if next_chunk.shape[0] > 0 and y >= last - CONTEXT_REACH:
            at = (y - (last - CONTEXT_REACH)) * stride + CONTEXT_REACH
            _add_scaled(row, next_chunk[at : at + width], np.float32(1))
        for i in range(sources.shape[0]):
            source = sources[i]
            extractor, column = source[SOURCE_EXTRACTOR], source[SOURCE_INPUT]
            for feature in range(weights.shape[1]):
                start = source[SOURCE_MAP] + feature * source[SOURCE_PLANE]
                at = start + y * source[SOURCE_MAP_STRIDE]
                factor = weights[extractor, feature, column]
                _add_scaled(row, maps_gradient[at : at + width], factor)
        _add_scaled(gradient[y - first], row, scale)
