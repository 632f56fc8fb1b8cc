"""The kernel that updates fitted latents and computes their proxy in one pass over memory.

The proxy of a latent u is soft rounding, normal noise n and soft rounding again (Agustsson and
Theis, "Universally Quantized Neural Compression", NeurIPS 2020, arXiv:2006.09952; in an overfitted
codec: C3, Kim et al., CVPR 2024, arXiv:2312.02753). With gain q, temperature T and noise scale v:

    r(x) = m + tanh((x - m) / T) / (2 tanh(1 / (2 T))),   m = floor(x) + 1/2
    y = r(r(q u) + v n)
    by u:  q r'(q u) r'(r(q u) + v n),   r'(x) = (1 - tanh^2((x - m) / T)) / (2 T tanh(1 / (2 T)))

The update is Adam's (Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015,
arXiv:1412.6980, algorithm 1) with the gradient g by u in step t:

    mean = beta_1 mean + (1 - beta_1) g,   square = beta_2 square + (1 - beta_2) g^2
    u = u - rate (mean / (1 - beta_1^t)) / (sqrt(square / (1 - beta_2^t)) + epsilon)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from givre.models.compiled.kernel import kernel, kernel_part
from givre.models.compiled.loops import fill
from givre.models.compiled.tickets import Parts, Tickets, next_ticket
from givre.models.compiled.types import Floats, Floats1, Integers2, Words2
from givre.models.compiled.vector_math import exp2, tanh
from givre.models.fused.latents.noise import fill_normal
from givre.models.noise import NOISE_BLOCK

TASK_GRID, TASK_GRID_START, TASK_GRID_END, TASK_FIRST, TASK_LAST = range(5)
"""Columns of a task, a part of a grid.

