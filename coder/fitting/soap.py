"""SOAP: Adam in the slowly rotating eigenbasis of Shampoo's preconditioner.

"SOAP: Improving and Stabilizing Shampoo using Adam" (Vyas et al., 2024). Every tensor of two or
more dimensions is seen as a matrix (out, everything else); vectors are joined and get plain Adam.
All state lies in one flat buffer, so that one compiled kernel can do a step on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt

import torch
from torch import Tensor

CLIP_EPSILON = 1e-6
"""Added to the norm of a gradient before it is clipped, as in torch's `clip_grad_norm_`."""


@dataclass(frozen=True)
class SoapSettings:
    """Constants of the optimiser.

    Attributes:
        betas: decay of the first and second moments.
        shampoo_beta: decay of the preconditioner.
        eps: added to the root of the second moment.
        weight_decay: decoupled, multiplied by the learning rate.
        refresh_every: steps between two updates of the eigenbasis.
        max_dim: a matrix side longer than this is not preconditioned.
    """

    betas: tuple[float, float] = (0.95, 0.95)
    shampoo_beta: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.01
    refresh_every: int = 10
    max_dim: int = 256


_DEFAULTS = SoapSettings()


class _Buffer:
    """A flat buffer from which matrices are taken one after the other."""

    def __init__(self, like: Tensor, size: int) -> None:
        self.flat = like.new_zeros(size)
        self._taken = 0

    def take(self, rows: int, columns: int) -> Tensor:
        start, self._taken = self._taken, self._taken + rows * columns
        return self.flat[start : self._taken].view(rows, columns)


class Side:
    """One side of a matrix: Shampoo's factor and its eigenbasis."""

    def __init__(self, buffer: _Buffer, size: int) -> None:
        self.factor, self.basis = buffer.take(size, size), buffer.take(size, size)
        self.basis.fill_diagonal_(1)

    def accumulate(self, outer: Tensor, share: float) -> None:
        """Take an outer product of gradients into the factor, a running mean."""
        self.factor.lerp_(outer, share)

    def restart_basis(self) -> None:
        """Take the eigenvectors of the factor, those of the largest eigenvalues first."""
        self.basis.copy_(torch.linalg.eigh(self.factor).eigenvectors.flip(1))

    def refresh(self) -> Tensor:
        """One power iteration, then QR; returns the new order of the basis vectors."""
        product = self.factor @ self.basis
        order = torch.argsort((self.basis * product).sum(0), descending=True)
        self.basis.copy_(torch.linalg.qr(product[:, order]).Q)
        return order


class Matrix:
    """State of a matrix that is preconditioned on its rows, its columns, both or none."""

    def __init__(self, buffer: _Buffer, shape: tuple[int, int], sides: tuple[bool, bool]) -> None:
        self.mean, self.square = buffer.take(*shape), buffer.take(*shape)
        self.rows = Side(buffer, shape[0]) if sides[0] else None
        self.columns = Side(buffer, shape[1]) if sides[1] else None

    def accumulate(self, grad: Tensor, share: float) -> None:
        """Take a gradient into the factors of both sides."""
        if self.rows:
            self.rows.accumulate(grad @ grad.t(), share)
        if self.columns:
            self.columns.accumulate(grad.t() @ grad, share)

    def update(self, grad: Tensor, settings: SoapSettings) -> Tensor:
        """Take in a gradient; the direction in which the matrix shall go."""
        self.mean.lerp_(grad, 1 - settings.betas[0])
        self.square.lerp_(self._rotate(grad).square(), 1 - settings.betas[1])
        return self._rotate_back(self._rotate(self.mean) / (self.square.sqrt() + settings.eps))

    def refresh(self) -> None:
        """Update the bases; the second moment, which lives in them, follows their order."""
        if self.rows:
            self.square.copy_(self.square[self.rows.refresh()])
        if self.columns:
            self.square.copy_(self.square[:, self.columns.refresh()])

    def restart_bases(self) -> None:
        """Find the bases of both sides anew."""
        for side in (self.rows, self.columns):
            if side:
                side.restart_basis()

    def state(self) -> dict[str, Tensor]:
        """All state by name; not copies."""
        found = {"mean": self.mean, "square": self.square}
        for name, side in (("rows", self.rows), ("columns", self.columns)):
            if side:
                found |= {f"{name}.factor": side.factor, f"{name}.basis": side.basis}
        return found

    def _rotate(self, x: Tensor) -> Tensor:
        if self.rows:
            x = self.rows.basis.t() @ x
        return x @ self.columns.basis if self.columns else x

    def _rotate_back(self, x: Tensor) -> Tensor:
        if self.rows:
            x = self.rows.basis @ x
        return x @ self.columns.basis.t() if self.columns else x


