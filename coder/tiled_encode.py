"""From a large picture to a file: its tiles are fitted one after the other, each on its own."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.metadata_sections import metadata_sections
from givre.bitstream.tiling import Rectangle, Tiling, blend_weights, tile_rectangles
from givre.coder.coded_tile import CodedTile, code_tile
from givre.coder.encoder import finish_teller, pack_tiles
from givre.coder.exact_backends import compiling_meanwhile
from givre.coder.files.picture import Picture
from givre.coder.fitting.checkpoint import Fit
from givre.coder.fitting.context import changed, fit_context, on_cpu
from givre.coder.fitting.overfit import overfit_in
from givre.coder.fitting.progress import COMPILING, FITTING, Progress, ProgressListener
from givre.coder.fitting.settings import FitSettings
from givre.coder.fitting.source import Source, source_of
from givre.coder.fitting.torch_context import torch_as_shipped, torch_threads
from givre.coder.quantisation.rounds import finish_fit
from givre.coder.quantisation.spending import following
from givre.coder.report import Effort, Encoded, check_collapse, verified
from givre.models.architecture import default_grids

_log = logging.getLogger(__name__)


def fit_and_write_tiles(
    picture: Picture,
    tiling: Tiling,
    settings: FitSettings,
    on_progress: ProgressListener | None = None,
) -> Encoded:
    """Fit a picture tile by tile and write it with its metadata.

    What is held at a time is the picture's samples and the fit of one tile.

    Args:
        picture: samples, their depth and metadata.
        tiling: sides of the tiles; the picture has more than one.
        settings: of the fit of each tile.
        on_progress: called a few times a second while tiles are fitted.

    Raises:
        ImageError: the samples are of a kind that the codec does not take.
        CollapseError: the result is no better than a constant image although it should be.
        GivreError: for the reasons that `overfit` names.
    """
    source, sections = source_of(picture), metadata_sections(picture.metadata)
    settings = replace(settings, n_levels=_levels(picture, tiling))
    tiles: list[CodedTile] = []
    fit_seconds = write_seconds = 0.0
    places, begun = tile_rectangles(*_size(picture), tiling), perf_counter()
    for i, where in enumerate(places):
        _log.info("tile %d of %d", i + 1, len(places))
        listener = None
        if on_progress is not None:
            listener = _TileListener(on_progress, i, len(places), begun)
        part = source_of(picture_part(picture, where), source.alpha)
        part = replace(part, shares=tile_shares(where, _size(picture), tiling))
        made = _fit_tile(part, settings, listener)
        # All tiles are coded against the prior of the first.
        settings = replace(settings, prior=made.tile.prior)
        tiles.append(made.tile)
        fit_seconds += made.fit_seconds
        write_seconds += made.write_seconds
    data = pack_tiles(tiles, _size(picture), source, tiling, sections)
    effort = Effort(settings, settings.steps, fit_seconds, write_seconds)
    encoded = verified(data, source, effort, tiles[0].kernels)
    check_collapse(encoded.report, source)
    return encoded


def picture_part(picture: Picture, where: Rectangle) -> Picture:
    """A part of a picture, without metadata; its samples are a copy."""
    rows = slice(where.y, where.y + where.height)
    columns = slice(where.x, where.x + where.width)
    return Picture(picture.samples[rows, columns].copy(), picture.bit_depth)


def tile_shares(
    where: Rectangle, size: tuple[int, int], tiling: Tiling
) -> NDArray[np.float32] | None:
    """How much of each pixel a tile makes, float32 (h, w) up to 1; None if tiles do not overlap.

    Args:
        where: the tile lies in the picture.
        size: width and height of the picture.
        tiling: sides and overlap of the tiles.
    """
    if not tiling.overlap:
        return None
    full, overlap = 4 * tiling.overlap, tiling.overlap
    across = blend_weights(where.x, where.width, size[0], tiling.width, overlap)
    down = blend_weights(where.y, where.height, size[1], tiling.height, overlap)
    return np.outer(down, across).astype(np.float32) / np.float32(full * full)


def _size(picture: Picture) -> tuple[int, int]:
    return int(picture.samples.shape[1]), int(picture.samples.shape[0])


def _levels(picture: Picture, tiling: Tiling) -> int:
    """Main grids of every tile: the usual number of the largest."""
    width, height = _size(picture)
    return default_grids(min(width, tiling.width), min(height, tiling.height))[0]


@dataclass(frozen=True)
class _MadeTile:
    tile: CodedTile
    fit_seconds: float
    write_seconds: float


@torch_as_shipped()
def _fit_tile(
    source: Source, settings: FitSettings, listener: ProgressListener | None
) -> _MadeTile:
    context = fit_context(source, settings)
    with compiling_meanwhile(context.kernels.exact):
        fit: Fit = overfit_in(
            context,
            settings.prior,
            on_progress=listener,
            following=following(settings.steps, context.pixels),
        )
        started = perf_counter()
        context = on_cpu(changed(context, fit.settings))
        teller = finish_teller(fit, context, listener)
        with torch_threads(1):
            finished, quantised = finish_fit(fit, context, teller.quantising)
            teller.writing(0)
            tile = code_tile(finished, context, quantised)
            teller.writing(1)
    return _MadeTile(tile, fit.seconds, perf_counter() - started)


class _TileListener:
    """Tells a listener how far the whole picture is, from the progress of one tile.

    Args:
        listener: whom to tell.
        index: of the tile.
        number: of all tiles.
        started: when the first tile was begun, as `perf_counter` says.
    """

    def __init__(self, listener: ProgressListener, index: int, number: int, started: float) -> None:
        self._listener, self._index, self._number = listener, index, number
        self._started = started

    def __call__(self, progress: Progress) -> None:
        """Tell it."""
        if progress.stage == COMPILING:
            self._listener(progress)
            return
        spent = perf_counter() - self._started
        a_tile = (spent + progress.eta_seconds) / (self._index + 1)
        left = progress.eta_seconds + (self._number - self._index - 1) * a_tile
        if progress.stage == FITTING:
            done = self._index * progress.steps + progress.step
            progress = replace(progress, step=done, steps=self._number * progress.steps)
        self._listener(replace(progress, seconds=spent, eta_seconds=left))
