"""One decoder fitted to many crops at once: common networks, a latent pyramid for each crop."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from givre.coder.fitting.fit_kernels import choose_kernels
from givre.coder.fitting.normalisation import make_target
from givre.coder.fitting.schedule import Recipe, StepPlan, gain_for_lmbda, plan_step
from givre.coder.fitting.settings import FitSettings, architecture_for
from givre.coder.fitting.soap import SoapSettings
from givre.coder.fitting.source import Source
from givre.models.architecture import Architecture
from givre.models.codec_model import CodecModel
from givre.models.latents import ProxySettings

_BALANCED_FROM = 6
"""Visits after which the crops' losses tell how hard each is."""

_LOSS_MEMORY = 0.9
"""Of a crop's running mean loss."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """How a joint fit goes.

    Attributes:
        visits: steps that the latents of each crop make.
        batch: crops whose gradients are added up for one step of the networks; divides their
            number.
        networks: learning rate of the networks relative to that of a single fit.
        balanced: every crop counts by its loss relative to its own mean, so that the decoder is
            not made for the busiest crops alone.
        ramped: the weight of the rate falls as in a single fit.
    """

    visits: int
    batch: int
    networks: float
    balanced: bool
    ramped: bool = False


@dataclass(frozen=True)
class JointFit:
    """What a joint fit gives.

    Attributes:
        arch: the decoder.
        lmbda: weight of the rate.
        parameters: of the common networks, by name.
        latents: for each crop, the latents of every grid on the symbols' scale, not rounded.
    """

    arch: Architecture
    lmbda: float
    parameters: dict[str, Tensor]
    latents: list[list[Tensor]]


def fit_jointly(
    crops: Sequence[NDArray[np.uint8]],
    point: str,
    lmbda: float,
    pace: Pace,
    start: JointFit | None,
    threads: int,
) -> JointFit:
    """Fit one decoder to all crops.

    Args:
        crops: uint8 (H, W, 3), all of one size.
        point: named point of the decoder.
        lmbda: weight of the rate.
        pace: length, batches and learning rate.
        start: networks, and latents of these crops on the symbols' scale, to go on from.
        threads: of the kernels.
    """
    targets = [make_target(Source(crop)) for crop in crops]
    height, width, _ = crops[0].shape
    kernels = choose_kernels("fused", torch.device("cpu"), threads)
    arch = architecture_for(FitSettings(complexity=point), width, height, 3)
    model = CodecModel(arch, width, height).train()
    model.initialise(
        torch.Generator().manual_seed(0), torch.stack([t.mean for t in targets]).mean(0)
    )
    latents = [kernels.latents(model.grids, torch.device("cpu")) for _ in crops]
    gain, recipe = gain_for_lmbda(lmbda), Recipe()
    if start is not None:
        model.load_state_dict(start.parameters)
        for one, values in zip(latents, start.latents, strict=True):
            one.start(values, gain)
    networks = list(model.parameters())
    soap = kernels.optimiser(networks, SoapSettings())
    rng = np.random.default_rng(0)
    losses = np.full(len(crops), np.nan)

    def visit(crop: int, step: int, plan: StepPlan) -> None:
        settings = ProxySettings(gain, plan.temperature, plan.noise, crop, step)
        proxies = latents[crop].proxy(settings)
        target = targets[crop]
        rate = kernels.rate(model, proxies) / (height * width)
        weight = lmbda * (plan.rate if pace.ramped else 1.0)
        loss = kernels.distortion(model, proxies, target.normalised, target.span) + weight * rate
        found, before = float(loss.detach()), losses[crop]
        losses[crop] = found if np.isnan(before) else before + (1 - _LOSS_MEMORY) * (found - before)
        balance = 1.0
        if pace.balanced and step >= _BALANCED_FROM:
            balance = float(losses.mean() / losses[crop])
        (loss * (balance / pace.batch)).backward()
        latents[crop].update(plan.learning_rate, None)

    started = perf_counter()
    for step in range(pace.visits):
        plan = plan_step(recipe, step, pace.visits)
        for batch in rng.permutation(len(crops)).reshape(-1, pace.batch):
            for crop in batch:
                visit(int(crop), step, plan)
            rate = pace.networks * recipe.network_pace * plan.learning_rate
            soap.step(rate, recipe.clip_norm)
            for parameter in networks:
                parameter.grad = None
        if (step + 1) % 20 == 0 or step + 1 == pace.visits:
            mean, seconds = 1000 * losses.mean(), perf_counter() - started
            _log.info("%s %g: visit %d, %.0f s, 1000 J %.4f", point, lmbda, step + 1, seconds, mean)
    return JointFit(
        arch,
        lmbda,
        {name: p.detach().clone() for name, p in model.named_parameters()},
        [[gain * u for u in one.values()] for one in latents],
    )
