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

from givre.coder.fit import architecture_for
from givre.coder.kernels import choose_kernels
from givre.coder.normalisation import make_target
from givre.coder.schedule import Recipe, StepPlan, gain_for_lmbda, plan_step
from givre.coder.settings import FitSettings
from givre.coder.soap import Soap
from givre.models.architecture import Architecture
from givre.models.codec_model import CodecModel
from givre.models.latents import ProxySettings

BATCH = 3
"""Crops whose gradients are added up for one step of the networks."""

FOLLOWER_PACE = 0.5
"""Learning rate of networks that start from those of another lambda."""

_log = logging.getLogger(__name__)


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
    visits: int,
    start: JointFit | None,
    threads: int,
) -> JointFit:
    """Fit one decoder to all crops.

    Args:
        crops: uint8 (S, S, 3), all of one size; their number is a multiple of BATCH.
        point: named point of the decoder.
        lmbda: weight of the rate.
        visits: steps that the latents of each crop make.
        start: a fit of the same crops at another lambda to go on from.
        threads: of the kernels.
    """
    targets = [make_target(crop) for crop in crops]
    size = crops[0].shape[0]
    kernels = choose_kernels("fused", torch.device("cpu"), threads)
    arch = architecture_for(FitSettings(complexity=point), size, size, 3)
    model = CodecModel(arch, size, size).train()
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
    soap = Soap(networks)
    pace = recipe.network_pace * (1.0 if start is None else FOLLOWER_PACE)
    rng = np.random.default_rng(0)

    def visit(crop: int, step: int, plan: StepPlan) -> float:
        settings = ProxySettings(gain, plan.hard, plan.temperature, plan.noise, crop, step)
        proxies = latents[crop].proxy(settings)
        target = targets[crop]
        rate = kernels.rate(model, proxies) / (size * size)
        loss = kernels.distortion(model, proxies, target.normalised, target.span) + lmbda * rate
        (loss / BATCH).backward()  # type: ignore[no-untyped-call]
        latents[crop].update(plan.learning_rate, None)
        return float(loss.detach())

    started = perf_counter()
    for step in range(visits):
        plan, total = plan_step(recipe, step, visits), 0.0
        for batch in rng.permutation(len(crops)).reshape(-1, BATCH):
            total += sum(visit(int(crop), step, plan) for crop in batch)
            soap.step(pace * plan.learning_rate, recipe.clip_norm, compiled=True)
            for parameter in networks:
                parameter.grad = None
        if (step + 1) % 20 == 0 or step + 1 == visits:
            mean, seconds = 1000 * total / len(crops), perf_counter() - started
            _log.info("%s %g: visit %d, %.0f s, 1000 J %.4f", point, lmbda, step + 1, seconds, mean)
    return JointFit(
        arch,
        lmbda,
        {name: p.detach().clone() for name, p in model.named_parameters()},
        [[gain * u for u in one.values()] for one in latents],
    )
