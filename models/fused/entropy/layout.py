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
from givre.models.fused.entropy.arm import MARGIN
from givre.models.fused.entropy.products import BLOCK, GROUP
from givre.models.geometry import Grid, context_offsets

_HALF_BLOCK = BLOCK // 2
_LEAST_ROW_PAIRS = 8  # in a chunk; more than MARGIN rows, so that a halo meets one chunk only
_LEAST_LATENTS = 1 << 12  # in a chunk, padding included


@dataclass(frozen=True)
class GridPlace:
    """One grid in the flat buffer of latents, padded with zeros.

    Attributes:
        grid: its geometry.
        start: index of its first latent.
        stride: distance between rows: MARGIN on the left, whole blocks, MARGIN on the right.
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

    def rows(self, first: int, last: int) -> Integers:
        """What the kernels want to know about the rows `first` to `last` - 1."""
        feature = (self.n_features, self.feature_start, self.plane, self.feature_stride)
        return np.array([self.start, self.grid.width, self.stride, *feature, first, last])

    def inside(self, flat: Floats) -> Floats:
        """View (H, W) of the grid in the flat buffer of latents."""
        corner = self.start - MARGIN
        rows = flat[corner : corner + self.grid.height * self.stride]
        return rows.reshape(-1, self.stride)[:, MARGIN : MARGIN + self.grid.width]


@dataclass(frozen=True)
class Extractor:
    """The pyramid of maps from which the features of one grid grow, coarsest level last.

    Attributes:
        levels: int64 (n, 9), a row for each level from that of the features on to the coarsest:
            height, width; start and stride of the main grid; start of the hyper grid; columns of
            the weight that belong to them; start and stride of the first feature's map. What does
            not exist is -1.
        planes: (n,), distance between the maps of two features.
    """

    levels: Integers
    planes: Integers


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
        stride = 2 * MARGIN + -(-grid.width // BLOCK) * BLOCK
        starts.append(size + MARGIN * stride + MARGIN)
        strides.append(stride)
        size += (MARGIN + grid.height) * stride

    extractors, maps_size = [], 0
    for level in range(arch.n_ifce):
        extractor = _extractor(arch, grids, level, starts, strides, maps_size)
        maps_size += int(extractor.planes.sum()) * arch.n_features
        extractors.append(extractor)

    places, offsets = [], context_offsets(arch.n_spatial)
    for i, grid in enumerate(grids):
        feature = (0, 0, 0, 0)
        if not grid.hyper and grid.level < arch.n_ifce:
            base = extractors[grid.level]
            feature = (
                arch.n_features,
                int(base.levels[0, 7]),
                int(base.planes[0]),
                int(base.levels[0, 8]),
            )
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
    rows, planes = [], []
    for below in range(level + 1, arch.n_levels):
        main, hyper = index[below, False], index.get((below, True), -1)
        grid = grids[main]
        stride = -(-grid.width // _HALF_BLOCK) * _HALF_BLOCK
        hyper_start, hyper_column = (-1, -1) if hyper < 0 else (starts[hyper], hyper - level - 1)
        grid_place = (grid.height, grid.width, starts[main], strides[main])
        columns = (main - level - 1, hyper_column)
        rows.append((*grid_place, hyper_start, *columns, maps_start, stride))
        planes.append(grid.height * stride)
        maps_start += planes[-1] * arch.n_features
    return Extractor(np.array(rows, np.int64), np.array(planes, np.int64))


@dataclass(frozen=True)
class ArmWeights:
    """The ARM's weights, the context filled up with zeros to D, a multiple of GROUP.

    Attributes:
        width: inputs of the ARM before they are filled up.
        hidden: (N, D, D), each plus the identity of its residual connection.
        hidden_transposed: (N, D, D).
        hidden_bias: (N, D).
        output: (2, D).
        output_bias: (2,).
        stabiliser: (2, D).
    """

    width: int
    hidden: Floats
    hidden_transposed: Floats
    hidden_bias: Floats
    output: Floats
    output_bias: Floats
    stabiliser: Floats

    @property
    def n_sums(self) -> int:
        """Numbers in the kernels' packed gradient."""
        return self.hidden.size + self.hidden_bias.size + 2 * self.output.size + 2

    def unpack(self, sums: Floats) -> tuple[list[Floats], list[Floats], Floats, Floats, Floats]:
        """Split the kernels' packed gradient.

        Args:
            sums: (n_sums,): hidden, hidden_bias, output, stabiliser, output_bias.

        Returns:
            Gradients of the hidden weights, hidden biases, output weight, output bias and
            stabiliser, in their own shapes.
        """
        n, d = self.hidden_bias.shape
        ends = np.cumsum([n * d * d, n * d, 2 * d, 2 * d])
        hidden, bias, output, stabiliser, output_bias = np.split(sums, ends)
        width = self.width
        return (
            [weight[:width, :width] for weight in hidden.reshape(n, d, d)],
            [row[:width] for row in bias.reshape(n, d)],
            output.reshape(2, d)[:, :width],
            output_bias,
            stabiliser.reshape(2, d)[:, :width],
        )


def arm_weights(
    hidden: Sequence[Floats],
    hidden_bias: Sequence[Floats],
    output: Floats,
    output_bias: Floats,
    stabiliser: Floats,
) -> ArmWeights:
    """Pack weights (D, D), biases (D,), output (2, D), its bias (2,) and stabiliser (2, D)."""
    n, width = len(hidden), output.shape[1]
    d = -(-width // GROUP) * GROUP
    padded = np.zeros((n, d, d), np.float32)
    padded_bias = np.zeros((n, d), np.float32)
    for i, (weight, bias) in enumerate(zip(hidden, hidden_bias, strict=True)):
        padded[i, :width, :width] = weight + np.eye(width, dtype=np.float32)
        padded_bias[i, :width] = bias
    padded_output = np.zeros((2, d), np.float32)
    padded_output[:, :width] = output
    padded_stabiliser = np.zeros((2, d), np.float32)
    padded_stabiliser[:, :width] = stabiliser
    transposed = np.ascontiguousarray(padded.transpose(0, 2, 1))
    return ArmWeights(
        width, padded, transposed, padded_bias, padded_output, output_bias, padded_stabiliser
    )