GRID: number of the grid.
GRID_START, GRID_END: where the grid's latents are in the flat arrays.
FIRST, LAST: the task's first block of 64 latents, and the one after its last.
"""

N_TASK_COLUMNS = 5


class LatentArrays(NamedTuple):
    """The latents of all grids, N numbers, one grid after the other.

    Attributes:
        u: (N,), the fitted values.
        mean: (N,), Adam's running mean of the gradient.
        square: (N,), Adam's running mean of its square.
        gradient: (N,), with respect to the last proxy; empty where there is to be no update.
        proxy: (N,); empty where there is to be none.
    """

    u: Floats1
    mean: Floats1
    square: Floats1
    gradient: Floats1
    proxy: Floats1


class ProxyConstants(NamedTuple):
    """What a proxy is made with.

    Attributes:
        gain: of the latents.
        sharpness: 1 / temperature.
        height: of half a step of the staircase, 0.5 / tanh(0.5 sharpness).
        noise: scale of the noise.
        keys: (grids, 4), of the noise.
    """

    gain: np.float32
    sharpness: np.float32
    height: np.float32
    noise: np.float32
    keys: Words2


class AdamConstants(NamedTuple):
    """Of one update.

    Attributes:
        beta_1: decay rate of the running mean.
        beta_2: decay rate of the running mean of squares.
        step_size: learning rate, corrected for the bias of the running mean.
        root: 1 / the root of 1 - beta_2^t, which corrects the mean of squares.
        epsilon: added to the root of the mean of squares.
    """

    beta_1: np.float32
    beta_2: np.float32
    step_size: np.float32
    root: np.float32
    epsilon: np.float32


_BLOCK = NOISE_BLOCK
_CONTRACT = frozenset({"contract"})
_HALF = np.float32(0.5)
_ONE = np.float32(1)
_FOUR = np.float32(4)
_MINUS_TWO_LOG2_E = np.float32(-2.8853900817779268)


@kernel_part(fastmath=_CONTRACT)
def _soft_round(x: np.float32, sharpness: np.float32, height: np.float32) -> np.float32:
    """`givre.models.proxy.soft_round`; see `ProxyConstants`."""
    middle: np.float32 = np.floor(x) + _HALF
    return middle + height * tanh((x - middle) * sharpness)


@kernel_part(fastmath=_CONTRACT)
def _soft_round_slope(x: np.float32, sharpness: np.float32, height: np.float32) -> np.float32:
    """Derivative of `_soft_round`, without the cancellation of 1 - tanh^2."""
    z = (x - (np.floor(x) + _HALF)) * sharpness
    e = exp2(abs(z) * _MINUS_TWO_LOG2_E)
    return height * sharpness * _FOUR * e / ((_ONE + e) * (_ONE + e))


@kernel_part(fastmath=_CONTRACT)
def _proxy(u: Floats, normal: Floats, constants: ProxyConstants, y: Floats) -> None:
    gain, noise = constants.gain, constants.noise
    sharpness, height = constants.sharpness, constants.height
    for p in range(len(u)):
        softer = _soft_round(gain * u[p], sharpness, height)
        y[p] = _soft_round(softer + noise * normal[p], sharpness, height)


@kernel_part(fastmath=_CONTRACT)
def _slope(u: Floats, normal: Floats, constants: ProxyConstants, slope: Floats) -> None:
    """Derivative of the proxy with respect to u."""
    gain, noise = constants.gain, constants.noise
    sharpness, height = constants.sharpness, constants.height
    for p in range(len(u)):
        x = gain * u[p]
        noisy = _soft_round(x, sharpness, height) + noise * normal[p]
        first = _soft_round_slope(x, sharpness, height)
        slope[p] = gain * first * _soft_round_slope(noisy, sharpness, height)


@kernel_part(fastmath=_CONTRACT)
def _adam(
    u: Floats, mean: Floats, square: Floats, gradient: Floats, slope: Floats, adam: AdamConstants
) -> None:
    beta_1, beta_2, step_size = adam.beta_1, adam.beta_2, adam.step_size
    root, epsilon = adam.root, adam.epsilon
    for p in range(len(u)):
        g = gradient[p] * slope[p]
        m = mean[p] + (_ONE - beta_1) * (g - mean[p])
        v = beta_2 * square[p] + (_ONE - beta_2) * g * g
        mean[p], square[p] = m, v
        u[p] -= step_size * m / (np.sqrt(v) * root + epsilon)


@kernel(fastmath=_CONTRACT)
def latent_pass(
    tickets: Tickets,
    parts: Parts,
    tasks: Integers2,
    latents: LatentArrays,
    last: ProxyConstants,
    adam: AdamConstants,
    upcoming: ProxyConstants,
) -> None:
    """Update the latents of tasks, then compute their proxy.

    Args:
        tickets: shared by all threads.
        parts: of tasks.
        tasks: (n, 5), columns TASK_...
        latents: the gradient is set to zero, all else is written.
        last: of the proxy that the gradient belongs to.
        adam: of the update.
        upcoming: of the proxy that is computed.
    """
    normal = np.empty(_BLOCK, np.float32)
    slope = np.empty(_BLOCK, np.float32)
    part = next_ticket(tickets)
    while part < parts.shape[0]:
        for task in range(parts[part, 0], parts[part, 1]):
            grid, grid_start = tasks[task, TASK_GRID], tasks[task, TASK_GRID_START]
            grid_end = tasks[task, TASK_GRID_END]
            for block in range(tasks[task, TASK_FIRST], tasks[task, TASK_LAST]):
                start = grid_start + block * _BLOCK
                end = min(start + _BLOCK, grid_end)
                u = latents.u[start:end]
                if len(latents.gradient):
                    if last.noise != 0:
                        fill_normal(last.keys[grid], block, normal)
                    else:
                        fill(normal, 0)
                    _slope(u, normal, last, slope)
                    mean, square = latents.mean[start:end], latents.square[start:end]
                    found = latents.gradient[start:end]
                    _adam(u, mean, square, found, slope, adam)
                    fill(found, 0)
                if len(latents.proxy):
                    if upcoming.noise != 0:
                        fill_normal(upcoming.keys[grid], block, normal)
                    else:
                        fill(normal, 0)
                    _proxy(u, normal, upcoming, latents.proxy[start:end])
        part = next_ticket(tickets)
