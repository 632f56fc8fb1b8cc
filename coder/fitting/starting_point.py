"""Where a fit starts: networks at random or at a prior, latents at zero or from an analysis."""

from __future__ import annotations

import torch
from torch import Tensor

from givre.bitstream.priors import Prior
from givre.coder.fitting.analysis import analyse, load_analysis
from givre.coder.fitting.normalisation import Target
from givre.models.architecture import architecture_name
from givre.models.codec_model import CodecModel

_COLOURS = 3


def start_networks(
    model: CodecModel, target: Target, seed: int, prior: Prior, ups_init: str | None
) -> None:
    """Give every parameter its start value.

    Args:
        model: on the CPU, changed.
        target: its mean colour is what the synthesis begins with where it has no prior.
        seed: of whatever the prior does not hold.
        prior: what the tensors that it holds begin with.
        ups_init: interpolation that the upsampling begins with; None for the prior's own, or, if
            that has none, for the rule by the filters' size.
    """
    model.initialise(torch.Generator().manual_seed(seed), target.mean.cpu())
    model.upsampling.initialize_parameters(ups_init)
    values = prior.values(model.arch)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            chosen = ups_init is not None and name.startswith("upsampling.")
            if name in prior.integers and not chosen:
                parameter.copy_(torch.from_numpy(values[name]))


def start_latents(model: CodecModel, target: Target, prior: Prior) -> list[Tensor]:
    """Latents (H_i, W_i) of every grid, on the symbols' scale, not rounded.

    They are an analysis of the image where a prior fixes what latents mean, else zero.
    """
    point = architecture_name(model.arch)
    if prior.number and point is not None and model.arch.n_channels == _COLOURS:
        return analyse(load_analysis(point, prior.number), target.normalised, model.grids)
    device = target.normalised.device
    return [torch.zeros(grid.height, grid.width, device=device) for grid in model.grids]
