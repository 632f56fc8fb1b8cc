"""From a quantised fit to the coded sections of a tile, or of a picture without tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.alpha_mask import write_mask
from givre.bitstream.container import TilePayload, samples_crc
from givre.bitstream.header import Alpha, TileEntry
from givre.bitstream.latents import CodedLatents, write_latents
from givre.bitstream.parameters import QuantisedParameters, write_parameters
from givre.coder.decoder import TilePlan, grid_predictor, reconstruct
from givre.coder.exact_backends import Backend, exact_kernels, make_backend
from givre.coder.execution import resolve_threads
from givre.coder.fitting.checkpoint import Fit
from givre.coder.fitting.context import FitContext
from givre.coder.transparency import with_mask
from givre.models.architecture import Architecture
from givre.models.geometry import grids


@dataclass(frozen=True)
class CodedTile:
    """What a file holds of a tile.

    Attributes:
        architecture: of its decoder.
        entry: what the header says of it.
        payload: its sections.
        prior: number of the prior that its parameters are coded against.
        kernels: what computed it, `reference` or `fused`.
    """

    architecture: Architecture
    entry: TileEntry
    payload: TilePayload
    prior: int
    kernels: str


def code_tile(fit: Fit, context: FitContext, quantised: QuantisedParameters) -> CodedTile:
    """Code a fit as it is.

    Args:
        fit: gives the latents.
        context: of the fit.
        quantised: the decoder's parameters.
    """
    arch, target, source = fit.architecture, context.target, context.source
    latents = [latent.numpy().astype(np.float64) for latent in fit.latents]
    unknown = TileEntry(target.low, target.high, parameter_bytes=0, latent_bytes=0, pixel_crc=0)
    plan = TilePlan(arch, fit.width, fit.height, source.bit_depth, source.alpha, unknown)
    # All is done twice: once to write the file, and once to check it.
    kernels = exact_kernels(context.kernels.exact, arch, fit.width, fit.height, passes=2)
    backend = make_backend(kernels, arch, quantised.values(arch))
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
    payload = TilePayload(parameter_section, latent_section, mask_section)
    return CodedTile(arch, entry, payload, quantised.prior.number, kernels)


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
