"""What a cut file still shows: the tiles that arrived, and the coarse grids of the next one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from givre.bitstream.alpha_mask import BETWEEN, OPAQUE
from givre.bitstream.container import DEFAULT_MAX_PIXELS, Container, CutContainer, unpack_cut
from givre.bitstream.header import Alpha
from givre.bitstream.latents import LatentReader
from givre.bitstream.metadata_sections import metadata_of
from givre.bitstream.tiling import Rectangle, tile_rectangles
from givre.coder.decoder import (
    Array,
    check_view,
    decode_tiles,
    plan_of,
    read_grid,
    reconstruct,
    tile_decoder,
)
from givre.coder.execution import check_kernels, check_threads, resolve_threads
from givre.coder.files.picture import AnySamples, Picture
from givre.coder.transparency import with_mask
from givre.coder.view import View, reduced
from givre.errors import CorruptError
from givre.models.geometry import grids


@dataclass(frozen=True)
class PartialPicture:
    """What a file shows, whole or cut.

    Attributes:
        picture: samples, 0 where nothing has arrived; metadata if the file is whole.
        tiles: number of tiles that are whole.
        all_tiles: number of tiles of the picture, 1 without a tiling.
        grids: number of latent grids that the first tile that is not whole shows, from the coarsest
            on; 0 if there is none.
        all_grids: number of latent grids of a tile.
        is_whole: whether nothing is missing.
    """

    picture: Picture
    tiles: int
    all_tiles: int
    grids: int
    all_grids: int
    is_whole: bool = False

    def shown(self) -> str:
        """What there is of a cut file, in words."""
        if self.tiles == self.all_tiles:
            return "the file is cut after its pixels, which are whole"
        rough = f"{self.grids} of {self.all_grids} latent grids" if self.grids else ""
        if self.all_tiles == 1:
            return f"the file is cut: {rough or 'nothing'} arrived"
        next_one = f", and {rough} of the next one," if rough else ""
        return f"the file is cut: {self.tiles} of {self.all_tiles} tiles{next_one} arrived"


def decode_partial(
    data: bytes,
    *,
    view: View = View(),  # noqa: B008 (frozen)
    threads: int = 0,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
    kernels: str = "auto",
) -> PartialPicture:
    """Decode what there is of a file that may be cut anywhere after its header.

    What a cut file shows is not verified by the checksum of the file; whole tiles are by their own.

    Args:
        data: the file, from its beginning on.
        view: which part of it is wanted, and how large.
        threads: 0 for all cores.
        max_pixels: as for `decode_picture`.
        kernels: what computes, one of `execution.KERNELS`.

    Raises:
        BitstreamError: the header is not whole, or what is there is damaged.
        UsageError: an argument is out of range.
    """
    check_threads(threads)
    check_kernels(kernels)
    n_threads = resolve_threads(threads)
    container, n_whole = unpack_cut(data)
    header = container.header
    check_view(header, view, max_pixels)
    all_grids = len(grids(header.architecture, header.width, header.height))
    places = tile_rectangles(header.width, header.height, header.tiling)
    if n_whole == len(places):
        samples = decode_tiles(container, range(n_whole), view, n_threads, kernels)
        picture = Picture(samples, header.bit_depth, metadata_of(container.sections))
        is_whole = not isinstance(container, CutContainer)
        return PartialPicture(picture, n_whole, n_whole, 0, all_grids, is_whole)
    others, n_grids = [], 0
    if n_whole < len(container.tiles):
        rough, n_grids = _rough_tile(container, n_whole, places[n_whole], n_threads, kernels)
        others = [(rough, places[n_whole])]
    if header.tiling is None:
        part, samples = view.part_of(header.width, header.height), others[0][0]
        shown = samples[part.y : part.y + part.height, part.x : part.x + part.width]
        samples = reduced(shown, view.scale)
    else:
        samples = decode_tiles(container, range(n_whole), view, n_threads, kernels, others)
    picture = Picture(samples, header.bit_depth)
    return PartialPicture(picture, n_whole, len(places), n_grids, all_grids)


def _rough_tile(
    container: Container, index: int, where: Rectangle, threads: int, kernels: str
) -> tuple[AnySamples, int]:
    """A tile from the grids that have arrived, and their number. Zeros stand for the others."""
    header, payload = container.header, container.tiles[index]
    plan = plan_of(header, index, where)
    decoder, _ = tile_decoder(container, index, plan, kernels)
    missing = plan.entry.latent_bytes - len(payload.latents)
    arch = plan.architecture
    # What follows the cut may be anything: a latent that is the same whether zeros or the largest
    # bytes follow is the same whatever follows.
    least = LatentReader(payload.latents.rstrip(b"\0"))
    most = LatentReader(payload.latents + b"\xff" * (missing + 8))
    found: list[Array] = []
    all_grids = grids(arch, plan.width, plan.height)
    for i in reversed(range(len(all_grids))):
        try:
            first, second = (
                read_grid(decoder, arch, all_grids, i, found, reader) for reader in (least, most)
            )
        except CorruptError:  # no message goes on like this
            break
        if not np.array_equal(first, second):
            break
        found.insert(0, first)
    n_found = len(found)
    for grid in reversed(all_grids[: len(all_grids) - n_found]):
        found.insert(0, np.zeros((grid.height, grid.width)))
    samples = reconstruct(decoder, plan, found, threads)
    if plan.alpha is not Alpha.NONE:
        soft = plan.alpha is Alpha.SOFT
        classes = np.full((plan.height, plan.width), BETWEEN if soft else OPAQUE, np.uint8)
        samples = with_mask(samples, classes, plan.alpha, plan.bit_depth)
    return samples, n_found
