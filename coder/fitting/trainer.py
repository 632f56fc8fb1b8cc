"""The state of a fit while it runs: networks, latents, their optimisers, and one step of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from givre.bitstream.priors import NO_PRIOR, Prior
from givre.coder.fitting.fit_kernels import Kernels
from givre.coder.fitting.normalisation import Target
from givre.coder.fitting.parameter_rate import ParameterRate
from givre.coder.fitting.prior_choice import held_tensors
from givre.coder.fitting.schedule import Recipe, StepPlan, gain_for_lmbda
from givre.coder.fitting.soap import Soap, SoapSettings
from givre.coder.fitting.starting_point import start_latents, start_networks
from givre.models.architecture import Architecture
from givre.models.codec_model import CodecModel
from givre.models.latents import ProxySettings


@dataclass(frozen=True)
class Evaluation:
    """A model judged with rounded latents.

    Attributes:
        loss: MSE + lambda * bpp.
        bpp: estimated rate of the latents in bits per pixel.
        mse: distortion, relative to the full range.
    """

    loss: float
    bpp: float
    mse: float


class Trainer:
    """Networks and latents of one image, and how a step changes them.

    Args:
        arch: the decoder's architecture.
        target: the image, on the device where the fit runs.
        lmbda: weight of the rate.
        seed: of the start values and of the noise of every step.
        recipe: constants of the fit.
        kernels: what computes rate, distortion and proxy.
        ups_init: interpolation that the upsampling filters start from, as in `FitSettings`.
        prior: what the networks start from and are coded against.
    """

    def __init__(
        self,
        arch: Architecture,
        target: Target,
        lmbda: float,
        seed: int,
        recipe: Recipe,
        kernels: Kernels,
        ups_init: str | None = None,
        prior: Prior = NO_PRIOR,
    ) -> None:
        _, _, height, width = target.normalised.shape
        device = target.normalised.device
        self._target, self._lmbda, self._seed, self._recipe = target, lmbda, seed, recipe
        self._kernels = kernels
        self._pixels = height * width
        self._gain = gain_for_lmbda(lmbda)
        self.model = CodecModel(arch, width, height)
        start_networks(self.model, target, seed, prior, ups_init)
        self.model.to(device).train()
        self._networks = list(self.model.parameters())
        self._latents = kernels.latents(self.model.grids, device)
        self._parameter_rate: ParameterRate | None = None
        soap = SoapSettings()
        if prior.number:
            self._parameter_rate = ParameterRate(arch, self.model, prior.values(arch))
            self._latents.start(start_latents(self.model, target, prior), self._gain)
            # Decay would draw the networks to zero, away from the prior.
            soap = SoapSettings(weight_decay=0)
        held = held_tensors(arch, prior, self._pixels)
        free = [p for name, p in self.model.named_parameters() if name not in held]
        self._soap = Soap(free, soap)

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

    @torch.no_grad()
    def evaluate(self) -> Evaluation:
        """Judge the present model with latents as the file would hold them."""
        latents = self.rounded()
        bpp = float(self._kernels.rate(self.model, latents)) / self._pixels
        target = self._target
        mse = float(self._kernels.distortion(self.model, latents, target.normalised, target.span))
        return Evaluation(mse + self._lmbda * bpp, bpp, mse)

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
        compiled = self._kernels.name == "fused"
        if self._parameter_rate is not None:
            weight = self._recipe.parameter_weight * plan.rate * self._lmbda / self._pixels
            self._parameter_rate.add_gradient(weight, compiled)
        pace = self._recipe.network_pace * plan.learning_rate
        self._soap.step(pace, self._recipe.clip_norm, compiled)

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
