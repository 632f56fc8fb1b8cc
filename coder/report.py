"""What a file is worth: its real bytes, and the pixels that the real decoder makes of them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from hashlib import sha256
from time import perf_counter

import numpy as np

from givre.bitstream.container import payload_bytes, read_prefix, section_bytes
from givre.bitstream.tiling import tile_rectangles
from givre.coder.decoder import decode_samples
from givre.coder.files.picture import AnySamples
from givre.coder.fitting.settings import FitSettings
from givre.coder.fitting.source import Source
from givre.coder.psnr import constant_error, mean_squared_error, psnr_db
from givre.errors import CollapseError
from givre.models.complexity import mac_per_pixel

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
        tiles: their number, 1 for a picture of one piece.
        bytes: size of the file.
        bpp: bits per pixel of the whole file.
        psnr_db: of the decoded colours, relative to the full range of the depth; each pixel counts
            by its opacity.
        alpha_psnr_db: of alpha; None for a picture that is opaque.
        header_bytes: header and checksum.
        parameter_bytes: parameter section.
        latent_bytes: latent section.
        mask_bytes: mask section.
        metadata_bytes: sections after the pixels.
        mac_per_pixel: multiplications a pixel to decode it.
        lmbda: weight of the rate, as asked for or as found for a target.
        complexity: named point of the decoder.
        seed: of the fit.
        steps: of the fit, or of each tile's.
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
    tiles: int
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


@dataclass(frozen=True)
class Effort:
    """What a file took to make.

    Attributes:
        settings: of the fit.
        steps: of the fit; of a picture in tiles those of each tile.
        fit_seconds: the fits alone.
        write_seconds: what followed them, up to the whole file.
    """

    settings: FitSettings
    steps: int
    fit_seconds: float
    write_seconds: float


def verified(data: bytes, source: Source, effort: Effort, kernels: str) -> Encoded:
    """Decode a file as a stranger would, and report rate and quality of what comes out.

    Args:
        data: the file.
        source: the image it was made of.
        effort: what it took.
        kernels: what decodes, one of `execution.KERNELS`.
    """
    started = perf_counter()
    settings, header = effort.settings, read_prefix(data)
    decoded = decode_samples(data, threads=settings.threads, max_pixels=None, kernels=kernels)
    decode_seconds = perf_counter() - started
    mse = mean_squared_error(
        source.colour_samples, decoded[:, :, : source.colours], source.largest, source.opacity
    )
    bpp, metadata_bytes = 8 * len(data) / header.pixels, section_bytes(data)
    first = tile_rectangles(header.width, header.height, header.tiling)[0]
    macs = mac_per_pixel(header.architecture, first.width, first.height)
    report = EncodeReport(
        width=header.width,
        height=header.height,
        channels=header.channels,
        bit_depth=header.bit_depth,
        tiles=len(header.tiles),
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
        steps=effort.steps,
        seconds=effort.fit_seconds + effort.write_seconds + perf_counter() - started,
        fit_seconds=effort.fit_seconds,
        seconds_per_step=effort.fit_seconds / max(effort.steps * len(header.tiles), 1),
        decode_seconds=decode_seconds,
        loss=mse * source.seen + settings.lmbda * bpp,
        sha256=sha256(np.ascontiguousarray(decoded).data).hexdigest(),
    )
    return Encoded(data, report)


def _alpha_psnr_db(source: Source, decoded: AnySamples) -> float | None:
    """PSNR of alpha in dB; None for a picture that is opaque."""
    if source.opacity is None:
        return None
    difference = source.opacity - decoded[:, :, -1] / np.float32(source.largest)
    return psnr_db(float(np.mean(np.square(difference, dtype=np.float64))))


def check_collapse(report: EncodeReport, source: Source) -> None:
    """Refuse a file that shows a constant image where a few bits would buy a real one.

    Args:
        report: of the file.
        source: the image it was made of.

    Raises:
        CollapseError: the file is no better than a constant image although its lambda would allow
            more. Fits of fewer than 100 steps are only warned of.
    """
    constant = constant_error(source.colour_samples, source.largest, source.opacity)
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