class Soap:
    """Optimiser over a fixed list of tensors that have gradients.

    Args:
        parameters: tensors to optimise in place, on one device and of one type.
        settings: constants.
    """

    def __init__(self, parameters: Sequence[Tensor], settings: SoapSettings = _DEFAULTS) -> None:
        self._settings = settings
        # Matrices first: then the vectors lie together and make one matrix without bases.
        self._parameters = sorted(parameters, key=lambda p: p.dim() <= 1)
        self._values = [p.detach() for p in self._parameters]
        self._sizes = [p.numel() for p in self._values]
        matrices = [(len(p), p.numel() // len(p)) for p in self._values if p.dim() > 1]
        n_joined = sum(self._sizes[len(matrices) :])
        self._shapes = [*matrices, (1, n_joined)]
        sides = [(_has_basis(r, settings), _has_basis(c, settings)) for r, c in matrices]
        sides.append((False, False))
        size = sum(
            2 * (r * c + by_row * r * r + by_column * c * c)
            for (r, c), (by_row, by_column) in zip(self._shapes, sides, strict=True)
        )
        buffer = _Buffer(self._values[0], size)
        self._state = buffer.flat
        self._matrices = [
            Matrix(buffer, shape, side) for shape, side in zip(self._shapes, sides, strict=True)
        ]
        self._step = 0

    @torch.no_grad()
    def step(self, learning_rate: float, clip_norm: float = inf) -> None:
        """Update every tensor from its `.grad`. The first call only starts the preconditioner.

        Args:
            learning_rate: of this step.
            clip_norm: a gradient of a larger norm, over all tensors, is scaled down to it.
        """
        t = self._step
        self._step += 1
        gradient = torch.cat([_gradient(p) for p in self._parameters])
        if t == 0:
            for matrix, grad in zip(
                self._matrices, self._split(_clip(gradient, clip_norm)), strict=True
            ):
                matrix.accumulate(grad, 1 - self._settings.shampoo_beta)
                matrix.restart_bases()
            return
        betas = self._settings.betas
        size = learning_rate * sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)
        decay = 1 - learning_rate * self._settings.weight_decay
        self._move(gradient, clip_norm, decay, size)
        if t % self._settings.refresh_every == 0:
            self._refresh()

    def state_tensors(self) -> dict[str, Tensor]:
        """All state as named tensors, for a checkpoint; not copies."""
        *matrices, joined = self._matrices
        found = {"step": torch.tensor(self._step)}
        found |= {name: value[0] for name, value in joined.state().items()}
        for i, matrix in enumerate(matrices):
            found |= {f"{i}.{name}": value for name, value in matrix.state().items()}
        return found

    def load_state_tensors(self, state: dict[str, Tensor]) -> None:
        """Take back a state. Raises KeyError or RuntimeError when it does not fit."""
        own = self.state_tensors()
        self._step = int(state["step"])
        for name in own.keys() - {"step"}:
            own[name].copy_(state[name])

    def _move(self, gradient: Tensor, clip_norm: float, decay: float, size: float) -> None:
        """Take in a gradient that is not yet clipped, and change the tensors."""
        torch._foreach_mul_(self._values, decay)
        parts = self._split(_clip(gradient, clip_norm))
        updates = []
        for matrix, grad in zip(self._matrices, parts, strict=True):
            updates.append(matrix.update(grad, self._settings).reshape(-1))
            matrix.accumulate(grad, 1 - self._settings.shampoo_beta)
        torch._foreach_sub_(self._values, self._shaped(torch.cat(updates)), alpha=size)

    def _refresh(self) -> None:
        """Renew the bases of all matrices."""
        for matrix in self._matrices:
            matrix.refresh()

    def _split(self, flat: Tensor) -> list[Tensor]:
        """The matrices that lie in a flat tensor."""
        parts = torch.split(flat, [r * c for r, c in self._shapes])
        return [part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def _shaped(self, flat: Tensor) -> list[Tensor]:
        """The tensors that lie in a flat one, in their own shapes."""
        parts = torch.split(flat, self._sizes)
        return [part.view(v.shape) for part, v in zip(parts, self._values, strict=True)]


def _has_basis(size: int, settings: SoapSettings) -> bool:
    return 1 < size <= settings.max_dim


def _gradient(parameter: Tensor) -> Tensor:
    grad = parameter.grad
    return (torch.zeros_like(parameter) if grad is None else grad).reshape(-1)


def _clip(gradient: Tensor, largest: float) -> Tensor:
    """Scale a gradient down to a norm, as torch's `clip_grad_norm_` does."""
    return gradient * torch.clamp(largest / (gradient.norm() + CLIP_EPSILON), max=1)
