"""The fitted latents: float grids, their quantisation proxy and the optimiser that moves them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from givre.models.codec_model import CodecModel
from givre.models.geometry import LATENT_MAX, LATENT_MIN, Grid
from givre.models.noise import normal_noise
from givre.models.proxy import noisy_soft_round
from givre.models.synthesis import distortion

ADAM_BETAS = (0.9, 0.95)
"""A short memory of the squares: most latents see a gradient of note only now and then."""
ADAM_EPS = 1e-8


@dataclass(frozen=True)
class ProxySettings:
    """How latents are quantised in a step.

    Attributes:
        gain: fitted values are multiplied by it before anything else.
        temperature: of the soft rounding.
        noise: standard deviation between the two soft rounds.
        seed: of the noise.
        step: number of the step; every step has noise of its own.
    """

    gain: float
    temperature: float
    noise: float
    seed: int
    step: int


class FittedLatents(Protocol):
    """Latents of one image while they are fitted."""

    def start(self, values: Sequence[Tensor], gain: float) -> None:
        """Begin at `values` (H_i, W_i), which are on the symbols' scale: gain * u."""

    def values(self) -> list[Tensor]:
        """The fitted values u (H_i, W_i), before the gain; not copies."""

    def proxy(self, settings: ProxySettings) -> list[Tensor]:
        """Differentiable stand-ins for the rounded latents, (H_i, W_i) each."""

    def backward(self, model: CodecModel, target: Tensor, span: Tensor, rate_weight: float) -> None:
        """Find the gradient of distortion + rate_weight * bits at the last proxy.

        That by the latents is kept for `update`, that by the networks for `give_gradients`. The
        parameters' `.grad` must be None before.

        Args:
            model: makes an image of the proxy, and bits.
            target: (1, C, H, W), normalised samples in [0, 1].
            span: (C, 1, 1) or (C, H, W), as in `models.synthesis.distortion`.
            rate_weight: of a bit.
        """

    def give_gradients(self) -> None:
        """Put the gradient that `backward` found into the `.grad` of the networks' parameters.

        It may be called beside `update`.
        """

    def update(self, learning_rate: float, upcoming: ProxySettings | None) -> None:
        """One Adam step from the gradients of the last proxy.

        `upcoming` says what the next proxy will be, so that it can be made in the same pass.
        """

    def rounded(self, gain: float) -> list[Tensor]:
        """Latents as the file would hold them, integer values in float tensors."""

    def state_tensors(self) -> dict[str, Tensor]:
        """All state as named tensors, for a checkpoint."""

    def load_state_tensors(self, state: dict[str, Tensor]) -> None:
        """Take back what `state_tensors` gave; KeyError when something is missing."""


class ReferenceLatents:
    """Latents in plain torch, on any device: autograd through the proxy, torch's Adam.

    Args:
        grids: geometry; the values start at zero.
        device: where they live.
    """

    def __init__(self, grids: Sequence[Grid], device: torch.device) -> None:
        self._values = [
            torch.zeros(g.height, g.width, device=device, requires_grad=True) for g in grids
        ]
        self._adam = torch.optim.Adam(self._values, betas=ADAM_BETAS, eps=ADAM_EPS)
        self._proxies: list[Tensor] = []

    @torch.no_grad()
    def start(self, values: Sequence[Tensor], gain: float) -> None:
        """See `FittedLatents.start`."""
        for u, value in zip(self._values, values, strict=True):
            u.copy_(value / gain)

    def values(self) -> list[Tensor]:
        """See `FittedLatents.values`."""
        return [u.detach() for u in self._values]

    def proxy(self, settings: ProxySettings) -> list[Tensor]:
        """See `FittedLatents.proxy`."""
        scaled = [u * settings.gain for u in self._values]
        noise = [settings.noise * _noise_like(y, settings, i) for i, y in enumerate(scaled)]
        self._proxies = [
            noisy_soft_round(y, n, settings.temperature) for y, n in zip(scaled, noise, strict=True)
        ]
        return self._proxies

    def backward(self, model: CodecModel, target: Tensor, span: Tensor, rate_weight: float) -> None:
        """See `FittedLatents.backward`."""
        error = distortion(model.synthesis(model.dense(self._proxies)), target, span)
        loss = error + rate_weight * model.rate(self._proxies)
        loss.backward()  # type: ignore[no-untyped-call]

    def give_gradients(self) -> None:
        """See `FittedLatents.give_gradients`; autograd has done it already."""

    def update(self, learning_rate: float, upcoming: ProxySettings | None) -> None:
        """See `FittedLatents.update`."""
        del upcoming  # autograd needs a pass of its own anyway
        for group in self._adam.param_groups:
            group["lr"] = learning_rate
        self._adam.step()
        self._adam.zero_grad()

    def rounded(self, gain: float) -> list[Tensor]:
        """See `FittedLatents.rounded`."""
        return hard_latents([u * gain for u in self._values])

    def state_tensors(self) -> dict[str, Tensor]:
        """See `FittedLatents.state_tensors`."""
        state = {f"latent.{i}": u.detach() for i, u in enumerate(self._values)}
        for i, u in enumerate(self._values):
            moments = self._adam.state[u]
            state["adam.step"] = moments["step"]
            for key in ("exp_avg", "exp_avg_sq"):
                state[f"adam.{i}.{key}"] = moments[key]
        return state

    def load_state_tensors(self, state: dict[str, Tensor]) -> None:
        """See `FittedLatents.load_state_tensors`."""
        for i, u in enumerate(self._values):
            with torch.no_grad():
                u.copy_(state[f"latent.{i}"])
            moments = {
                key: state[f"adam.{i}.{key}"].to(u.device).clone()
                for key in ("exp_avg", "exp_avg_sq")
            }
            self._adam.state[u] = moments | {"step": state["adam.step"].float().cpu().clone()}


def _noise_like(y: Tensor, settings: ProxySettings, grid: int) -> Tensor:
    noise = normal_noise(settings.seed, settings.step, grid, y.numel(), y.device)
    return noise.reshape(y.shape)


def hard_latents(latents: Sequence[Tensor]) -> list[Tensor]:
    """Latents as the file holds them: rounded to integers and clamped to the symbols' range."""
    return [latent.detach().round().clamp(LATENT_MIN, LATENT_MAX) for latent in latents]
