"""What is inside a file: its latents, where the bits went, and the filters it learned. No torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.container import payload_bytes, section_bytes, unpack
from givre.bitstream.header import Header
from givre.bitstream.latent_cost import latent_bits
from givre.bitstream.tiling import Rectangle
from givre.coder.decoder import decode_tile
from givre.coder.execution import check_kernels, check_threads, resolve_threads
from givre.coder.files.picture import AnySamples
from givre.coder.inspection.learned_filters import InspectedStage, inspect_stages
from givre.errors import UnsupportedError
from givre.models.architecture import architecture_name
from givre.models.exact.numpy_backend import NumpyBackend
from givre.models.exact.whole_grid import grid_model, upsampled_stack
from givre.models.geometry import Grid, grids

INSPECTION_MAX_PIXELS = 1 << 24
"""Pixels of the largest picture that is inspected unless told otherwise; it is below a decoder's
limit because the whole upsampled stack is kept, 8 bytes a pixel and main grid."""


@dataclass(frozen=True)
class InspectedGrid:
    """One latent grid and what it cost.

    Attributes:
        grid: its level, kind and size.
        values: the latents, int8 (H_i, W_i).
        bits: what the range coder spent on each, float64 (H_i, W_i).
    """

    grid: Grid
    values: NDArray[np.int8]
    bits: NDArray[np.float64]

    @property
    def total_bits(self) -> float:
        """Bits of the whole grid."""
        return float(self.bits.sum())


@dataclass(frozen=True)
class Inspection:
    """The insides of one file, as arrays, as numbers and as pictures.

    Attributes:
        header: of the file.
        file_bytes: size of the file.
        metadata_bytes: of the sections after the pixels.
        grids: every latent grid with its bits, fine to coarse (`models.geometry.grids`).
        stages: every upsampling stage with its filters, coarse to fine.
        stack: the main grids after upsampling, which the synthesis sees, float64 (L, H, W).
        samples: the decoded picture, uint8 or uint16 (H, W, C).
    """

    header: Header
    file_bytes: int
    metadata_bytes: int
    grids: tuple[InspectedGrid, ...]
    stages: tuple[InspectedStage, ...]
    stack: NDArray[np.float64]
    samples: AnySamples

    @property
    def latent_bits(self) -> float:
        """Bits of all latents; the latent section has as many, to a byte or two."""
        return sum(found.total_bits for found in self.grids)

    @property
    def bits_per_pixel(self) -> NDArray[np.float64]:
        """Where the bits went, float64 (H, W): each latent's bits shared by the pixels it covers.

        Its sum is `latent_bits`. A latent of level i covers 2^i x 2^i pixels, fewer at the right
        and the lower border.
        """
        height, width = self.header.height, self.header.width
        total = np.zeros((height, width))
        for found in self.grids:
            rows = np.arange(height) >> found.grid.level
            columns = np.arange(width) >> found.grid.level
            area = np.outer(np.bincount(rows), np.bincount(columns))
            total += (found.bits / area)[rows][:, columns]
        return total

    def numbers(self) -> dict[str, object]:
        """Sizes, bits of each grid, taps and measures of each stage, as values JSON can hold.

        A grid's `bpp` is in bits per pixel of the picture, its `percent` of all latents' bits. A
        measure that a filter has none of, as the image rejection of a filter of zeros, is NaN.
        """
        header, total = self.header, self.latent_bits
        return {
            "width": header.width,
            "height": header.height,
            "channels": header.channels,
            "complexity": architecture_name(header.architecture) or "custom",
            "bytes": self.file_bytes,
            "header_bytes": self.file_bytes - payload_bytes(header) - self.metadata_bytes,
            "parameter_bytes": header.parameter_bytes,
            "latent_bytes": header.latent_bytes,
            "latent_bits": total,
            "grids": [self._grid_numbers(found, total) for found in self.grids],
            "stages": [stage.numbers() for stage in self.stages],
        }

    def _grid_numbers(self, found: InspectedGrid, total: float) -> dict[str, object]:
        grid, bits = found.grid, found.total_bits
        return {
            "grid": grid.label,
            "width": grid.width,
            "height": grid.height,
            "smallest": int(found.values.min()),
            "largest": int(found.values.max()),
            "nonzero_percent": 100 * int(np.count_nonzero(found.values)) / grid.size,
            "bits": bits,
            "bpp": bits / (self.header.width * self.header.height),
            "percent": 100 * bits / total,
        }


def inspect_file(
    data: bytes,
    *,
    threads: int = 0,
    max_pixels: int | None = INSPECTION_MAX_PIXELS,
    kernels: str = "auto",
) -> Inspection:
    """Decode a file and keep what a decoder throws away.

    Args:
        data: the whole file.
        threads: 0 for all cores; the result does not depend on it.
        max_pixels: refuse a larger picture before anything is allocated; None for no limit.
        kernels: what decodes, one of `execution.KERNELS`.

    Raises:
        BitstreamError: the bytes are not a file that this version can decode.
        UnsupportedError: the picture has tiles; each of them would be an inspection of its own.
        UsageError: `threads` is out of range, or `kernels` unknown or not installed.
    """
    check_threads(threads)
    check_kernels(kernels)
    container = unpack(data, max_pixels)
    header, arch = container.header, container.header.architecture
    if header.tiling is not None:
        raise UnsupportedError(
            f"the picture has {len(header.tiles)} tiles, only pictures of one piece are inspected"
        )
    whole = Rectangle(0, 0, header.width, header.height)
    decoded = decode_tile(container, 0, whole, resolve_threads(threads), kernels)
    latents = decoded.latents
    # Whole grids at once: NumPy is as fast as anything here.
    decoder = NumpyBackend(arch, decoded.parameters)
    found = []
    all_grids = grids(arch, header.width, header.height)
    for i, (grid, values) in enumerate(zip(all_grids, latents, strict=True)):
        symbols = values.astype(np.int8)
        mean, scale_index = grid_model(decoder, arch, all_grids, latents, i)
        found.append(InspectedGrid(grid, symbols, latent_bits(symbols, mean, scale_index)))
    main = [y for grid, y in zip(all_grids, latents, strict=True) if not grid.hyper]
    return Inspection(
        header=header,
        file_bytes=len(data),
        metadata_bytes=section_bytes(data),
        grids=tuple(found),
        stages=inspect_stages(arch, decoded.parameters),
        stack=upsampled_stack(decoder, decoded.parameters, arch, main),
        samples=decoded.samples,
    )
