"""Rate and distortion on a sample of the image, quick enough to be asked thousands of times.

Choosing steps for the parameters, and then their integers one by one, needs the cost of thousands
of slightly different decoders. ARM and IFCE change only the rate, upsampling and synthesis only
the distortion, and a few tens of thousands of latents or pixels tell which change is better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call

from givre.coder.normalisation import Target
from givre.models.arm import gather_contexts, laplace_bits
from givre.models.codec_model import CodecModel
from givre.models.ifce import nearest_stack
from givre.models.synthesis import distortion
from givre.models.upsampling import TRAINING_FORM, upsample

MAX_LATENTS_PER_GRID = 8192
PATCH_SIZE = 32
MAX_PATCHES = 32


@dataclass(frozen=True)
class _GridSample:
    """Some latents of one grid: spatial contexts (n, N), symbols (n,), IFCE inputs (n, n_in)."""

    level: int | None
    spatial: Tensor
    symbols: Tensor
    inputs: Tensor | None
    weight: float


class SampledRate:
    """Estimates the latents' bits for any ARM and IFCE parameters.

    Args:
        model: gives the architecture and evaluates the ARM; its own parameters are not used.
        latents: integer latents of every grid, as float tensors.
        generator: picks the sample.
    """

    def __init__(
        self, model: CodecModel, latents: Sequence[Tensor], generator: torch.Generator
    ) -> None:
        self._model = model
        self._samples: list[_GridSample] = []
        for i, grid in enumerate(model.grids):
            latent = latents[i]
            pick = _pick(latent.numel(), MAX_LATENTS_PER_GRID, generator)
            spatial = gather_contexts(latent, None, model.arm.offsets, 0)[pick]
            inputs = None
            has_features = not grid.hyper and grid.level < model.arch.n_ifce
            if has_features:
                stack = nearest_stack(model.grids[i + 1 :], latents[i + 1 :], grid.level + 1)
                rows, columns = pick // grid.width, pick % grid.width
                inputs = stack[:, rows // 2, columns // 2].t()
            self._samples.append(
                _GridSample(
                    level=grid.level if has_features else None,
                    spatial=spatial,
                    symbols=latent.reshape(-1)[pick],
                    inputs=inputs,
                    weight=latent.numel() / len(pick),
                )
            )
        self._symbols = torch.cat([s.symbols for s in self._samples])
        self._weights = torch.cat(
            [s.symbols.new_full((len(s.symbols),), s.weight) for s in self._samples]
        )

    @torch.no_grad()
    def bits(self, parameters: Mapping[str, Tensor]) -> float:
        """Bits of all latents with these parameters, by their full names."""
        n_features = self._model.arch.n_features
        rows = []
        for sample in self._samples:
            if sample.inputs is None:
                features = sample.spatial.new_zeros(len(sample.spatial), n_features)
            else:
                weight = parameters[f"ifce.{sample.level}.weight"]
                features = torch.addmm(
                    parameters[f"ifce.{sample.level}.bias"], sample.inputs, weight.t()
                )
            rows.append(torch.cat([sample.spatial, features], dim=1))
        arm = _part(parameters, "arm")
        mean, log_scale = functional_call(self._model.arm, arm, (torch.cat(rows),))
        return float(laplace_bits(self._symbols, mean, log_scale) @ self._weights)


class SampledDistortion:
    """Estimates the mean squared error for any synthesis parameters, on patches of the image.

    Args:
        model: evaluates the synthesis; its own parameters are not used.
        dense: dense representation (1, L, H, W).
        target: the image.
        generator: picks the patches.
    """

    def __init__(
        self, model: CodecModel, dense: Tensor, target: Target, generator: torch.Generator
    ) -> None:
        self._model = model
        self._span = target.span
        halo = model.arch.n_residual
        _, _, height, width = dense.shape
        rows, columns = min(height, PATCH_SIZE + 2 * halo), min(width, PATCH_SIZE + 2 * halo)
        n_rows, n_columns = -(-height // rows), -(-width // columns)
        cells = _pick(n_rows * n_columns, MAX_PATCHES, generator)
        patches, targets = [], []
        for cell in cells.tolist():
            top = min((cell // n_columns) * rows, height - rows)
            left = min((cell % n_columns) * columns, width - columns)
            window = (..., slice(top, top + rows), slice(left, left + columns))
            patches.append(dense[window])
            targets.append(target.normalised[window])
        self._dense, self._target = torch.cat(patches), torch.cat(targets)

    @torch.no_grad()
    def mse(self, parameters: Mapping[str, Tensor]) -> float:
        """Mean squared error over samples in [0, 1] with these parameters, by their full names."""
        own = _part(parameters, "synthesis")
        out = functional_call(self._model.synthesis, own, (self._dense,))
        return float(distortion(out, self._target, self._span))


class WholeDistortion:
    """The mean squared error of the whole image for any upsampling and synthesis parameters.

    Args:
        model: evaluates upsampling and synthesis; its own parameters are not used.
        latents: integer latents of every grid, as float tensors.
        target: the image.
    """

    def __init__(self, model: CodecModel, latents: Sequence[Tensor], target: Target) -> None:
        self._model, self._target = model, target
        self._main = model.main(latents)

    @torch.no_grad()
    def dense(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Dense representation (1, L, H, W) with these upsampling parameters."""
        stages = range(self._model.arch.n_levels - 1)
        return upsample(
            self._main,
            [parameters[f"upsampling.transposed.{s}.weight"] for s in stages],
            [parameters[f"upsampling.preconcat.{s}.weight"] for s in stages],
            TRAINING_FORM,
        )

    @torch.no_grad()
    def mse(self, parameters: Mapping[str, Tensor]) -> float:
        """Mean squared error over samples in [0, 1] with these parameters, by their full names."""
        own = _part(parameters, "synthesis")
        out = functional_call(self._model.synthesis, own, (self.dense(parameters),))
        return float(distortion(out, self._target.normalised, self._target.span))


def _part(parameters: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """The parameters of one submodule, by the names it gives them."""
    prefix = f"{part}."
    return {n.removeprefix(prefix): p for n, p in parameters.items() if n.startswith(prefix)}


def _pick(n: int, limit: int, generator: torch.Generator) -> Tensor:
    """`limit` different indices below n in ascending order, or all of them."""
    if n <= limit:
        return torch.arange(n)
    return torch.randperm(n, generator=generator)[:limit].sort().values
