"""From a fit to a file: quantise, write, decode what was written, and report what it is worth."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.alpha_mask import write_mask
from givre.bitstream.container import Container, TilePayload, pack, payload_bytes, samples_crc
from givre.bitstream.header import Alpha, Header, TileEntry
from givre.bitstream.latents import CodedLatents, write_latents
from givre.bitstream.metadata_sections import metadata_sections
from givre.bitstream.parameters import QuantisedParameters, write_parameters
from givre.bitstream.sections import write_sections
from givre.coder.decoder import TilePlan, decode_samples, grid_predictor, reconstruct
from givre.coder.exact_backends import Backend, compiling_meanwhile, exact_kernels, make_backend
from givre.coder.execution import resolve_threads
from givre.coder.files.picture import AnySamples, Picture
from givre.coder.fitting.checkpoint import Fit
from givre.coder.fitting.context import FitContext, changed, fit_context, on_cpu
from givre.coder.fitting.overfit import overfit_in
from givre.coder.fitting.progress import ProgressListener
from givre.coder.fitting.settings import FitSettings
from givre.coder.fitting.source import Source, source_of
from givre.coder.fitting.torch_context import torch_as_shipped
from givre.coder.psnr import constant_error, mean_squared_error, psnr_db
from givre.coder.quantisation.rounds import finish_fit
from givre.coder.transparency import with_mask
from givre.errors import CollapseError, UsageError
from givre.models.complexity import mac_per_pixel
from givre.models.geometry import grids

_log = logging.getLogger(__name__)

_CONVERGED_STEPS = 100
"""A fit shorter than this may be no better than a constant image without being broken."""

_CHEAP_BPP = 0.1
"""Bits per pixel for which any decoder shows half of the image's energy."""


@dataclass(frozen=True)
class EncodeReport:
    """What a file is worth: real bytes, and pixels from the real decoder.

    Attributes:
        width: in pixels.
        height: in pixels.
        channels: samples a pixel.
        bit_depth: bits a sample.
        bytes: size of the file.
        bpp: bits per pixel of the whole file.
        psnr_db: of the decoded colours, relative to the full range of the depth; each pixel counts
            by its opacity.
        alpha_psnr_db: of alpha; None for a picture that is opaque.
        header_bytes: everything that is none of what follows.
        parameter_bytes: parameter section.
        latent_bytes: latent section.
        mask_bytes: mask section.
        metadata_bytes: sections after the pixels.
        mac_per_pixel: multiplications a pixel to decode it.
        lmbda: weight of the rate, as asked for or as found for a target.
        complexity: named point of the decoder.
        seed: of the fit.
        steps: of the fit.
        seconds: fit and writing, in all.
        fit_seconds: the fit alone.
        seconds_per_step: of the fit.
        decode_seconds: the check by the real decoder.
        loss: MSE + lambda * bpp of the file; the MSE is spread over all pixels, seen or not.
        sha256: of the decoded samples, in hexadecimal.
    """

    width: int
    height: int
    channels: int
    bit_depth: int
    bytes: int
    bpp: float
    psnr_db: float
    alpha_psnr_db: float | None
    header_bytes: int
    parameter_bytes: int
    latent_bytes: int
    mask_bytes: int
    metadata_bytes: int
    mac_per_pixel: float
    lmbda: float
    complexity: str
    seed: int
    steps: int
    seconds: float
    fit_seconds: float
    seconds_per_step: float
    decode_seconds: float
    loss: float
    sha256: str


