"""The kernel that updates fitted latents and computes their proxy in one pass over memory."""

from __future__ import annotations

import numpy as np

from givre.models.compiled.kernel import kernel, kernel_part
from givre.models.compiled.tickets import Parts, Tickets, next_ticket
from givre.models.compiled.types import Floats, Floats1, Integers2, Words2
from givre.models.compiled.vector_math import exp2, tanh
from givre.models.fused.latents.noise import fill_normal
from givre.models.noise import NOISE_BLOCK

_BLOCK = NOISE_BLOCK
_CONTRACT = frozenset({"contract"})
_HALF = np.float32(0.5)
_ONE = np.float32(1)
_FOUR = np.float32(4)
_MINUS_TWO_LOG2_E = np.float32(-2.8853900817779268)


@kernel_part(fastmath=_CONTRACT)
def _soft_round(x: np.float32, sharpness: np.float32, height: np.float32) -> np.float32:
    """`givre.models.proxy.soft_round`; see `latent_pass` for the two constants."""
    middle: np.float32 = np.floor(x) + _HALF
    return middle + height * tanh((x - middle) * sharpness)


@kernel_part(fastmath=_CONTRACT)
def _soft_round_slope(x: np.float32, sharpness: np.float32, height: np.float32) -> np.float32:
    """Derivative of `_soft_round`, without the cancellation of 1 - tanh^2."""
    z = (x - (np.floor(x) + _HALF)) * sharpness
    e = exp2(abs(z) * _MINUS_TWO_LOG2_E)
    return height * sharpness * _FOUR * e / ((_ONE + e) * (_ONE + e))


@kernel_part(fastmath=_CONTRACT)
def _proxy(u: Floats, normal: Floats, constants: Floats, y: Floats) -> None:
    gain, sharpness, height, noise = constants[0], constants[1], constants[2], constants[3]
    for p in range(len(u)):
        softer = _soft_round(gain * u[p], sharpness, height)
        y[p] = _soft_round(softer + noise * normal[p], sharpness, height)


@kernel_part(fastmath=_CONTRACT)
def _slope(u: Floats, normal: Floats, constants: Floats, slope: Floats) -> None:
    """Derivative of the proxy with respect to u."""
    gain, sharpness, height, noise = constants[0], constants[1], constants[2], constants[3]
    for p in range(len(u)):
        x = gain * u[p]
        noisy = _soft_round(x, sharpness, height) + noise * normal[p]
        first = _soft_round_slope(x, sharpness, height)
        slope[p] = gain * first * _soft_round_slope(noisy, sharpness, height)


@kernel_part(fastmath=_CONTRACT)
def _adam(
    u: Floats, mean: Floats, square: Floats, gradient: Floats, slope: Floats, adam: Floats
) -> None:
    beta_1, beta_2, step_size, root, epsilon = adam[0], adam[1], adam[2], adam[3], adam[4]
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
    u: Floats1,
    mean: Floats1,
    square: Floats1,
    gradient: Floats1,
    last_constants: Floats1,
    adam: Floats1,
    last_keys: Words2,
    y: Floats1,
    constants: Floats1,
    keys: Words2,
) -> None:
    """Update the latents of tasks, then compute their proxy.

    The latents of all grids lie one after the other. The constants of a proxy are its gain, its
    sharpness, the height of half a step of the staircase, and the scale of the noise. The
    sharpness is 1 / temperature; the height is 0.5 / tanh(0.5 sharpness).

    Args:
        tickets: see `givre.models.compiled.tickets`.
        parts: likewise; of tasks.
        tasks: (n, 5), a row for each task: its grid, where the grid's latents start and end, its
            first block of 64 latents and the end of its blocks.
        u: (N,), the latents, changed.
        mean: (N,), Adam's running mean of the gradient, changed.
        square: (N,), Adam's running mean of its square, changed.
        gradient: (N,), with respect to the last proxy, set to zero; empty for no update.
        last_constants: (4,), of the last proxy.
        adam: (5,), both decay rates, the step size and 1 / the root of the second moment, both
            corrected for the bias, and epsilon.
        last_keys: (grids, 4), of the last proxy's noise.
        y: (N,), written: the proxy; empty for none.
        constants: (4,), of this proxy.
        keys: (grids, 4), of its noise.
    """
    normal = np.empty(_BLOCK, np.float32)
    slope = np.empty(_BLOCK, np.float32)
    part = next_ticket(tickets)
    while part < parts.shape[0]:
        for task in range(parts[part, 0], parts[part, 1]):
            grid, grid_start, grid_end = tasks[task, 0], tasks[task, 1], tasks[task, 2]
            for block in range(tasks[task, 3], tasks[task, 4]):
                start = grid_start + block * _BLOCK
                end = min(start + _BLOCK, grid_end)
                values = u[start:end]
                if len(gradient):
                    if last_constants[3] != 0:
                        fill_normal(last_keys[grid], block, normal)
                    else:
                        normal[:] = 0
                    _slope(values, normal, last_constants, slope)
                    found = gradient[start:end]
                    _adam(values, mean[start:end], square[start:end], found, slope, adam)
                    found[:] = 0
                if len(y):
                    if constants[3] != 0:
                        fill_normal(keys[grid], block, normal)
                    else:
                        normal[:] = 0
                    _proxy(values, normal, constants, y[start:end])
        part = next_ticket(tickets)
