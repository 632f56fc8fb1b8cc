"""The latents of a fit, their proxy for rounding and their optimiser, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt, tanh

import numpy as np
import torch
from torch import Tensor

from givre.models.compiled import pool
from givre.models.compiled.types import Floats, Integers
from givre.models.fused.latents.update import (
    N_TASK_COLUMNS,
    TASK_FIRST,
    TASK_GRID,
    TASK_GRID_END,
    TASK_GRID_START,
    TASK_LAST,
    AdamConstants,
    LatentArrays,
    ProxyConstants,
    latent_pass,
)
from givre.models.latents import ADAM_BETAS, ADAM_EPS, ProxySettings
from givre.models.noise import NOISE_BLOCK, noise_key

_LEAST_BLOCKS = 256
"""Blocks of a batch of tasks: fewer take less time than it takes to call the kernel."""

_NONE = np.empty(0, np.float32)
_NO_UPDATE = AdamConstants(*np.zeros(5, np.float32))

Shapes = Sequence[tuple[int, int]]


class FusedLatents:
    """Fitted latents u, which start at zero, and Adam's running means for them.

    Everything lies in flat arrays, one grid after the other; the tensors are views of them.

    Args:
        shapes: (height, width) of each grid.
        threads: of the kernel; the results do not depend on it.

    Attributes:
        latents: the fitted latents, before the gain, (H_i, W_i) each.
        proxies: what the last `proxy` or `update` made of them, (H_i, W_i) each; leaf tensors
            whose `.grad` is a view of `gradient`.
        arrays: the same as arrays.
        gradient: of all grids, flat, with respect to `proxies`; an update uses it and sets it to
            zero.
        gradients: the same as arrays (H_i, W_i).
    """

    def __init__(self, shapes: Shapes, threads: int) -> None:
        size = sum(prod(shape) for shape in shapes)
        self._u, self._mean, self._square, self._y, self.gradient = (
            np.zeros(size, np.float32) for _ in range(5)
        )
        self.latents = _views(self._u, shapes)
        self._means, self._squares = _views(self._mean, shapes), _views(self._square, shapes)
        self.proxies = [y.requires_grad_() for y in _views(self._y, shapes)]
        self.arrays: list[Floats] = [y.detach().numpy() for y in self.proxies]
        self._grads = _views(self.gradient, shapes)
        self.gradients: list[Floats] = [grad.numpy() for grad in self._grads]
        self._tasks = _tasks(shapes)
        sizes = (self._tasks[:, TASK_LAST] - self._tasks[:, TASK_FIRST]).tolist()
        self._parts = pool.parts_of(pool.join(sizes, _LEAST_BLOCKS))
        self._steps = 0
        self._threads = threads
        self._last: ProxySettings | None = None
        self._last_constants = self._constants(None)

    def proxy(self, settings: ProxySettings) -> list[Tensor]:
        """Softly rounded latents.

        Returns:
            `proxies`: for each grid `noisy_soft_round(gain * u, noise * normal, temperature)` of
            `givre.models.proxy`.
        """
        self.gradient[:] = 0
        self._pass(_NONE, _NO_UPDATE, settings)
        return self.proxies

    def update(
        self,
        learning_rate: float,
        upcoming: ProxySettings | None = None,
        betas: tuple[float, float] = ADAM_BETAS,
        eps: float = ADAM_EPS,
    ) -> None:
        """Do a step of Adam ("Adam: A Method for Stochastic Optimization", ICLR 2015).

        Args:
            learning_rate: of this step.
            upcoming: of the proxy that is computed in the same pass over memory; the results are
                the bits that `proxy` would give.
            betas: decay rates of the running means of the gradient and of its square.
            eps: added to the root of the mean square.

        Raises:
            RuntimeError: there is no proxy: it has not been called for before, or not since a
                state was loaded.
        """
        self._pass(self.gradient, self._adam(learning_rate, betas, eps), upcoming)

    def state_tensors(self) -> dict[str, Tensor]:
        """Everything that `load_state_tensors` needs to go on from here; not copies.

        The names are `latent.i`, `adam.i.exp_avg` and `adam.i.exp_avg_sq` for grid i, and
        `adam.step`.
        """
        state = {"adam.step": torch.tensor(self._steps)}
        for i, u in enumerate(self.latents):
            state[f"latent.{i}"] = u
            state[f"adam.{i}.exp_avg"] = self._means[i]
            state[f"adam.{i}.exp_avg_sq"] = self._squares[i]
        return state

    def load_state_tensors(self, state: dict[str, Tensor]) -> None:
        """Take back a state; `proxy` must follow. Raises KeyError or RuntimeError if it is unfit.

        Nothing is changed then.
        """
        own = self.state_tensors()
        given = {name: state[name] for name in own}
        for name, tensor in own.items():
            if given[name].shape != tensor.shape:
                raise RuntimeError(
                    f"{name} is {tuple(given[name].shape)}, it must be {tuple(tensor.shape)}"
                )
        steps = int(given.pop("adam.step"))
        for name, tensor in given.items():
            own[name].copy_(tensor)
        self._steps = steps
        self._last = None

    def _adam(self, learning_rate: float, betas: tuple[float, float], eps: float) -> AdamConstants:
        """Constants of the coming update; they count it as done."""
        if self._last is None:
            raise RuntimeError("an update needs the gradient of a proxy: call `proxy` before it")
        self._steps += 1
        step_size = learning_rate / (1 - betas[0] ** self._steps)
        root = 1 / sqrt(1 - betas[1] ** self._steps)
        return AdamConstants(*np.array([*betas, step_size, root, eps], np.float32))

    def _pass(self, gradient: Floats, adam: AdamConstants, settings: ProxySettings | None) -> None:
        """Run the kernel over all grids."""
        last, upcoming = self._last_constants, self._constants(settings)
        self._last, self._last_constants = settings, upcoming
        proxy = self._y if settings else _NONE
        latents = LatentArrays(self._u, self._mean, self._square, gradient, proxy)
        pool.share(
            lambda tickets, parts: latent_pass(
                tickets, parts, self._tasks, latents, last, adam, upcoming
            ),
            self._parts,
            self._threads,
        )
        if settings:
            for y, grad in zip(self.proxies, self._grads, strict=True):
                y.grad = grad

    def _constants(self, settings: ProxySettings | None) -> ProxyConstants:
        """What the kernel makes a proxy with; zeros for none."""
        n, zero = len(self.latents), np.float32(0)
        if settings is None:
            return ProxyConstants(zero, zero, zero, zero, np.zeros((n, 4), np.uint32))
        sharpness = 1 / settings.temperature
        keys = [noise_key(settings.seed, settings.step, grid) for grid in range(n)]
        return ProxyConstants(
            gain=np.float32(settings.gain),
            sharpness=np.float32(sharpness),
            height=np.float32(0.5 / tanh(0.5 * sharpness)),
            noise=np.float32(settings.noise),
            keys=np.array(keys, np.uint32),
        )


def _tasks(shapes: Shapes) -> Integers:
    """Tasks of `latent_pass`: parts of grids."""
    rows, start = [], 0
    for grid, shape in enumerate(shapes):
        end = start + prod(shape)
        blocks = -(-prod(shape) // NOISE_BLOCK)
        for first, last in pool.chunks(blocks, _LEAST_BLOCKS):
            row = np.empty(N_TASK_COLUMNS, np.int64)
            row[TASK_GRID], row[TASK_GRID_START], row[TASK_GRID_END] = grid, start, end
            row[TASK_FIRST], row[TASK_LAST] = first, last
            rows.append(row)
        start = end
    return np.array(rows, np.int64).reshape(-1, N_TASK_COLUMNS)


def _views(flat: Floats, shapes: Shapes) -> list[Tensor]:
    """Tensors (H_i, W_i) that lie in a flat array."""
    ends = np.cumsum([prod(shape) for shape in shapes])
    parts = np.split(flat, ends[:-1])
    return [torch.from_numpy(part.reshape(s)) for part, s in zip(parts, shapes, strict=True)]
