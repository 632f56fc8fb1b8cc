"""From a picture of one piece to a file: fit, quantise, write, and decode what was written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

from givre.bitstream.container import Container, pack
from givre.bitstream.header import Header
from givre.bitstream.metadata_sections import metadata_sections
from givre.bitstream.parameters import QuantisedParameters
from givre.bitstream.sections import Section
from givre.bitstream.tiling import Tiling
from givre.coder.coded_tile import CodedTile, code_tile
from givre.coder.exact_backends import compiling_meanwhile
from givre.coder.files.picture import Picture
from givre.coder.fitting.checkpoint import Fit
from givre.coder.fitting.context import FitContext, changed, fit_context, on_cpu, picture_context
from givre.coder.fitting.overfit import overfit_in
from givre.coder.fitting.progress import FinishTeller, ProgressListener
from givre.coder.fitting.settings import FitSettings
from givre.coder.fitting.source import Source, source_of
from givre.coder.fitting.torch_context import torch_as_shipped, torch_threads
from givre.coder.quantisation.rounds import finish_fit
from givre.coder.quantisation.spending import following
from givre.coder.report import Effort, Encoded, check_collapse, verified
from givre.errors import UsageError


def fit_and_write(
    picture: Picture,
    settings: FitSettings,
    *,
    on_progress: ProgressListener | None = None,
    checkpoint: Path | None = None,
    resume: Fit | None = None,
    on_fit: Callable[[Fit], None] | None = None,
) -> Encoded:
    """Fit a picture and write it with its metadata.

    Args:
        picture: samples, their depth and metadata.
        settings: of the fit.
        on_progress: called a few times a second while it is fitted, and now and then afterwards.
        checkpoint: a file that is kept up to date meanwhile.
        resume: an earlier fit of this image to go on from.
        on_fit: told the fit before it is written.

    Raises:
        ImageError: the samples are of a kind that the codec does not take.
        GivreError: for the reasons that `overfit` and `encode_fit` name.
    """
    context = picture_context(picture, settings)
    with compiling_meanwhile(context.kernels.exact):
        fit = overfit_in(
            context,
            settings.prior,
            on_progress=on_progress,
            checkpoint=checkpoint,
            resume=resume,
            following=following(settings.steps, context.pixels),
        )
        if on_fit is not None:
            on_fit(fit)
        chosen = changed(context, fit.settings)  # its prior may be another one
        return encode_in(fit, chosen, on_progress)


def encode_fit(fit: Fit, picture: Picture | None = None) -> Encoded:
    """Finish a fit and write it as a file, after decoding it with the real decoder.

    Args:
        fit: the outcome of `overfit`; it need not be at its last step.
        picture: what was fitted. A fit that was loaded from a checkpoint needs it, and the file
            gets its metadata.

    Returns:
        The file and its report.

    Raises:
        UsageError: the fit was loaded from a checkpoint and the image is not given.
        CheckpointError: the fit belongs to another image.
        CollapseError: see `check_collapse`.
    """
    source = fit.source if picture is None else source_of(picture)
    if source is None:
        raise UsageError("a checkpoint does not hold the image, give the picture to encode")
    fit.check_image(source)
    sections = () if picture is None else metadata_sections(picture.metadata)
    return encode_in(fit, fit_context(source, fit.settings, sections))


@torch_as_shipped()
def encode_in(
    fit: Fit, context: FitContext, on_progress: ProgressListener | None = None
) -> Encoded:
    """`encode_fit` in a context that is made already, with the fit's prior.

    Args:
        fit: the outcome of `overfit`.
        context: of the fit.
        on_progress: told now and then how far it is.

    Raises:
        CollapseError: see `check_collapse`.
    """
    started = perf_counter()
    context = on_cpu(context)
    teller = finish_teller(fit, context, on_progress)
    with torch_threads(1):  # the kernels have their own threads, and torch's would change sums
        finished, quantised = finish_fit(fit, context, teller.quantising)
        teller.writing(0)
        encoded = write_fit(finished, context, quantised, started)
        teller.writing(1)
    check_collapse(encoded.report, context.source)
    return encoded


def finish_teller(
    fit: Fit, context: FitContext, on_progress: ProgressListener | None
) -> FinishTeller:
    """What tells a listener how far the work after a fit is."""
    return FinishTeller(
        on_progress,
        fit.bpp,
        fit.psnr_db,
        fit.seconds,
        fit.seconds / max(fit.steps, 1),
        following(fit.steps, context.pixels),
    )


def write_fit(
    fit: Fit, context: FitContext, quantised: QuantisedParameters, started: float | None = None
) -> Encoded:
    """Write a fit as a file, as it is, and decode that with the real decoder.

    Args:
        fit: gives the latents.
        context: of the fit.
        quantised: the decoder's parameters.
        started: when the writing began, as `perf_counter` says; None for now.

    Returns:
        The file and its report.
    """
    started = perf_counter() if started is None else started
    tile = code_tile(fit, context, quantised)
    data = pack_tiles([tile], (fit.width, fit.height), context.source, None, context.sections)
    effort = Effort(fit.settings, fit.steps, fit.seconds, perf_counter() - started)
    return verified(data, context.source, effort, tile.kernels)


def pack_tiles(
    tiles: Sequence[CodedTile],
    size: tuple[int, int],
    source: Source,
    tiling: Tiling | None,
    sections: tuple[Section, ...],
) -> bytes:
    """The file of a picture whose tiles are coded.

    Args:
        tiles: row by row, all with one architecture and one prior.
        size: width and height of the picture.
        source: depth and transparency of the picture, or of any tile.
        tiling: sides of the tiles; None for a picture of one piece.
        sections: what follows the pixels.
    """
    header = Header(
        width=size[0],
        height=size[1],
        bit_depth=source.bit_depth,
        architecture=tiles[0].architecture,
        tiles=tuple(tile.entry for tile in tiles),
        alpha=source.alpha,
        tiling=tiling,
        has_metadata=bool(sections),
        prior=tiles[0].prior,
    )
    return pack(Container(header, tuple(tile.payload for tile in tiles), sections=sections))
