"""Fits for tests: their context, and a trainer before its first step."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from givre.coder.fitting.checkpoint import Fit
from givre.coder.fitting.context import FitContext, fit_context
from givre.coder.fitting.fit_kernels import FitKernels, choose_kernels
from givre.coder.fitting.reference_kernels import ReferenceKernels
from givre.coder.fitting.schedule import Recipe
from givre.coder.fitting.settings import FitSettings
from givre.coder.fitting.starting_point import choose_start
from givre.coder.fitting.trainer import Trainer

REFERENCE: FitKernels = ReferenceKernels(1)
FUSED: FitKernels = choose_kernels("fused", torch.device("cpu"), 1)


def start_fit(samples: NDArray[np.uint8], settings: FitSettings) -> tuple[FitSettings, Trainer]:
    """The settings with the prior that was chosen, and the trainer before its first step."""
    context = choose_start(fit_context(samples, settings), settings.prior)
    return context.settings, Trainer(context, Recipe())


def context_of(fit: Fit, samples: NDArray[np.uint8]) -> FitContext:
    """The context in which a fit is quantised and written."""
    return fit_context(samples, fit.settings)
