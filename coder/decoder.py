"""From bytes to pixels. No torch: NumPy, the range coder and exact arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.alpha_mask import read_mask
from givre.bitstream.container import DEFAULT_MAX_PIXELS, Container, samples_crc, unpack
from givre.bitstream.header import Alpha, Header, TileEntry
from givre.bitstream.latents import LatentReader
from givre.bitstream.metadata_sections import metadata_of
from givre.bitstream.parameters import read_parameters
from givre.bitstream.priors import load_prior
from givre.bitstream.tiling import Rectangle, tile_rectangles
from givre.coder.exact_backends import Backend, exact_kernels, make_backend
from givre.coder.execution import check_kernels, check_threads, resolve_threads
from givre.coder.files.picture import AnySamples, Picture
from givre.coder.tile_assembly import TileAssembly
from givre.coder.transparency import with_mask
from givre.errors import CorruptError
from givre.models.architecture import Architecture
from givre.models.exact.wavefront import GridPredictor
from givre.models.geometry import Grid, grids

Array = NDArray[np.float64]

BAND_PIXELS = 1 << 16
"""Pixels synthesised at a time, in whole rows; bounds the memory and shares out the work."""


@dataclass(frozen=True)
class TilePlan:
    """What a decoder must know of a tile, or of a picture without tiles, besides its sections.

    Attributes:
        architecture: of the decoder.
        width: columns of pixels.
        height: rows of pixels.
        bit_depth: bits a sample, 8 to 16.
        alpha: what there is of transparency.
        entry: ranges, lengths and checksum.
    """

    architecture: Architecture
    width: int
    height: int
    bit_depth: int
    alpha: Alpha
    entry: TileEntry


@dataclass(frozen=True)
class DecodedTile:
    """A tile, decoded, or a picture without tiles.

    Attributes:
        plan: what was known of it.
        parameters: of the decoder by name, float64.
        latents: float64 (H_i, W_i), in the order of `geometry.grids`.
        samples: uint8 or uint16 (H, W, C), proved right by the file's checksum of the pixels.
    """

    plan: TilePlan
    parameters: Mapping[str, Array]
    latents: Sequence[Array]
    samples: AnySamples


def no_samples(shape: tuple[int, int, int], bit_depth: int) -> AnySamples:
    """Memory for samples (H, W, C) of 8 to 16 bits, not filled in."""
    return np.empty(shape, np.uint8) if bit_depth == 8 else np.empty(shape, np.uint16)


def tile_plan(header: Header, index: int) -> TilePlan:
    """What the header says of a tile; index 0 is the picture where there are no tiles."""
    where = tile_rectangles(header.width, header.height, header.tiling)[index]
    return plan_of(header, where, header.tiles[index])


def plan_of(header: Header, where: Rectangle, entry: TileEntry) -> TilePlan:
    """What the header says of the tile that lies in a rectangle of the picture."""
    return TilePlan(
        header.architecture, where.width, where.height, header.bit_depth, header.alpha, entry
    )


def decode_samples(
    data: bytes,
    *,
    threads: int = 0,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
    kernels: str = "auto",
) -> AnySamples:
    """Samples of a file, uint8 or uint16 (H, W, C); arguments and errors as of `decode_picture`."""
    picture = decode_picture(data, threads=threads, max_pixels=max_pixels, kernels=kernels)
    return picture.samples


def decode_picture(
    data: bytes,
    *,
    threads: int = 0,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
    kernels: str = "auto",
) -> Picture:
    """Decode a file to samples, their depth and the metadata.

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
    metadata = metadata_of(container.sections)
    samples = decode_container(container, resolve_threads(threads), kernels)
    return Picture(samples, container.header.bit_depth, metadata)


def decode_container(container: Container, threads: int, kernels: str) -> AnySamples:
    """Samples of all tiles, put together; arguments as of `decode_picture`."""
    header = container.header
    places = tile_rectangles(header.width, header.height, header.tiling)
    if len(places) == 1:
        return decode_tile(container, 0, places[0], threads, kernels).samples
    samples = no_samples((header.height, header.width, header.channels), header.bit_depth)

    assert header.tiling is not None  # else there would be one place
    whole = Rectangle(0, 0, header.width, header.height)
    assembly = TileAssembly(samples, whole, (header.width, header.height), header.tiling)

    def fill(index: int) -> None:
        tile = decode_tile(container, index, places[index], 1, kernels)
        assembly.add(tile.samples, places[index])

    # Each thread has a tile to itself: latents are decoded one after the other.
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(fill, range(len(places))):
            pass
    return assembly.finish()


def decode_tile(
    container: Container, index: int, where: Rectangle, threads: int, kernels: str
) -> DecodedTile:
    """Decode a tile and keep what its samples are made of.

    Args:
        container: of the file.
        index: of the tile, in the order of the file; 0 where there are no tiles.
        where: it lies in the picture.
        threads: 1 or more.
        kernels: what computes, one of `execution.KERNELS`.

    Raises:
        BitstreamError: the sections are not those of a file that this version can decode.
    """
    header, payload = container.header, container.tiles[index]
    plan = plan_of(header, where, header.tiles[index])
    arch = plan.architecture
    coded = read_parameters(arch, container.parameters(index), load_prior(arch, header.prior))
    parameters = coded.values(arch)
    exact = exact_kernels(kernels, arch, plan.width, plan.height)
    decoder = make_backend(exact, arch, parameters)
    latents = read_grids(decoder, plan, LatentReader(payload.latents))
    samples = reconstruct(decoder, plan, latents, threads)
    if plan.alpha is not Alpha.NONE:
        soft = plan.alpha is Alpha.SOFT
        classes = read_mask(payload.mask, plan.width, plan.height, has_between=soft)
        samples = with_mask(samples, classes, plan.alpha, plan.bit_depth)
    if samples_crc(samples) != plan.entry.pixel_crc:
        raise CorruptError(
            "the decoded pixels do not match the file's checksum: the file is damaged, "
            "or this machine computes wrongly"
        )
    return DecodedTile(plan, parameters, latents, samples)


def read_grids(decoder: Backend, plan: TilePlan, reader: LatentReader) -> list[Array]:
    """Decode all latent grids, coarsest first.

    Returns:
        Integer values as float64 (H_i, W_i), in the order of `geometry.grids` (fine to coarse).
    """
    decoded: list[Array] = []
    all_grids = grids(plan.architecture, plan.width, plan.height)
    for i in reversed(range(len(all_grids))):
        predictor = grid_predictor(decoder, plan.architecture, all_grids, i, decoded)
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
    decoder: Backend, plan: TilePlan, latents: Sequence[Array], threads: int
) -> AnySamples:
    """What the synthesis makes of the values of all grids, in the order of `geometry.grids`.

    Returns:
        uint8 or uint16 (H, W, outputs).
    """
    arch, entry = plan.architecture, plan.entry
    all_grids = grids(arch, plan.width, plan.height)
    main = [y for grid, y in zip(all_grids, latents, strict=True) if not grid.hyper]
    stack = decoder.stack(main)
    samples = no_samples((plan.height, plan.width, arch.n_channels), plan.bit_depth)
    low = np.array(entry.sample_low, np.float64)
    span = np.array(entry.sample_high, np.float64) - low

    rows = max(1, BAND_PIXELS // plan.width)

    def fill_band(first: int) -> None:
        last = min(first + rows, plan.height)
        samples[first:last] = decoder.samples_rows(main[0], stack, first, last, low, span)

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(fill_band, range(0, plan.height, rows)):
            pass
    return samples
