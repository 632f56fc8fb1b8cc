"""From a fit to the integers of the file: those of the networks and those of the latents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from givre.bitstream.parameters import QuantisedParameters
from givre.coder.fit import Fit
from givre.coder.kernels import choose_kernels
from givre.coder.latent_descent import descend
from givre.coder.normalisation import Target
from givre.coder.quantise import quantise_parameters
from givre.coder.settings import resolve_threads
from givre.coder.torch_threads import torch_threads
from givre.models.codec_model import CodecModel

_FEWEST_STEPS = 250
"""Moving the latents of a shorter fit takes too long next to the fit itself."""

_PASSES = 1
"""Over the latents, before the networks are quantised and again after it. With twice as many the
loss falls by another 0.1 %."""


def finish_fit(fit: Fit, target: Target) -> tuple[Fit, QuantisedParameters]:
    """Move the latents, quantise the networks, and move the latents to suit these.

    Plain torch has no single moves: with the kernels `reference` the latents stay as fitted.

    Args:
        fit: the outcome of `overfit`.
        target: the image it was fitted to.

    Returns:
        The fit with the latents, and the networks, as the file will hold them. Deterministic.
    """
    if fit.steps < _FEWEST_STEPS or fit.settings.kernels == "reference":
        return fit, quantise_fit(fit, target)
    fit = _moved(fit, fit.parameters, target)
    quantised = quantise_fit(fit, target)
    return _moved(fit, quantised.values(fit.architecture), target), quantised


def quantise_fit(fit: Fit, target: Target) -> QuantisedParameters:
    """Parameters of a fit's decoder as the file will hold them; see `quantise_parameters`."""
    with torch_threads(1):  # the kernels have their own threads, and torch's would change sums
        return quantise_parameters(fit, target, resolve_threads(fit.settings.threads))


def _moved(fit: Fit, values: Mapping[str, Tensor | NDArray[np.float64]], target: Target) -> Fit:
    """The fit with its latents moved to suit given networks."""
    model = CodecModel(fit.architecture, fit.width, fit.height)
    model.load_state_dict({name: torch.as_tensor(value) for name, value in values.items()})
    latents = [latent.to(torch.float32) for latent in fit.latents]
    settings = fit.settings
    kernels = choose_kernels(
        settings.kernels, torch.device("cpu"), resolve_threads(settings.threads)
    )
    with torch_threads(1):
        moved = descend(model, latents, target, settings.lmbda, kernels, _PASSES, settings.seed)
    return replace(fit, latents=[latent.to(torch.int8) for latent in moved])
