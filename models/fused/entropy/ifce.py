"""Kernels of the inter-feature contexts, and the gradient of a latent grid from all its uses.

A feature is a weighted sum of grids that are stretched to one size. It is computed on a pyramid:
the sum over the coarsest grids first, at their own size, then doubled for the next finer ones. So
every grid is read once and at its own size, and the gradient goes the same way back.
"""

from __future__ import annotations

import numpy as np

from givre.models.compiled.kernel import kernel, kernel_part
from givre.models.compiled.types import (
    FLAGS,
    Doubles1,
    Floats,
    Floats1,
    Floats2,
    Floats3,
    Integers1,
    Integers2,
)
from givre.models.fused.entropy.arm import MARGIN

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


@kernel(fastmath=FLAGS)
def extract_feature(
    latents: Floats1, levels: Integers2, planes: Integers1, weight: Floats1, bias: np.float32,
    feature: int, maps: Floats1,
) -> None:  # fmt: skip
    """Compute the pyramid of maps of one feature.

    Args:
        latents: padded grids, flat.
        levels: `rate_layout.Extractor.levels`.
        planes: `rate_layout.Extractor.planes`.
        weight: (n_in,), of this feature.
        bias: of this feature.
        feature: its number.
        maps: flat; the feature's maps are written, columns beyond a grid's width with zeros.
    """
    n_levels = levels.shape[0]
    for i in range(n_levels - 1, -1, -1):
        height, width, main, stride, hyper = (
            levels[i, 0], levels[i, 1], levels[i, 2], levels[i, 3], levels[i, 4],
        )  # fmt: skip
        map_stride = levels[i, 8]
        start = levels[i, 7] + feature * planes[i]
        for y in range(height):
            row = maps[start + y * map_stride : start + (y + 1) * map_stride]
            if i == n_levels - 1:
                row[:] = bias
            else:
                above = levels[i + 1, 7] + feature * planes[i + 1] + y // 2 * levels[i + 1, 8]
                _double(maps[above : above + levels[i + 1, 1]], row)
            inside = row[:width]
            at = main + y * stride
            _add_scaled(inside, latents[at : at + width], weight[levels[i, 5]])
            if hyper >= 0:
                at = hyper + y * stride
                _add_scaled(inside, latents[at : at + width], weight[levels[i, 6]])
            row[width:] = _ZERO


@kernel(fastmath=FLAGS)
def extract_feature_backward(
    latents: Floats1, levels: Integers2, planes: Integers1, feature: int, gradient: Floats1,
    sums: Doubles1,
) -> None:  # fmt: skip
    """Gradient of one feature's maps on all levels, and of its weights.

    Args:
        latents: padded grids, flat.
        levels: `rate_layout.Extractor.levels`.
        planes: `rate_layout.Extractor.planes`.
        feature: its number.
        gradient: flat, as the maps; the finest level is read, the others are written.
        sums: (n_in + 1,), by the weights and by the bias; zero before, written.
    """
    n_levels = levels.shape[0]
    for i in range(n_levels):
        height, width, main, stride, hyper = (
            levels[i, 0], levels[i, 1], levels[i, 2], levels[i, 3], levels[i, 4],
        )  # fmt: skip
        map_stride = levels[i, 8]
        start = levels[i, 7] + feature * planes[i]
        for y in range(height):
            row = gradient[start + y * map_stride : start + y * map_stride + width]
            at = main + y * stride
            sums[levels[i, 5]] += _dot(row, latents[at : at + width])
            if hyper >= 0:
                at = hyper + y * stride
                sums[levels[i, 6]] += _dot(row, latents[at : at + width])
            if i == n_levels - 1:
                sums[sums.shape[0] - 1] += row.sum()
            else:
                at = levels[i + 1, 7] + feature * planes[i + 1] + y // 2 * levels[i + 1, 8]
                target = gradient[at : at + levels[i + 1, 8]]
                if y % 2 == 0:
                    target[:] = _ZERO
                # The columns beyond the width are zero, so an odd width needs no special case.
                pairs = target[: levels[i + 1, 1]]
                at = start + y * map_stride
                _add_pairs(gradient[at : at + map_stride], pairs)


@kernel(fastmath=FLAGS)
def collect_gradient(
    chunk: Floats1, next_chunk: Floats1, stride: int, first: int, last: int,
    maps_gradient: Floats1, sources: Integers2, weights: Floats3, scale: np.float32, gradient: Floats2,
) -> None:  # fmt: skip
    """Add up the gradient of some rows of a grid.

    Args:
        chunk: the rows' own gradients, MARGIN rows above included, padded, flat; of
            `arm_kernels.arm_rate_and_gradient`.
        next_chunk: the same of the rows that follow, or the empty array.
        stride: distance between rows in both.
        first: first row.
        last: end of the rows.
        maps_gradient: flat.
        sources: (n, 5), extractors that read the grid: start of the first feature's map on the
            grid's level, its stride, the distance between features, number of the extractor and
            column of its weight.
        weights: (extractors, F, n_in).
        scale: of the gradient.
        gradient: (last - first, W); the rows' gradient is added.
    """
    width = gradient.shape[1]
    row = np.empty(width, np.float32)
    for y in range(first, last):
        at = (y - first + MARGIN) * stride + MARGIN
        own = chunk[at : at + width]
        for x in range(width):
            row[x] = own[x]
        if next_chunk.shape[0] > 0 and y >= last - MARGIN:
            at = (y - (last - MARGIN)) * stride + MARGIN
            _add_scaled(row, next_chunk[at : at + width], np.float32(1))
        for i in range(sources.shape[0]):
            extractor, column = sources[i, 3], sources[i, 4]
            for feature in range(weights.shape[1]):
                at = sources[i, 0] + feature * sources[i, 2] + y * sources[i, 1]
                factor = weights[extractor, feature, column]
                _add_scaled(row, maps_gradient[at : at + width], factor)
        _add_scaled(gradient[y - first], row, scale)
