"""The latents of a fit, their proxy for rounding and their optimiser, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import sqrt, tanh

import numpy as np
import torch
from torch import Tensor

from givre.models.fused import pool
from givre.models.fused.latent_pass import Words, latent_pass
from givre.models.fused.noise import Floats
from givre.models.latents import ADAM_BETAS, ADAM_EPS, ProxySettings
from givre.models.noise import NOISE_BLOCK, noise_key

_FEW_BLOCKS = 256  # fewer take less time than it takes to call the kernel
_NONE = np.empty(0, np.float32)


class FusedLatents:
    """Fitted latents u, which start at zero, and Adam's running means for them.

    Args:
        shapes: (height, width) of each grid.
        threads: of the kernel; the results do not depend on it.
    """

    def __init__(self, shapes: Sequence[tuple[int, int]], threads: int) -> None:
        self._latents = [torch.zeros(shape) for shape in shapes]
        self._means = [torch.zeros(shape) for shape in shapes]
        self._squares = [torch.zeros(shape) for shape in shapes]
        self._steps = 0
        self._threads = threads
        # The same memory as the kernel wants it.
        tensors = zip(self._latents, self._means, self._squares, strict=True)
        self._flat_state = [(_flat(u), _flat(mean), _flat(square)) for u, mean, square in tensors]
        self._last: ProxySettings | None = None
        self._keys = self._noise_keys(None)

    @property
    def latents(self) -> list[Tensor]:
        """The fitted latents, before the gain, (H_i, W_i) each; not copies."""
        return self._latents

    def proxy(self, settings: ProxySettings) -> list[Tensor]:
        """Rounded or softly rounded latents.

        Returns:
            A leaf tensor (H_i, W_i) for each grid that collects a gradient:
            `noisy_soft_round(gain * u, noise * normal, temperature)` of `givre.models.proxy`, or
            the rounded gain * u.
        """
        return self._pass(None, _NONE, settings)

    def update(
        self,
        gradients: Sequence[Tensor],
        learning_rate: float,
        betas: tuple[float, float] = ADAM_BETAS,
        eps: float = ADAM_EPS,
    ) -> None:
        """Do a step of Adam ("Adam: A Method for Stochastic Optimization", ICLR 2015).

        Args:
            gradients: with respect to the tensors that `proxy` or `update_and_proxy` returned
                last, (H_i, W_i) each.
            learning_rate: of this step.
            betas: decay rates of the running means of the gradient and of its square.
            eps: added to the root of the mean square.

        Raises:
            RuntimeError: `proxy` has not been called before, or not since a state was loaded.
        """
        self._pass(gradients, self._adam(learning_rate, betas, eps), None)

    def update_and_proxy(
        self,
        gradients: Sequence[Tensor],
        learning_rate: float,
        settings: ProxySettings,
        betas: tuple[float, float] = ADAM_BETAS,
        eps: float = ADAM_EPS,
    ) -> list[Tensor]:
        """Do `update` and `proxy` in one pass over memory; the results are the same bits."""
        return self._pass(gradients, self._adam(learning_rate, betas, eps), settings)

    def state_tensors(self) -> dict[str, Tensor]:
        """Everything that `load_state_tensors` needs to go on from here; not copies.

        The names are `latent.i`, `adam.i.exp_avg` and `adam.i.exp_avg_sq` for grid i, and
        `adam.step`.
        """
        state = {"adam.step": torch.tensor(self._steps)}
        for i, u in enumerate(self._latents):
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

    def _adam(self, learning_rate: float, betas: tuple[float, float], eps: float) -> Floats:
        """Constants of the coming update for the kernel; they count it as done."""
        if self._last is None:
            raise RuntimeError("an update needs the gradient of a proxy: call `proxy` before it")
        self._steps += 1
        step_size = learning_rate / (1 - betas[0] ** self._steps)
        root = 1 / sqrt(1 - betas[1] ** self._steps)
        return np.array([*betas, step_size, root, eps], np.float32)

    def _pass(
        self, gradients: Sequence[Tensor] | None, adam: Floats, settings: ProxySettings | None
    ) -> list[Tensor]:
        """Run the kernel over all grids."""
        last, self._last = self._last, settings
        last_keys, self._keys = self._keys, self._noise_keys(settings)
        last_constants, constants = _constants(last), _constants(settings)
        found: list[Tensor] = []
        for i, u in enumerate(self._latents):
            y = torch.empty_like(u) if settings else None
            latent, mean, square = self._flat_state[i]
            kernel_call = partial(
                latent_pass,
                latent,
                mean,
                square,
                _flat(gradients[i].detach().contiguous()) if gradients is not None else _NONE,
                last_constants,
                adam,
                last_keys[i],
                _flat(y) if y is not None else _NONE,
                constants,
                self._keys[i],
            )
            pool.run(kernel_call, -(-u.numel() // NOISE_BLOCK), self._threads, _FEW_BLOCKS)
            if y is not None:
                found.append(y.requires_grad_())
        return found

    def _noise_keys(self, settings: ProxySettings | None) -> Words:
        """Keys of the noise of every grid, (n, 2)."""
        if settings is None:
            return np.zeros((len(self._latents), 2), np.uint32)
        grids = range(len(self._latents))
        keys = [noise_key(settings.seed, settings.step, grid) for grid in grids]
        return np.array(keys, np.uint32)


def _constants(settings: ProxySettings | None) -> Floats:
    """A proxy's constants as `latent_pass` wants them."""
    if settings is None:
        return np.zeros(4, np.float32)
    if settings.hard:
        return np.array([settings.gain, 0, 0, 0], np.float32)
    sharpness = 1 / settings.temperature
    height = 0.5 / tanh(0.5 * sharpness)
    return np.array([settings.gain, sharpness, height, settings.noise], np.float32)


def _flat(tensor: Tensor) -> Floats:
    array: Floats = tensor.numpy().reshape(-1)
    return array