@dataclass(frozen=True)
class Encoded:
    """A file and its report."""

    data: bytes
    report: EncodeReport


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
        on_progress: called a few times a second while it is fitted.
        checkpoint: a file that is kept up to date meanwhile.
        resume: an earlier fit of this image to go on from.
        on_fit: told the fit before it is written.

    Raises:
        ImageError: the samples are of a kind that the codec does not take.
        GivreError: for the reasons that `overfit` and `encode_fit` name.
    """
    context = fit_context(source_of(picture), settings, metadata_sections(picture.metadata))
    with compiling_meanwhile(context.kernels.exact):
        fit = overfit_in(
            context, settings.prior, on_progress=on_progress, checkpoint=checkpoint, resume=resume
        )
        if on_fit is not None:
            on_fit(fit)
        return encode_in(fit, changed(context, fit.settings))  # its prior may be another one


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
def encode_in(fit: Fit, context: FitContext) -> Encoded:
    """`encode_fit` in a context that is made already, with the fit's prior.

    Raises:
        CollapseError: see `check_collapse`.
    """
    started = perf_counter()
    context = on_cpu(context)
    finished, quantised = finish_fit(fit, context)
    encoded = write_fit(finished, context, quantised, started)
    check_collapse(encoded.report, context.source)
    return encoded


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
    arch, target, source = fit.architecture, context.target, context.source
    latents = [latent.numpy().astype(np.float64) for latent in fit.latents]
    unknown = TileEntry(target.low, target.high, parameter_bytes=0, latent_bytes=0, pixel_crc=0)
    plan = TilePlan(arch, fit.width, fit.height, source.bit_depth, source.alpha, unknown)
    # All is done twice: once to write the file, and once to check it.
    exact = exact_kernels(context.kernels.exact, arch, fit.width, fit.height, passes=2)
    backend = make_backend(exact, arch, quantised.values(arch))
    parameter_section = write_parameters(arch, quantised)
    latent_section = write_latents(coded_latents(backend, plan, latents))
    decoded = reconstruct(backend, plan, latents, resolve_threads(fit.settings.threads))
    mask_section = b""
    if source.classes is not None:
        mask_section = write_mask(source.classes, has_between=source.alpha is Alpha.SOFT)
        decoded = with_mask(decoded, source.classes, source.alpha, source.bit_depth)
    entry = replace(
        unknown,
        parameter_bytes=len(parameter_section),
        latent_bytes=len(latent_section),
        mask_bytes=len(mask_section),
        pixel_crc=samples_crc(decoded),
    )
    header = Header(
        width=fit.width,
        height=fit.height,
        bit_depth=source.bit_depth,
        architecture=arch,
        tiles=(entry,),
        alpha=source.alpha,
        has_metadata=bool(context.sections),
        prior=quantised.prior.number,
    )
    payload = TilePayload(parameter_section, latent_section, mask_section)
    data = pack(Container(header, (payload,), sections=context.sections))
    return _verified(data, header, fit, context, exact, started)


def check_collapse(report: EncodeReport, source: Source) -> None:
    """Refuse a file that shows a constant image where a few bits would buy a real one.

    Args:
        report: of the file.
        source: the image it was made of.

    Raises:
        CollapseError: the file is no better than a constant image although its lambda would allow
            more. Fits of fewer than 100 steps are only warned of.
    """
    constant = constant_error(_colours(source), source.largest, source.opacity)
    worthwhile = report.lmbda * _CHEAP_BPP < 0.5 * constant
    if report.psnr_db > psnr_db(0.99 * constant) or not worthwhile:
        return
    message = (
        f"the result ({report.psnr_db:.2f} dB) is no better than a constant image "
        f"({psnr_db(constant):.2f} dB); fit with more steps or another seed"
    )
    if report.steps >= _CONVERGED_STEPS:
        raise CollapseError(message)
    _log.warning("%s", message)


def coded_latents(
    backend: Backend, plan: TilePlan, latents: list[NDArray[np.float64]]
) -> Iterator[CodedLatents]:
    """Every wave of every grid in coding order: symbols, means and scale indices."""
    arch = plan.architecture
    all_grids = grids(arch, plan.width, plan.height)
    for i in reversed(range(len(all_grids))):
        predictor = grid_predictor(backend, arch, all_grids, i, latents[i + 1 :])
        flat = latents[i].reshape(-1).astype(np.int32)
        for wave in predictor.waves():
            symbols = flat[predictor.indices(*wave)]
            mean, scale = predictor.predict(*wave)
            predictor.fill(*wave, symbols)
            yield symbols, mean, scale


def _verified(
    data: bytes, header: Header, fit: Fit, context: FitContext, exact: str, started: float
) -> Encoded:
    """Decode the file as a stranger would, and report rate and quality of what comes out."""
    decode_started = perf_counter()
    decoded = decode_samples(data, threads=fit.settings.threads, max_pixels=None, kernels=exact)
    decode_seconds = perf_counter() - decode_started
    source = context.source
    mse = mean_squared_error(
        _colours(source), decoded[:, :, : source.colours], source.largest, source.opacity
    )
    settings, pixels = fit.settings, fit.width * fit.height
    bpp = 8 * len(data) / pixels
    metadata_bytes = len(write_sections(context.sections)) if context.sections else 0
    macs: Mapping[str, float] = mac_per_pixel(header.architecture, fit.width, fit.height)
    report = EncodeReport(
        width=fit.width,
        height=fit.height,
        channels=header.channels,
        bit_depth=header.bit_depth,
        bytes=len(data),
        bpp=bpp,
        psnr_db=psnr_db(mse),
        alpha_psnr_db=_alpha_psnr_db(source, decoded),
        header_bytes=len(data) - payload_bytes(header) - metadata_bytes,
        parameter_bytes=header.parameter_bytes,
        latent_bytes=header.latent_bytes,
        mask_bytes=header.mask_bytes,
        metadata_bytes=metadata_bytes,
        mac_per_pixel=macs["total"],
        lmbda=settings.lmbda,
        complexity=settings.complexity,
        seed=settings.seed,
        steps=fit.steps,
        seconds=fit.seconds + perf_counter() - started,
        fit_seconds=fit.seconds,
        seconds_per_step=fit.seconds / max(fit.steps, 1),
        decode_seconds=decode_seconds,
        loss=mse * source.seen + settings.lmbda * bpp,
        sha256=sha256(decoded.tobytes()).hexdigest(),
    )
    return Encoded(data, report)


def _colours(source: Source) -> AnySamples:
    """AnySamples (H, W, 1 or 3) without alpha."""
    return source.samples[:, :, : source.colours]


def _alpha_psnr_db(source: Source, decoded: AnySamples) -> float | None:
    """PSNR of alpha in dB; None for a picture that is opaque."""
    if source.opacity is None:
        return None
    difference = source.opacity - decoded[:, :, -1] / np.float32(source.largest)
    return psnr_db(float(np.mean(np.square(difference, dtype=np.float64))))
