"""From bytes to pixels. No torch: NumPy, the range coder and exact arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.container import DEFAULT_MAX_PIXELS, samples_crc, unpack
from givre.bitstream.header import Header
from givre.bitstream.latents import LatentReader
from givre.bitstream.parameters import read_parameters
from givre.bitstream.priors import load_prior
from givre.coder.exact_backends import Backend, exact_kernels, make_backend
from givre.coder.execution import check_kernels, check_threads, resolve_threads
from givre.errors import CorruptError
from givre.models.architecture import Architecture
from givre.models.exact.wavefront import GridPredictor
from givre.models.geometry import Grid, grids

Array = NDArray[np.float64]

BAND_PIXELS = 1 << 16
"""Pixels synthesised at a time, in whole rows; bounds the memory and shares out the work."""


@dataclass(frozen=True)
class Decoded:
    """A file, decoded.

    Attributes:
        header: of the file.
        parameters: of the decoder by name, float64.
        latents: float64 (H_i, W_i), in the order of `geometry.grids`.
        samples: uint8 (H, W, C), proved right by the file's checksum of the pixels.
    """

    header: Header
    parameters: Mapping[str, Array]
    latents: Sequence[Array]
    samples: NDArray[np.uint8]


def decode_samples(
    data: bytes,
    *,
    threads: int = 0,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
    kernels: str = "auto",
) -> NDArray[np.uint8]:
    """Samples of a file, uint8 (H, W, C); arguments and errors are those of `decode_file`."""
    decoded = decode_file(data, threads=threads, max_pixels=max_pixels, kernels=kernels)
    return decoded.samples


def decode_file(
    data: bytes,
    *,
    threads: int = 0,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
    kernels: str = "auto",
) -> Decoded:
    """Decode a file and keep what the samples are made of.

    Args:
        data: the whole file.
        threads: 0 for all cores; the pixels do not depend on it.
        max_pixels: refuse a larger picture before anything is allocated; None for no limit.
        kernels: what computes, one of `execution.KERNELS`; all give the same pixels.

    Raises:
        BitstreamError: the bytes are not a file that this version can decode.
        UsageError: `threads` is out of range, or `kernels` unknown or not installed.
    """
    check_threads(threads)
    check_kernels(kernels)
    container = unpack(data, max_pixels)
    header, arch = container.header, container.header.architecture
    coded = read_parameters(arch, container.parameters, load_prior(arch, header.prior))
    parameters = coded.values(arch)
    exact = exact_kernels(kernels, arch, header.width, header.height)
    decoder = make_backend(exact, arch, parameters)
    latents = read_grids(decoder, header, LatentReader(container.latents))
    samples = reconstruct(decoder, header, latents, resolve_threads(threads))
    if samples_crc(samples) != header.pixel_crc:
        raise CorruptError(
            "the decoded pixels do not match the file's checksum: the file is damaged, "
            "or this machine computes wrongly"
        )
    return Decoded(header, parameters, latents, samples)


def read_grids(decoder: Backend, header: Header, reader: LatentReader) -> list[Array]:
    """Decode all latent grids, coarsest first.

    Returns:
        Integer values as float64 (H_i, W_i), in the order of `geometry.grids` (fine to coarse).
    """
    decoded: list[Array] = []
    all_grids = grids(header.architecture, header.width, header.height)
    for i in reversed(range(len(all_grids))):
        predictor = grid_predictor(decoder, header.architecture, all_grids, i, decoded)
        predictor.decode(reader)
        decoded.insert(0, predictor.grid())
    return decoded


def grid_predictor(
    decoder: Backend,
    arch: Architecture,
    all_grids: Sequence[Grid],
    index: int,
    coarser: Sequence[Array],
) -> GridPredictor:
    """Predictor of one grid, given the values of all grids after it (fine to coarse)."""
    grid = all_grids[index]
    features = None
    if not grid.hyper and grid.level < arch.n_ifce:
        features = decoder.features(all_grids[index + 1 :], coarser, grid.level)
    return decoder.predictor(grid.height, grid.width, features)


def reconstruct(
    decoder: Backend, header: Header, latents: Sequence[Array], threads: int
) -> NDArray[np.uint8]:
    """Samples uint8 (H, W, C) from the values of all grids, in the order of `geometry.grids`."""
    arch = header.architecture
    all_grids = grids(arch, header.width, header.height)
    main = [y for grid, y in zip(all_grids, latents, strict=True) if not grid.hyper]
    stack = decoder.stack(main)
    samples = np.empty((header.height, header.width, arch.n_channels), np.uint8)
    low = np.array(header.sample_low, np.float64)
    span = np.array(header.sample_high, np.float64) - low

    rows = max(1, BAND_PIXELS // header.width)

    def fill_band(first: int) -> None:
        last = min(first + rows, header.height)
        samples[first:last] = decoder.samples_rows(main[0], stack, first, last, low, span)

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(fill_band, range(0, header.height, rows)):
            pass
    return samples
