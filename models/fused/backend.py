"""The fused kernels as the operations that a fit is made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from givre.models.codec_model import CodecModel
from givre.models.fused.distortion import fused_distortion
from givre.models.fused.latents import FusedLatents
from givre.models.fused.module_parameters import parameters_of
from givre.models.fused.rate import fused_rate
from givre.models.fused.upsampling import fused_dense
from givre.models.geometry import Grid
from givre.models.latents import ProxySettings, hard_latents


class FusedFittedLatents:
    """`FusedLatents` with the interface of `models.latents.FittedLatents`.

    Args:
        grids: geometry; the values start at zero.
        threads: of the kernel; the results do not depend on it.
    """

    def __init__(self, grids: Sequence[Grid], threads: int) -> None:
        self._inner = FusedLatents([(g.height, g.width) for g in grids], threads)
        self._proxies: list[Tensor] = []
        self._made_for: ProxySettings | None = None

    def start(self, values: Sequence[Tensor], gain: float) -> None:
        """Begin at `values` (H_i, W_i), which are on the symbols' scale: gain * u."""
        for u, value in zip(self._inner.latents, values, strict=True):
            u.copy_(value / gain)
        self._made_for = None

    def values(self) -> list[Tensor]:
        """The fitted values u (H_i, W_i), before the gain; not copies."""
        return self._inner.latents

    def proxy(self, settings: ProxySettings) -> list[Tensor]:
        """Stand-ins for the rounded latents; those that the last update made, if it made them."""
        if settings != self._made_for:
            self._proxies = self._inner.proxy(settings)
        self._made_for = None
        return self._proxies

    def update(self, learning_rate: float, upcoming: ProxySettings | None) -> None:
        """One Adam step from the gradients of the last proxy, and the next proxy with it."""
        gradients = [torch.zeros_like(y) if y.grad is None else y.grad for y in self._proxies]
        if upcoming is None:
            self._inner.update(gradients, learning_rate)
        else:
            self._proxies = self._inner.update_and_proxy(gradients, learning_rate, upcoming)
        self._made_for = upcoming

    def rounded(self, gain: float) -> list[Tensor]:
        """Latents as the file would hold them, integer values in float tensors."""
        return hard_latents([u * gain for u in self._inner.latents])

    def state_tensors(self) -> dict[str, Tensor]:
        """All state as named tensors, for a checkpoint."""
        return self._inner.state_tensors()

    def load_state_tensors(self, state: dict[str, Tensor]) -> None:
        """Take back what `state_tensors` gave; KeyError when something is missing."""
        self._inner.load_state_tensors(state)
        self._made_for = None


class FusedOperations:
    """Rate, upsampling and distortion on the CPU, on a given number of threads.

    Args:
        threads: how many to use; the results do not depend on it.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def latents(self, grids: Sequence[Grid], device: torch.device) -> FusedFittedLatents:
        """Fitted latents of grids. `device` must be the CPU."""
        if device.type != "cpu":
            raise ValueError(f"fused latents live on the cpu, not on {device}")
        return FusedFittedLatents(grids, self._threads)

    def rate(self, model: CodecModel, latents: Sequence[Tensor]) -> Tensor:
        """Total bits; see `CodecModel.rate`."""
        return fused_rate(model, latents, self._threads)

    def upsample(self, model: CodecModel, latents: Sequence[Tensor]) -> Tensor:
        """Dense representation (1, L, H, W); see `CodecModel.dense`."""
        filters = model.upsampling
        pairs = zip(model.grids, latents, strict=True)
        return fused_dense(
            [latent for grid, latent in pairs if not grid.hyper],
            list(parameters_of(filters.transposed)),
            list(parameters_of(filters.preconcat)),
            self._threads,
        )

    def synthesis_distortion(
        self, model: CodecModel, dense: Tensor, target: Tensor, span: Tensor
    ) -> Tensor:
        """Mean squared error; see `models.synthesis.distortion`."""
        return fused_distortion(model.synthesis, dense, target, span, self._threads)
