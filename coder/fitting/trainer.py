"""The state of a fit while it runs: networks, latents, their optimisers, and one step of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from givre.coder.fitting.context import FitContext
from givre.coder.fitting.evaluation import Evaluation, judge
from givre.coder.fitting.parameter_rate import ParameterRate
from givre.coder.fitting.prior_choice import held_tensors
from givre.coder.fitting.schedule import Recipe, StepPlan, gain_for_lmbda
from givre.coder.fitting.soap import SoapSettings
from givre.coder.fitting.starting_point import start_latents, started_model
from givre.models.latents import ProxySettings


class Trainer:
    """Networks and latents of one image, and how a step changes them.

    Args:
        context: the image and what it is fitted with.
        recipe: constants of the fit.
    """

    def __init__(self, context: FitContext, recipe: Recipe) -> None:
        self._target, self._lmbda = context.target, context.settings.lmbda
        self._seed, self._recipe = context.settings.seed, recipe
        self._kernels, self._pixels = context.kernels, context.pixels
        self._gain = gain_for_lmbda(self._lmbda)
        device = context.target.normalised.device
        self.model = started_model(context).to(device).train()
        self._networks = list(self.model.parameters())
        self._latents = context.kernels.latents(self.model.grids, device)
        self._parameter_rate: ParameterRate | None = None
        arch, prior, soap = context.architecture, context.prior, SoapSettings()
        if prior.number:
            values = prior.values(arch)
            self._parameter_rate = context.kernels.parameter_rate(arch, self.model, values)
            self._latents.start(start_latents(self.model, context.target, prior), self._gain)
            # Decay would draw the networks to zero, away from the prior.
            soap = SoapSettings(weight_decay=0)
        held = held_tensors(arch, prior, self._pixels)
        free = [p for name, p in self.model.named_parameters() if name not in held]
        self._soap = context.kernels.optimiser(free, soap)

    @property
    def lmbda(self) -> float:
        """Weight of the rate; it may change from step to step, the encoder gain does not."""
        return self._lmbda

    @lmbda.setter
    def lmbda(self, value: float) -> None:
        self._lmbda = value

    def step(
        self, index: int, plan: StepPlan, upcoming: StepPlan | None, *, latents_only: bool = False
    ) -> None:
        """Do step `index`: proxy, loss, gradient, update.

        Args:
            index: of the step, 0-based.
            plan: of the step.
            upcoming: plan of the step after it, if there is one.
            latents_only: leave the networks as they are.
        """
        self._latents.proxy(self._proxy_settings(index, plan))
        for parameter in self._networks:
            parameter.grad = None
        weight = plan.rate * self._lmbda / self._pixels
        target = self._target
        self._latents.backward(self.model, target.normalised, target.span, weight)
        after = self._proxy_settings(index + 1, upcoming) if upcoming else None
        updates = [lambda: self._latents.update(plan.learning_rate, after)]
        if not latents_only:
            updates.append(lambda: self._step_networks(plan))
        self._kernels.together(updates)

    def evaluate(self) -> Evaluation:
        """Judge the present model with latents as the file would hold them."""
        return judge(self._kernels, self.model, self.rounded(), self._target, self._lmbda)

    def parameter_bits(self) -> float | None:
        """Guess of the parameters' bits in the file; None without a prior.

        It is good from about half of the schedule on; see `ParameterRate.coded_bits`.
        """
        return self._parameter_rate.coded_bits() if self._parameter_rate else None

    def rounded(self) -> list[Tensor]:
        """Latents rounded and clamped to the symbols' range, as float tensors."""
        return self._latents.rounded(self._gain)

    def symbols(self) -> list[Tensor]:
        """Latents as `Fit.latents` holds them: int8 on the CPU."""
        return [latent.to("cpu", torch.int8) for latent in self.rounded()]

    def parameters(self) -> dict[str, Tensor]:
        """Copies of the networks' tensors, by name."""
        return {name: p.detach().clone() for name, p in self.model.named_parameters()}

    def state_tensors(self) -> dict[str, Tensor]:
        """Everything that `load_state_tensors` needs to go on from here."""
        state = {f"network.{name}": p.detach() for name, p in self.model.named_parameters()}
        state |= {f"latents.{k}": v for k, v in self._latents.state_tensors().items()}
        return state | {f"soap.{k}": v for k, v in self._soap.state_tensors().items()}

    def load_state_tensors(self, state: dict[str, Tensor]) -> None:
        """Take back a state. Raises KeyError or RuntimeError when it does not fit."""
        with torch.no_grad():
            for name, p in self.model.named_parameters():
                p.copy_(state[f"network.{name}"])
        self._latents.load_state_tensors(_part(state, "latents."))
        self._soap.load_state_tensors(_part(state, "soap."))

    def latent_state(self) -> dict[str, Tensor]:
        """Copies of the latents and of their optimiser, for `load_latent_state`."""
        return {name: value.clone() for name, value in self._latents.state_tensors().items()}

    def load_latent_state(self, state: dict[str, Tensor]) -> None:
        """Go back to the latents of an earlier step; the networks stay as they are."""
        self._latents.load_state_tensors(state)

    @torch.no_grad()
    def set_networks(self, values: Mapping[str, NDArray[np.float64]]) -> None:
        """Give the networks other values, by name."""
        for name, p in self.model.named_parameters():
            p.copy_(torch.from_numpy(values[name]))

    def _step_networks(self, plan: StepPlan) -> None:
        self._latents.give_gradients()
        if self._parameter_rate is not None:
            weight = self._recipe.parameter_weight * plan.rate * self._lmbda / self._pixels
            self._parameter_rate.add_gradient(weight)
        pace = self._recipe.network_pace * plan.learning_rate
        self._soap.step(pace, self._recipe.clip_norm)

    def _proxy_settings(self, index: int, plan: StepPlan) -> ProxySettings:
        return ProxySettings(
            gain=self._gain,
            temperature=plan.temperature,
            noise=plan.noise,
            seed=self._seed,
            step=index,
        )


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
