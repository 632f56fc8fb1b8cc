"""Where the entropy model's kernels find their data: flat buffers, padded grids, packed weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from givre.models.architecture import Architecture
from givre.models.compiled.buffers import Buffers
from givre.models.compiled.pool import chunks
from givre.models.compiled.types import Floats, Integers
from givre.models.context import CONTEXT_REACH, context_offsets
from givre.models.fused.entropy.products import BLOCK
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
    N_LEVEL_COLUMNS,
)
from givre.models.geometry import Grid

_HALF_BLOCK = BLOCK // 2
_LEAST_ROW_PAIRS = 8  # in a chunk; more than CONTEXT_REACH rows: a halo meets one chunk
_LEAST_LATENTS = 1 << 12  # in a chunk, padding included


@dataclass(frozen=True)
class GridPlace:
    """One grid in the flat buffer of latents, padded with zeros.

    Attributes:
        grid: its geometry.
        start: index of its first latent.
        stride: distance between rows: whole blocks with CONTEXT_REACH zeros on either side.
        n_features: features that its contexts have, 0 or `arch.n_features`.
        feature_start: where its first feature map begins, in the flat buffer of maps.
        plane: distance between feature maps.
        feature_stride: distance between the rows of a feature map.
        neighbours: (n_spatial,), where the spatial neighbours are, relative to a latent.
        row_chunks: (first, last) rows of each task; `first` is even.
    """

    grid: Grid
    start: int
    stride: int
    n_features: int
    feature_start: int
    plane: int
    feature_stride: int
    neighbours: Integers
    row_chunks: tuple[tuple[int, int], ...]

    def inside(self, flat: Floats) -> Floats:
        """View (H, W) of the grid in the flat buffer of latents."""
        corner = self.start - CONTEXT_REACH
        rows = flat[corner : corner + self.grid.height * self.stride]
        return rows.reshape(-1, self.stride)[:, CONTEXT_REACH : CONTEXT_REACH + self.grid.width]


@dataclass(frozen=True)
class Extractor:
    """The pyramid of maps from which the features of one grid grow, coarsest level last.

    Attributes:
        levels: int64 (n, 10), a row for each level from that of the features on to the coarsest,
            columns LEVEL_...
    """

    levels: Integers

    @property
    def planes(self) -> Integers:
        """(n,), distance between the maps of two features, which is the size of one."""
        planes: Integers = self.levels[:, LEVEL_PLANE]
        return planes


@dataclass(frozen=True)
class Layout:
    """All places of an image's latents and feature maps; sizes are in float32 numbers."""

    places: tuple[GridPlace, ...]
    extractors: tuple[Extractor, ...]
    latents_size: int
    maps_size: int

    @property
    def tasks(self) -> list[tuple[int, int]]:
        """(grid, chunk) pairs in order."""
        return [(i, c) for i, p in enumerate(self.places) for c in range(len(p.row_chunks))]

    def padded(self, latents: Sequence[Floats], buffers: Buffers) -> Floats:
        """Copy latents (H_i, W_i) into a flat buffer, whose padding is zero from the start."""
        flat = buffers.take("padded latents", self.latents_size)
        for place, latent in zip(self.places, latents, strict=True):
            place.inside(flat)[:] = latent
        return flat


@lru_cache(maxsize=16)
def layout(arch: Architecture, grids: tuple[Grid, ...]) -> Layout:
    """Lay out the grids of `geometry.grids` and the maps of their extractors."""
    starts, strides, size = [], [], 0
    for grid in grids:
        stride = 2 * CONTEXT_REACH + -(-grid.width // BLOCK) * BLOCK
        starts.append(size + CONTEXT_REACH * stride + CONTEXT_REACH)
        strides.append(stride)
        size += (CONTEXT_REACH + grid.height) * stride

    extractors, maps_size = [], 0
    for level in range(arch.n_ifce):
        extractor = _extractor(arch, grids, level, starts, strides, maps_size)
        maps_size += int(extractor.planes.sum()) * arch.n_features
        extractors.append(extractor)

    places, offsets = [], context_offsets(arch.n_spatial)
    for i, grid in enumerate(grids):
        feature = (0, 0, 0, 0)
        if not grid.hyper and grid.level < arch.n_ifce:
            base = [int(number) for number in extractors[grid.level].levels[0]]
            places_of_maps = (base[LEVEL_MAP], base[LEVEL_PLANE], base[LEVEL_MAP_STRIDE])
            feature = (arch.n_features, *places_of_maps)
        least_pairs = max(_LEAST_ROW_PAIRS, _LEAST_LATENTS // (2 * strides[i]))
        pairs = chunks(-(-grid.height // 2), least_pairs)
        rows = tuple((2 * first, min(2 * last, grid.height)) for first, last in pairs)
        neighbours = np.array([dy * strides[i] + dx for dy, dx in offsets])
        places.append(GridPlace(grid, starts[i], strides[i], *feature, neighbours, rows))
    return Layout(tuple(places), tuple(extractors), size, maps_size)


def _extractor(
    arch: Architecture,
    grids: tuple[Grid, ...],
    level: int,
    starts: list[int],
    strides: list[int],
    maps_start: int,
) -> Extractor:
    # No hyper grid lies on the levels with an extractor, so the main grid of `level` has this
    # index, and the weight's columns are the grids after it.
    index = {(grid.level, grid.hyper): i for i, grid in enumerate(grids)}
    levels = range(level + 1, arch.n_levels)
    table = np.full((len(levels), N_LEVEL_COLUMNS), -1, np.int64)
    for row, below in zip(table, levels, strict=True):
        main, hyper = index[below, False], index.get((below, True), -1)
        grid = grids[main]
        row[LEVEL_HEIGHT], row[LEVEL_WIDTH] = grid.height, grid.width
        row[LEVEL_MAIN], row[LEVEL_STRIDE] = starts[main], strides[main]
        row[LEVEL_MAIN_INPUT] = main - level - 1
        if hyper >= 0:
            row[LEVEL_HYPER], row[LEVEL_HYPER_INPUT] = starts[hyper], hyper - level - 1
        row[LEVEL_MAP] = maps_start
        row[LEVEL_MAP_STRIDE] = -(-grid.width // _HALF_BLOCK) * _HALF_BLOCK
        row[LEVEL_PLANE] = grid.height * row[LEVEL_MAP_STRIDE]
        maps_start += int(row[LEVEL_PLANE]) * arch.n_features
    return Extractor(table)
