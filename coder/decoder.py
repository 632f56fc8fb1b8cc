"""From bytes to pixels. No torch: NumPy, the range coder and exact arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.alpha_mask import read_mask
from givre.bitstream.container import (
    DEFAULT_MAX_PIXELS,
    Container,
    check_limit,
    samples_crc,
    unpack,
)
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
from givre.coder.view import View, reduced, smaller, smaller_tiling
from givre.errors import CorruptError, LimitError
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


def plan_of(header: Header, index: int, where: Rectangle) -> TilePlan:
    """What the header says of a tile, which lies in a rectangle of the picture."""
    return TilePlan(
        architecture=header.architecture,
        width=where.width,
        height=where.height,
        bit_depth=header.bit_depth,
        alpha=header.alpha,
        entry=header.tiles[index],
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
    view: View = View(),  # noqa: B008 (frozen)
    threads: int = 0,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
    kernels: str = "auto",
) -> Picture:
    """Decode a file to samples, their depth and the metadata.

    Args:
        data: the whole file.
        view: which part of it is wanted, and how large.
        threads: 0 for all cores; the pixels do not depend on it.
        max_pixels: refuse a file for whose view more pixels would have to be made, before anything
            is allocated; None for no limit.
        kernels: what computes, one of `execution.KERNELS`; all give the same pixels.

    Raises:
        BitstreamError: the bytes are not a file that this version can decode.
        UsageError: `threads` is out of range, `kernels` unknown or not installed, or the view not
            within the picture.
    """
    check_threads(threads)
    check_kernels(kernels)
    container = unpack(data)
    check_view(container.header, view, max_pixels)
    metadata = metadata_of(container.sections)
    tiles = range(len(container.tiles))
    samples = decode_tiles(container, tiles, view, resolve_threads(threads), kernels)
    return Picture(samples, container.header.bit_depth, metadata)


def check_view(header: Header, view: View, max_pixels: int | None) -> None:
    """Refuse a view that asks for too much memory, or for what is not there.

    Raises:
        LimitError: more pixels than allowed have to be held at a time.
        UsageError: the view is not within the picture.
    """
    part = view.part_of(header.width, header.height)
    if header.tiling is None:
        check_limit(header, max_pixels)
        return
    tile = (header.tiling.width + 2 * header.tiling.overlap) * (
        header.tiling.height + 2 * header.tiling.overlap
    )
    shown = smaller(part, view.scale)
    if max_pixels is not None and max(shown.pixels, min(tile, header.pixels)) > max_pixels:
        raise LimitError(
            f"{shown.width} x {shown.height} pixels in tiles of {tile} are wanted, "
            f"the limit is {max_pixels}"
        )


def decode_tiles(
    container: Container,
    indices: Sequence[int],
    view: View,
    threads: int,
    kernels: str,
    others: Sequence[tuple[AnySamples, Rectangle]] = (),
) -> AnySamples:
    """Samples of some tiles, put together; what no tile covers is 0.

    Args:
        container: of the file.
        indices: of the tiles that may be decoded. Those that the view does not need are not.
        view: what is wanted.
        threads: 1 or more.
        kernels: what computes, one of `execution.KERNELS`.
        others: samples of further tiles, and where these lie in the picture.
    """
    header, scale = container.header, view.scale
    places = tile_rectangles(header.width, header.height, header.tiling)
    part = view.part_of(header.width, header.height)
    shown = smaller(part, scale)
    if header.tiling is None:
        rows = (part.y, part.y + part.height)
        tile = decode_tile(container, 0, places[0], threads, kernels, rows)
        return reduced(tile.samples[:, part.x : part.x + part.width], scale)
    samples = no_samples((shown.height, shown.width, header.channels), header.bit_depth)
    samples[:] = 0
    whole = smaller(Rectangle(0, 0, header.width, header.height), scale)
    assembly = TileAssembly(
        samples, shown, (whole.width, whole.height), smaller_tiling(header.tiling, scale)
    )

    def fill(index: int) -> None:
        tile = decode_tile(container, index, places[index], 1, kernels)
        assembly.add(reduced(tile.samples, scale), smaller(places[index], scale))

    # Each thread has a tile to itself: latents are decoded one after the other.
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(fill, [i for i in indices if _meet(places[i], part)]):
            pass
    for other, where in others:
        assembly.add(reduced(other, scale), smaller(where, scale))
    return assembly.finish()


def _meet(a: Rectangle, b: Rectangle) -> bool:
    across = a.x < b.x + b.width and b.x < a.x + a.width
    return across and a.y < b.y + b.height and b.y < a.y + a.height


def decode_tile(
    container: Container,
    index: int,
    where: Rectangle,
    threads: int,
    kernels: str,
    rows: tuple[int, int] | None = None,
) -> DecodedTile:
    """Decode a tile and keep what its samples are made of.

    Args:
        container: of the file.
        index: of the tile, in the order of the file; 0 where there are no tiles.
        where: it lies in the picture.
        threads: 1 or more.
        kernels: what computes, one of `execution.KERNELS`.
        rows: first row, and row after the last, that samples are wanted of; None for all. Only
            all of them can be compared with the checksum of the samples.

    Raises:
        BitstreamError: the sections are not those of a file that this version can decode.
    """
    plan = plan_of(container.header, index, where)
    first, last = rows or (0, plan.height)
    decoder, parameters = tile_decoder(container, index, plan, kernels)
    payload = container.tiles[index]
    latents = read_grids(decoder, plan, LatentReader(payload.latents))
    samples = reconstruct(decoder, plan, latents, threads, (first, last))
    if plan.alpha is not Alpha.NONE:
        soft = plan.alpha is Alpha.SOFT
        classes = read_mask(payload.mask, plan.width, plan.height, has_between=soft)
        samples = with_mask(samples, classes[first:last], plan.alpha, plan.bit_depth)
    if len(samples) == plan.height and samples_crc(samples) != plan.entry.pixel_crc:
        raise CorruptError(
            "the decoded pixels do not match the file's checksum: the file is damaged, "
            "or this machine computes wrongly"
        )
    return DecodedTile(plan, parameters, latents, samples)


def tile_decoder(
    container: Container, index: int, plan: TilePlan, kernels: str
) -> tuple[Backend, Mapping[str, Array]]:
    """The decoder of a tile, and its parameters by name."""
    arch = plan.architecture
    prior = load_prior(arch, container.header.prior)
    parameters = read_parameters(arch, container.parameters(index), prior).values(arch)
    exact = exact_kernels(kernels, arch, plan.width, plan.height)
    return make_backend(exact, arch, parameters), parameters


def read_grids(decoder: Backend, plan: TilePlan, reader: LatentReader) -> list[Array]:
    """Decode all latent grids, coarsest first.

    Returns:
        Integer values as float64 (H_i, W_i), in the order of `geometry.grids` (fine to coarse).
    """
    decoded: list[Array] = []
    all_grids = grids(plan.architecture, plan.width, plan.height)
    for i in reversed(range(len(all_grids))):
        decoded.insert(0, read_grid(decoder, plan.architecture, all_grids, i, decoded, reader))
    return decoded


def read_grid(
    decoder: Backend,
    arch: Architecture,
    all_grids: Sequence[Grid],
    index: int,
    coarser: Sequence[Array],
    reader: LatentReader,
) -> Array:
    """Decode one grid, given the values of all grids after it (fine to coarse)."""
    predictor = grid_predictor(decoder, arch, all_grids, index, coarser)
    predictor.decode(reader)
    return predictor.grid()


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
    decoder: Backend,
    plan: TilePlan,
    latents: Sequence[Array],
    threads: int,
    rows: tuple[int, int] | None = None,
) -> AnySamples:
    """What the synthesis makes of the values of all grids, in the order of `geometry.grids`.

    Args:
        decoder: of the tile.
        plan: of the tile.
        latents: (H_i, W_i) each.
        threads: 1 or more.
        rows: first row, and row after the last, that are made; None for all.

    Returns:
        uint8 or uint16 (rows, W, outputs).
    """
    top, bottom = rows or (0, plan.height)
    arch, entry = plan.architecture, plan.entry
    all_grids = grids(arch, plan.width, plan.height)
    main = [y for grid, y in zip(all_grids, latents, strict=True) if not grid.hyper]
    stack = decoder.stack(main)
    samples = no_samples((bottom - top, plan.width, arch.n_channels), plan.bit_depth)
    low = np.array(entry.sample_low, np.float64)
    span = np.array(entry.sample_high, np.float64) - low

    band = max(1, BAND_PIXELS // plan.width)

    def fill_band(first: int) -> None:
        last = min(first + band, bottom)
        samples[first - top : last - top] = decoder.samples_rows(
            main[0], stack, first, last, low, span
        )

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(fill_band, range(top, bottom, band)):
            pass
    return samples
