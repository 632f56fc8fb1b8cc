"""Fits for tests: their context, and a trainer before its first step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from givre.coder.encoder import encode_fit as encode_fit_of
from givre.coder.encoder import fit_and_write
from givre.coder.files.picture import AnySamples, Picture
from givre.coder.fitting.checkpoint import Fit
from givre.coder.fitting.context import FitContext, fit_context
from givre.coder.fitting.fit_kernels import FitKernels, choose_kernels
from givre.coder.fitting.normalisation import Target, make_target
from givre.coder.fitting.overfit import overfit as overfit_source
from givre.coder.fitting.reference_kernels import ReferenceKernels
from givre.coder.fitting.schedule import Recipe
from givre.coder.fitting.settings import FitSettings
from givre.coder.fitting.source import Source, source_of
from givre.coder.fitting.starting_point import choose_start
from givre.coder.fitting.trainer import Trainer
from givre.coder.report import Encoded

REFERENCE: FitKernels = ReferenceKernels(1)
FUSED: FitKernels = choose_kernels("fused", torch.device("cpu"), 1)


def plain(samples: AnySamples) -> Source:
    """What a fit of samples (H, W, C) of 8 bits aims at."""
    return source_of(Picture(samples))


def target_of(samples: AnySamples) -> Target:
    """The same as the loss sees it."""
    return make_target(plain(samples))


def encode_samples(samples: AnySamples, settings: FitSettings, **options: Any) -> Encoded:
    """Fit samples (H, W, C) of 8 bits and write them."""
    return fit_and_write(Picture(samples), settings, **options)


def encode_fit(fit: Fit, samples: AnySamples) -> Encoded:
    """Write a fit of samples (H, W, C) of 8 bits."""
    return encode_fit_of(fit, Picture(samples))


def overfit(samples: AnySamples, settings: FitSettings, **options: Any) -> Fit:
    """Fit samples (H, W, C) of 8 bits."""
    return overfit_source(plain(samples), settings, **options)


def start_fit(samples: NDArray[np.uint8], settings: FitSettings) -> tuple[FitSettings, Trainer]:
    """The settings with the prior that was chosen, and the trainer before its first step."""
    context = choose_start(fit_context(plain(samples), settings), settings.prior)
    return context.settings, Trainer(context, Recipe())


def context_of(fit: Fit, samples: NDArray[np.uint8]) -> FitContext:
    """The context in which a fit is quantised and written."""
    return fit_context(plain(samples), fit.settings)
