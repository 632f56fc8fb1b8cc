"""Rate and distortion on a sample of the image, quick enough to be asked thousands of times.

Choosing steps for the parameters, and then their integers one by one, needs the cost of thousands
of slightly different decoders. ARM and IFCE change only the rate, upsampling and synthesis only
the distortion, and a few tens of thousands of latents or pixels tell which change is better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch.func import functional_call

from givre.coder.kernels import Kernels
from givre.coder.normalisation import Target
from givre.models.arm import gather_contexts, laplace_bits
from givre.models.codec_model import CodecModel
from givre.models.fused import pool
from givre.models.fused.sampled_distortion import FusedSampledDistortion
from givre.models.fused.sampled_rate import FusedSampledRate, LatentSample
from givre.models.ifce import nearest_stack
from givre.models.synthesis import distortion

MAX_LATENTS_PER_GRID = 16384
PATCH_SIZE = 32
MAX_PATCHES = 64

_PARTS = 4
"""Plain torch always computes a sample in so many parts, so that threads cannot change a sum."""

_T = TypeVar("_T")
_Cost = Callable[[Mapping[str, Tensor]], float]


@dataclass(frozen=True)
class _GridSample:
    """Some latents of one grid: spatial contexts (n, N), symbols (n,), IFCE inputs (n, n_in)."""

    level: int | None
    spatial: Tensor
    symbols: Tensor
    inputs: Tensor | None
    weight: float

    def split(self, n_parts: int) -> list[_GridSample]:
        """Cut the sample into `n_parts` of about the same size."""
        spatial, symbols = self.spatial.tensor_split(n_parts), self.symbols.tensor_split(n_parts)
        inputs: Sequence[Tensor | None] = [None] * n_parts
        if self.inputs is not None:
            inputs = self.inputs.contiguous().tensor_split(n_parts)
        return [
            _GridSample(self.level, *piece, self.weight)
            for piece in zip(spatial, symbols, inputs, strict=True)
        ]

    def arrays(self) -> LatentSample:
        """The same as arrays."""
        inputs = None if self.inputs is None else self.inputs.numpy()
        return LatentSample(
            self.level, self.spatial.numpy(), self.symbols.numpy(), inputs, self.weight
        )


class SampledRate:
    """Estimates the latents' bits for any ARM and IFCE parameters.

    Args:
        model: gives the architecture and evaluates the ARM; its own parameters are not used.
        latents: integer latents of every grid, as float tensors.
        generator: picks the sample.
        kernels: what computes.
        threads: how many to use; the result does not depend on it.
    """

    def __init__(
        self,
        model: CodecModel,
        latents: Sequence[Tensor],
        generator: torch.Generator,
        kernels: Kernels,
        threads: int,
    ) -> None:
        samples = _sample_latents(model, latents, generator)
        self._bits: _Cost
        if kernels.name == "fused":
            self._bits = FusedSampledRate(model.arch, [s.arrays() for s in samples], threads).bits
        else:
            self._bits = _ReferenceRate(model, samples, threads).bits

    def bits(self, parameters: Mapping[str, Tensor]) -> float:
        """Bits of all latents with these parameters, by their full names."""
        return self._bits(parameters)


class SampledDistortion:
    """Estimates the mean squared error for any synthesis parameters, on patches of the image.

    Args:
        model: evaluates the synthesis; its own parameters are not used.
        dense: dense representation (1, L, H, W).
        target: the image.
        generator: picks the patches.
        kernels: what computes.
        threads: how many to use; the result does not depend on it.
    """

    def __init__(
        self,
        model: CodecModel,
        dense: Tensor,
        target: Target,
        generator: torch.Generator,
        kernels: Kernels,
        threads: int,
    ) -> None:
        patches, wanted = _sample_patches(model, dense, target, generator)
        self._mse: _Cost
        if kernels.name == "fused":
            arrays = patches.numpy(), wanted.numpy(), target.span.numpy()
            self._mse = FusedSampledDistortion(model.arch, *arrays, threads).mse
        else:
            self._mse = _ReferenceDistortion(model, patches, wanted, target.span, threads).mse

    def mse(self, parameters: Mapping[str, Tensor]) -> float:
        """Mean squared error over samples in [0, 1] with these parameters, by their full names."""
        return self._mse(parameters)


class WholeDistortion:
    """The mean squared error of the whole image for the present parameters of a model.

    Args:
        model: its upsampling and synthesis are evaluated, with the parameters they have by then.
        latents: integer latents of every grid, as float tensors.
        target: the image.
        kernels: what computes.
    """

    def __init__(
        self, model: CodecModel, latents: Sequence[Tensor], target: Target, kernels: Kernels
    ) -> None:
        self._model, self._latents = model, latents
        self._target, self._kernels = target, kernels

    @torch.no_grad()
    def dense(self) -> Tensor:
        """Dense representation (1, L, H, W)."""
        return self._kernels.upsample(self._model, self._latents)

    @torch.no_grad()
    def mse(self) -> float:
        """Mean squared error over samples in [0, 1]."""
        target = self._target
        return float(
            self._kernels.distortion(self._model, self._latents, target.normalised, target.span)
        )


def _sample_latents(
    model: CodecModel, latents: Sequence[Tensor], generator: torch.Generator
) -> list[_GridSample]:
    samples = []
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
        samples.append(
            _GridSample(
                level=grid.level if has_features else None,
                spatial=spatial,
                symbols=latent.reshape(-1)[pick],
                inputs=inputs,
                weight=latent.numel() / len(pick),
            )
        )
    return samples


def _sample_patches(
    model: CodecModel, dense: Tensor, target: Target, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Patches (P, L, h, w) of a dense representation, and the samples (P, C, h, w) there."""
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
    return torch.cat(patches), torch.cat(targets)


