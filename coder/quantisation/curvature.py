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
from givre.models.arm import gather_contexts, laplace_bits
from givre.models.codec_model import CodecModel
from givre.models.ifce import nearest_stack

MAX_LATENTS_PER_GRID = 4096
MAX_PIXELS = 4096

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
    model: CodecModel, latents: Sequence[Tensor], names: Sequence[str], generator: torch.Generator
) -> Tensor:
    """Curvature of the latents' bits by parameters of ARM and IFCE.

    Args:
        model: the decoder, at the point where the curvature is taken; on the CPU.
        latents: rounded latents (H_i, W_i), float32.
        names: tensors, in the order in which the result joins them.
        generator: picks the sample.

    Returns:
        (P, P), float64, symmetric, in bits: the expected second derivative where the latents have
        the distribution that the model gives them.
    """
    parameters = _tensors(model, names)
    total = torch.zeros((), dtype=torch.float64)
    for sample in _sample_latents(model, latents, generator):
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
    generator: torch.Generator,
) -> Tensor:
    """Curvature of the mean squared error by parameters of upsampling and synthesis.

    Args:
        model: the decoder, at the point where the curvature is taken; on the CPU.
        latents: rounded latents (H_i, W_i), float32.
        target: the image.
        names: tensors, in the order in which the result joins them.
        kernels: what upsamples and synthesises.
        generator: picks the sample.

    Returns:
        (P, P), float64, symmetric, of the error over samples in [0, 1].
    """
    picked = _pick(target.normalised[0, 0].numel(), MAX_PIXELS, generator)
    factors = _factors(target.span, picked, target.normalised.shape[2:])
    half = model.arch.n_residual
    weights = _tensors(model, [name for name in names if name.startswith("synthesis.")])

    def synthesise(parameters: _Parameters, window: Tensor) -> Tensor:
        own = {name.removeprefix("synthesis."): p for name, p in parameters.items()}
        out: Tensor = functional_call(model.synthesis, own, (window[None],))
        return out[0, :, half, half]

    def outputs(dense: Tensor) -> Tensor:
        return kernels.synthesise(model, dense)[0].flatten(1)[:, picked].t()

    with torch.no_grad():
        dense = kernels.upsample(model, latents)
        windows, before = _windows(dense, picked, half), outputs(dense)
        by_filters = {
            name: _difference_quotients(
                tensor, before, lambda: outputs(kernels.upsample(model, latents))
            )
            for name, tensor in _tensors(model, names).items()
            if name not in weights
        }
    total = torch.zeros((), dtype=torch.float64)
    for start in range(0, len(picked), _CHUNK):
        part = slice(start, start + _CHUNK)
        _, found = _differentiate(synthesise, weights, windows[part])
        found |= {name: columns[part] for name, columns in by_filters.items()}
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
    model: CodecModel, latents: Sequence[Tensor], generator: torch.Generator
) -> list[_LatentSample]:
    samples = []
    for i, grid in enumerate(model.grids):
        picked = _pick(latents[i].numel(), MAX_LATENTS_PER_GRID, generator)
        spatial = gather_contexts(latents[i], None, model.arm.offsets, 0)[picked]
        inputs = spatial.new_zeros(len(picked), 0)
        if not grid.hyper and grid.level < model.arch.n_ifce:
            stack = nearest_stack(model.grids[i + 1 :], latents[i + 1 :], grid.level + 1)
            rows, columns = picked // grid.width, picked % grid.width
            inputs = stack[:, rows // 2, columns // 2].t()
        weight = latents[i].numel() / len(picked)
        samples.append(_LatentSample(grid.level, spatial, inputs, weight))
    return samples


def _windows(dense: Tensor, picked: Tensor, half: int) -> Tensor:
    """Windows (n, L, 2 half + 1, 2 half + 1) of a dense representation around picked pixels."""
    width = dense.shape[-1]
    padded = F.pad(dense, (half,) * 4, mode="replicate")[0]
    reach = torch.arange(2 * half + 1)
    rows = (picked // width)[:, None, None] + reach[:, None]
    columns = (picked % width)[:, None, None] + reach[None, :]
    return padded[:, rows, columns].transpose(0, 1).contiguous()


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


def _difference_quotients(tensor: Tensor, before: Tensor, outputs: Callable[[], Tensor]) -> Tensor:
    """Derivatives (n, C, size) of outputs (n, C) by the entries of a tensor that they depend on.

    `before` are the outputs as they are.
    """
    flat = tensor.view(-1)
    columns = []
    for i in range(len(flat)):
        kept = flat[i].clone()
        flat[i] += _FILTER_STEP
        columns.append((outputs() - before) / _FILTER_STEP)
        flat[i] = kept
    return torch.stack(columns, dim=-1)


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
