"""Where a fit starts: networks at random or at a prior, latents at zero or from an analysis."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from givre.bitstream.priors import Prior
from givre.coder.fitting.analysis import analyse, load_analysis
from givre.coder.fitting.context import FitContext, changed
from givre.coder.fitting.evaluation import Evaluation, judge
from givre.coder.fitting.normalisation import Target
from givre.coder.fitting.prior_choice import (
    CLEARLY_BETTER,
    FEW_PIXELS,
    coarser_prior,
    prior_for_any_size,
    prior_for_size,
)
from givre.coder.fitting.schedule import gain_for_lmbda
from givre.coder.fitting.screen_content import comparable_lmbda
from givre.coder.transparency import has_alpha
from givre.models.architecture import architecture_name
from givre.models.codec_model import CodecModel
from givre.models.latents import hard_latents

_COLOURS = 3


def started_model(context: FitContext) -> CodecModel:
    """The networks of a fit before its first step, on the CPU."""
    model = CodecModel(context.architecture, *context.size)
    settings = context.settings
    start_networks(model, context.target, settings.seed, context.prior, settings.ups_init)
    return model


def starting_evaluation(context: FitContext) -> Evaluation:
    """What a fit is worth before its first step, without the means to do one."""
    model = started_model(context).to(context.target.normalised.device)
    gain = gain_for_lmbda(context.settings.lmbda)
    start = start_latents(model, context.target, context.prior)
    # Fitted latents are held as parts of the gain, which rounds them a little.
    latents = hard_latents([latent / gain * gain for latent in start])
    return judge(context.kernels, model, latents, context.target, context.settings.lmbda)


def choose_start(context: FitContext, asked: int | None) -> FitContext:
    """The context with the prior that a fit starts from.

    It is the nearest prior, but on small images a coarser one whose start is clearly better.

    Args:
        context: with the prior that is nearest in lambda, or with the one asked for.
        asked: number of the prior that was asked for, if one was.
    """
    if asked is not None or context.pixels > FEW_PIXELS:
        return context
    settings = context.settings
    if comparable_lmbda(context.source, settings.lmbda) != settings.lmbda:
        return context  # unlike photographs, for which the priors are ordered
    arch, first = context.architecture, prior_for_any_size(settings.prior or 0)
    if coarser_prior(arch, first) is None:
        return context

    def loss_from(prior: int) -> float:
        return starting_evaluation(changed(context, replace(settings, prior=prior))).loss

    loss, number = loss_from(first), first
    while (coarser := coarser_prior(arch, number)) is not None:
        before, loss = loss, loss_from(coarser)
        if not loss < CLEARLY_BETTER * before:
            break
        number = coarser
    if number == first:
        return context
    return changed(context, replace(settings, prior=prior_for_size(arch, number, context.pixels)))


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
        if prior.number and has_alpha(model.arch.n_channels):
            # No prior knows how transparent a picture is.
            dict(model.named_parameters())["synthesis.output.bias"][-1] = target.mean[-1].cpu()


def start_latents(model: CodecModel, target: Target, prior: Prior) -> list[Tensor]:
    """Latents (H_i, W_i) of every grid, on the symbols' scale, not rounded.

    They are an analysis of the image where a prior fixes what latents mean, else zero.
    """
    point = architecture_name(model.arch)
    if prior.number and point is not None:
        channels = model.arch.n_channels - has_alpha(model.arch.n_channels)
        colours = target.normalised[:, :channels].expand(-1, _COLOURS, -1, -1)
        return analyse(load_analysis(point, prior.number), colours, model.grids)
    device = target.normalised.device
    return [torch.zeros(grid.height, grid.width, device=device) for grid in model.grids]