class _ReferenceRate:
    """Bits of a sample in plain torch."""

    def __init__(self, model: CodecModel, samples: Sequence[_GridSample], threads: int) -> None:
        self._model, self._threads = model, threads
        self._parts = list(zip(*(sample.split(_PARTS) for sample in samples), strict=True))

    def bits(self, parameters: Mapping[str, Tensor]) -> float:
        """Bits of all latents."""
        return _sum_of_parts(
            lambda part: self._part_bits(part, parameters), self._parts, self._threads
        )

    def _part_bits(self, samples: Sequence[_GridSample], parameters: Mapping[str, Tensor]) -> float:
        n_features = self._model.arch.n_features
        rows = []
        for sample in samples:
            if sample.inputs is None:
                features = sample.spatial.new_zeros(len(sample.spatial), n_features)
            else:
                weight = parameters[f"ifce.{sample.level}.weight"]
                bias = parameters[f"ifce.{sample.level}.bias"]
                features = torch.addmm(bias, sample.inputs, weight.t())
            rows.append(torch.cat([sample.spatial, features], dim=1))
        mean, log_scale = functional_call(
            self._model.arm, _part(parameters, "arm"), (torch.cat(rows),)
        )
        bits = laplace_bits(torch.cat([s.symbols for s in samples]), mean, log_scale)
        sums = [piece.sum() for piece in bits.split_with_sizes([len(s.symbols) for s in samples])]
        return float(sum(s.weight * total for s, total in zip(samples, sums, strict=True)))


class _ReferenceDistortion:
    """Mean squared error of patches in plain torch."""

    def __init__(
        self, model: CodecModel, patches: Tensor, wanted: Tensor, span: Tensor, threads: int
    ) -> None:
        self._model, self._span, self._threads = model, span, threads
        self._count = len(patches)
        pieces = patches.tensor_split(_PARTS), wanted.tensor_split(_PARTS)
        self._parts = list(zip(*pieces, strict=True))

    def mse(self, parameters: Mapping[str, Tensor]) -> float:
        """Mean squared error over samples in [0, 1]."""
        own = _part(parameters, "synthesis")

        def part_mse(part: tuple[Tensor, Tensor]) -> float:
            dense, target = part
            if not len(dense):
                return 0.0
            out = functional_call(self._model.synthesis, own, (dense,))
            return float(distortion(out, target, self._span)) * len(dense) / self._count

        return _sum_of_parts(part_mse, self._parts, self._threads)


def _sum_of_parts(function: Callable[[_T], float], parts: Sequence[_T], threads: int) -> float:
    """Sum of a function over parts, computed in parallel and added in order."""
    found = [0.0] * len(parts)

    def run(i: int) -> None:
        # The setting is each thread's own; torch's threads would fight these.
        torch.set_num_threads(1)
        with torch.no_grad():
            found[i] = function(parts[i])

    pool.run_tasks(run, len(parts), threads)
    return sum(found)


def _part(parameters: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """The parameters of one submodule, by the names it gives them."""
    prefix = f"{part}."
    return {n.removeprefix(prefix): p for n, p in parameters.items() if n.startswith(prefix)}


def _pick(n: int, limit: int, generator: torch.Generator) -> Tensor:
    """`limit` different indices below n in ascending order, or all of them."""
    if n <= limit:
        return torch.arange(n)
    return torch.randperm(n, generator=generator)[:limit].sort().values
