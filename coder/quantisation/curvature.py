"""How rate and distortion bend as a decoder's parameters move: their Gauss-Newton matrices.

A quadratic model of the cost around a fitted decoder tells what thousands of small changes would
cost together, and how one parameter can make up for the rounding of another. The matrix is
J^T F J: J is the derivative of a network's outputs by its parameters, F the curvature of the cost
by the outputs, which is never negative. A sample of latents or pixels is enough for it.
The use of second derivatives to remove or round weights goes back to LeCun et al., "Optimal brain
damage" (1990), and Hassibi and Stork, "Optimal brain surgeon" (1993).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import log
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn import functional as F

from givre.coder.fitting.fit_kernels import FitKernels
from givre.coder.fitting.normalisation import Target
from givre.models.arm import laplace_bits
from givre.models.codec_model import CodecModel
from givre.models.context import CONTEXT_REACH
from givre.models.synthesis import Synthesis

_CHUNK = 1024
"""Samples whose Jacobians are held at once: some tens of megabytes."""

_REACH = 12
"""The Fisher information of a latent is summed over so many symbols on either side of the mean."""

_TINY = 1e-12
"""Keeps a matrix without any information positive."""

_FILTER_STEP = 1e-2
"""Of the difference quotient by a filter tap: small, for a separable filter is quadratic in it."""

_Parameters = Mapping[str, Tensor]


class _LatentSample(NamedTuple):
    """Latents of one grid.

    `spatial` are contexts (n, N), `inputs` those of the IFCE (n, n_in), without columns where the
    grid has none; each stands for `weight` latents.
    """

    level: int
    spatial: Tensor
    inputs: Tensor
    weight: float


def rate_curvature(
    model: CodecModel,
    latents: Sequence[Tensor],
    names: Sequence[str],
    limit: int,
    generator: torch.Generator,
) -> Tensor:
    """Curvature of the latents' bits by parameters of ARM and IFCE.

    Args:
        model: the decoder, at the point where the curvature is taken; on the CPU.
        latents: rounded latents (H_i, W_i), float32.
        names: tensors, in the order in which the result joins them.
        limit: most latents of a grid that it is taken from.
        generator: picks the sample.

    Returns:
        (P, P), float64, symmetric, in bits: the expected second derivative where the latents have
        the distribution that the model gives them.
    """
    parameters = _tensors(model, names)
    total = torch.zeros((), dtype=torch.float64)
    for sample in _sample_latents(model, latents, limit, generator):
        predict = _predictor(model, sample.level)
        for spatial, inputs in zip(
            torch.split(sample.spatial, _CHUNK), torch.split(sample.inputs, _CHUNK), strict=True
        ):
            predicted, found = _differentiate(predict, parameters, spatial, inputs)
            jacobian = _joined(found, names)
            information = laplace_information(predicted[:, 0], predicted[:, 1])
            root = torch.linalg.cholesky(information + _TINY * torch.eye(2, dtype=torch.float64))
            rows = torch.einsum("nik,nip->nkp", root, jacobian).flatten(0, 1)
            total = total + sample.weight * _gram(rows)
    return total


def distortion_curvature(
    model: CodecModel,
    latents: Sequence[Tensor],
    target: Target,
    names: Sequence[str],
    kernels: FitKernels,
    limit: int,
    generator: torch.Generator,
) -> Tensor:
    """Curvature of the mean squared error by parameters of upsampling and synthesis.

    Args:
        model: the decoder, at the point where the curvature is taken; on the CPU.
        latents: rounded latents (H_i, W_i), float32.
        target: the image.
        names: tensors, in the order in which the result joins them.
        kernels: what upsamples and synthesises.
        limit: most pixels that it is taken from.
        generator: picks the sample.

    Returns:
        (P, P), float64, symmetric, of the error over samples in [0, 1].
    """
    half, picked = model.arch.n_residual, _pick(model.grids[0].size, limit, generator)
    factors = _factors(target.span, picked, target.normalised.shape[2:])
    weights = _tensors(model, [name for name in names if name.startswith("synthesis.")])

    def synthesise(parameters: _Parameters, window: Tensor) -> Tensor:
        own = {name.removeprefix("synthesis."): p for name, p in parameters.items()}
        out: Tensor = functional_call(model.synthesis, own, (window[None],))
        return out[0, :, half, half]

    places = _window_places(picked, model.grids[0].height, model.grids[0].width, half)

    def windows() -> Tensor:
        planes = kernels.upsample(model, latents)[0].flatten(1)
        found = planes.index_select(1, places.flatten())
        return found.reshape(-1, *places.shape).transpose(0, 1).contiguous()

    with torch.no_grad():
        around = windows()
        moved = {
            name: _difference_quotients(tensor, around, windows)
            for name, tensor in _tensors(model, names).items()
            if name not in weights
        }
    total = torch.zeros((), dtype=torch.float64)
    for start in range(0, len(picked), _CHUNK):
        part = slice(start, start + _CHUNK)
        _, found = _differentiate(synthesise, weights, around[part])
        by_windows = _slopes(model.synthesis, around[part]).flatten(2).transpose(0, 1)
        found |= {
            name: by_windows @ changes[:, part].flatten(2).permute(1, 2, 0)
            for name, changes in moved.items()
        }
        rows = (_joined(found, names) * factors[part]).flatten(0, 1)
        total = total + _gram(rows)
    return total * (2 / (len(picked) * len(target.span)))


def _factors(span: Tensor, picked: Tensor, shape: Sequence[int]) -> Tensor:
    """Factors of errors, (C, 1, 1) or (C, H, W), at some pixels of a picture: (n, C, 1)."""
    return span.expand(-1, *shape).flatten(1)[:, picked].t()[:, :, None]


def laplace_information(mean: Tensor, log_scale: Tensor) -> Tensor:
    """Fisher information of integers with the codec's Laplace distribution, in bits.

    Args:
        mean: (n,).
        log_scale: (n,).

    Returns:
        (n, 2, 2), float64: the expected second derivative of the bits by mean and log-scale.
    """
    reach = torch.arange(-_REACH, _REACH + 1, dtype=torch.float64)
    symbols = mean.detach().double().round()[:, None] + reach
    means = mean.detach().double()[:, None].expand_as(symbols).clone().requires_grad_()
    scales = log_scale.detach().double()[:, None].expand_as(symbols).clone().requires_grad_()
    bits = laplace_bits(symbols, means, scales)
    slopes = torch.stack(torch.autograd.grad(bits.sum(), (means, scales)), dim=-1)
    probability = torch.exp2(-bits.detach())
    return log(2) * torch.einsum("nk,nki,nkj->nij", probability, slopes, slopes)


def _predictor(model: CodecModel, level: int) -> Callable[[_Parameters, Tensor, Tensor], Tensor]:
    """A function from parameters, one spatial context and its IFCE inputs to (mean, log-scale)."""
    n_features = model.arch.n_features

    def predict(parameters: _Parameters, spatial: Tensor, inputs: Tensor) -> Tensor:
        features = spatial.new_zeros(n_features)
        if len(inputs):
            weight, bias = parameters[f"ifce.{level}.weight"], parameters[f"ifce.{level}.bias"]
            features = weight @ inputs + bias
        own = {n.removeprefix("arm."): p for n, p in parameters.items() if n.startswith("arm.")}
        context = torch.cat([spatial, features])
        mean, log_scale = functional_call(model.arm, own, (context[None],))
        return torch.cat([mean, log_scale])

    return predict


def _sample_latents(
    model: CodecModel, latents: Sequence[Tensor], limit: int, generator: torch.Generator
) -> list[_LatentSample]:
    samples = []
    for i, grid in enumerate(model.grids):
        picked = _pick(latents[i].numel(), limit, generator)
        rows, columns = picked // grid.width, picked % grid.width
        spatial = _contexts(latents[i], model.arm.offsets, rows, columns)
        inputs = spatial.new_zeros(len(picked), 0)
        if not grid.hyper and grid.level < model.arch.n_ifce:
            coarser = zip(model.grids[i + 1 :], latents[i + 1 :], strict=True)
            found = [
                latent[rows >> (other.level - grid.level), columns >> (other.level - grid.level)]
                for other, latent in coarser
            ]
            inputs = torch.stack(found, dim=1)
        weight = latents[i].numel() / len(picked)
        samples.append(_LatentSample(grid.level, spatial, inputs, weight))
    return samples


def _contexts(
    grid: Tensor, offsets: Sequence[tuple[int, int]], rows: Tensor, columns: Tensor
) -> Tensor:
    """Spatial contexts (n, N) of some latents of a grid; outside of it they are zero."""
    padded = F.pad(grid, (CONTEXT_REACH, CONTEXT_REACH, CONTEXT_REACH, 0))
    down, across = rows + CONTEXT_REACH, columns + CONTEXT_REACH
    return torch.stack([padded[down + dy, across + dx] for dy, dx in offsets], dim=1)


def _window_places(picked: Tensor, height: int, width: int, half: int) -> Tensor:
    """Places (n, 2 half + 1, 2 half + 1) in a plane of the windows around picked pixels."""
    reach = torch.arange(-half, half + 1)
    rows = (picked[:, None] // width + reach).clamp(0, height - 1)
    columns = (picked[:, None] % width + reach).clamp(0, width - 1)
    return rows[:, :, None] * width + columns[:, None, :]


def _differentiate(
    network: Callable[..., Tensor], parameters: _Parameters, *inputs: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Outputs (n, C) of a network of one sample, and their derivatives (n, C, *shape) by name.

    Each sample gets parameters of its own: `jacrev` does the same, but loads a compiler for it.
    """
    n = len(inputs[0])
    own = {name: p.expand(n, *p.shape).requires_grad_() for name, p in parameters.items()}
    outputs: Tensor = vmap(network)(own, *inputs)
    slopes = [
        torch.autograd.grad(
            column.sum(),
            list(own.values()),
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        for column in outputs.unbind(1)
    ]
    jacobians = (torch.stack(parts, dim=1) for parts in zip(*slopes, strict=True))
    return outputs.detach(), dict(zip(own, jacobians, strict=True))


def _slopes(synthesis: Synthesis, windows: Tensor) -> Tensor:
    """Derivatives (C, n, L, H, W) of the samples in the middle of windows (n, L, H, W)."""
    leaf = windows.clone().requires_grad_()
    middle = windows.shape[-1] // 2
    channels = synthesis(leaf)[:, :, middle, middle].sum(0)
    slopes = [torch.autograd.grad(channel, leaf, retain_graph=True)[0] for channel in channels]
    return torch.stack(slopes)


def _difference_quotients(tensor: Tensor, before: Tensor, compute: Callable[[], Tensor]) -> Tensor:
    """Derivatives (size, *shape) of what is computed by the entries of a tensor it depends on.

    `before` is what is computed as things are.
    """
    flat = tensor.view(-1)
    slopes = []
    for i in range(len(flat)):
        kept = flat[i].clone()
        flat[i] += _FILTER_STEP
        slopes.append((compute() - before) / _FILTER_STEP)
        flat[i] = kept
    return torch.stack(slopes)


def _joined(jacobian: Mapping[str, Tensor], names: Sequence[str]) -> Tensor:
    """Jacobians (n, outputs, *shape) by name as one, (n, outputs, P), float64."""
    return torch.cat([jacobian[name].flatten(2) for name in names], dim=2).double()


def _gram(rows: Tensor) -> Tensor:
    """rows^T rows, (P, P). NumPy sees the symmetry and takes half of torch's time."""
    array = rows.numpy()
    return torch.from_numpy(array.T @ array)


def _tensors(model: CodecModel, names: Sequence[str]) -> dict[str, Tensor]:
    parameters = dict(model.named_parameters())
    return {name: parameters[name].detach() for name in names}


def _pick(n: int, limit: int, generator: torch.Generator) -> Tensor:
    """`limit` different indices below n in ascending order, or all of them."""
    if n <= limit:
        return torch.arange(n)
    return torch.randperm(n, generator=generator)[:limit].sort().values
