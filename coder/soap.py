"""SOAP: Adam in the slowly rotating eigenbasis of Shampoo's preconditioner.

"SOAP: Improving and Stabilizing Shampoo using Adam" (Vyas et al., 2024). Every tensor of two or
more dimensions is seen as a matrix (out, everything else); vectors are joined and get plain Adam.
The tensors of a decoder are tiny, so a step costs as much as the number of torch calls it makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor


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


class _Side:
    """One side of a matrix: Shampoo's factor and its eigenbasis."""

    def __init__(self, like: Tensor, size: int) -> None:
        self.factor = like.new_zeros(size, size)
        self.basis = torch.eye(size).to(like)

    def accumulate(self, outer: Tensor, share: float) -> None:
        self.factor.lerp_(outer, share)

    def restart_basis(self) -> None:
        self.basis = torch.linalg.eigh(self.factor).eigenvectors.flip(1)

    def refresh(self) -> Tensor:
        """One power iteration, then QR; returns the new order of the basis vectors."""
        product = self.factor @ self.basis
        order = torch.argsort((self.basis * product).sum(0), descending=True)
        self.basis = torch.linalg.qr(product[:, order]).Q
        return order


class _Matrix:
    """State of one tensor that is preconditioned on its rows, its columns or both."""

    def __init__(self, parameter: Tensor, settings: SoapSettings) -> None:
        self.parameter = parameter
        like = parameter.detach().reshape(parameter.shape[0], -1)
        self.mean, self.square = torch.zeros_like(like), torch.zeros_like(like)
        rows, columns = (1 < n <= settings.max_dim for n in like.shape)
        self.rows = _Side(like, like.shape[0]) if rows else None
        self.columns = _Side(like, like.shape[1]) if columns else None

    def gradient(self) -> Tensor:
        grad = self.parameter.grad
        return torch.zeros_like(self.mean) if grad is None else grad.reshape(self.mean.shape)

    def accumulate(self, grad: Tensor, share: float) -> None:
        if self.rows:
            self.rows.accumulate(grad @ grad.t(), share)
        if self.columns:
            self.columns.accumulate(grad.t() @ grad, share)

    def rotate(self, x: Tensor) -> Tensor:
        if self.rows:
            x = self.rows.basis.t() @ x
        return x @ self.columns.basis if self.columns else x

    def rotate_back(self, x: Tensor) -> Tensor:
        if self.rows:
            x = self.rows.basis @ x
        return x @ self.columns.basis.t() if self.columns else x

    def refresh(self) -> None:
        """Update the bases; the second moment, which lives in them, follows their order."""
        if self.rows:
            self.square = self.square[self.rows.refresh()]
        if self.columns:
            self.square = self.square[:, self.columns.refresh()]

    def restart_bases(self) -> None:
        for side in (self.rows, self.columns):
            if side:
                side.restart_basis()

    def state(self) -> dict[str, Tensor]:
        found = {"mean": self.mean, "square": self.square}
        for name, side in (("rows", self.rows), ("columns", self.columns)):
            if side:
                found |= {f"{name}.factor": side.factor, f"{name}.basis": side.basis}
        return found

    def load(self, state: dict[str, Tensor]) -> None:
        self.mean, self.square = (state[k].clone().to(self.mean) for k in ("mean", "square"))
        for name, side in (("rows", self.rows), ("columns", self.columns)):
            if side:
                side.factor = state[f"{name}.factor"].clone().to(self.mean)
                side.basis = state[f"{name}.basis"].clone().to(self.mean)


class Soap:
    """Optimiser over a fixed list of tensors that have gradients.

    Args:
        parameters: tensors to optimise in place.
        settings: constants.
    """

    def __init__(self, parameters: Sequence[Tensor], settings: SoapSettings = _DEFAULTS) -> None:
        self._settings = settings
        self._all = [p.detach() for p in parameters]
        self._matrices = [_Matrix(p, settings) for p in parameters if p.dim() > 1]
        self._vectors = [p for p in parameters if p.dim() <= 1]
        joined = torch.cat([p.detach().reshape(-1) for p in self._vectors] or [torch.zeros(0)])
        self._mean, self._square = torch.zeros_like(joined), torch.zeros_like(joined)
        self._step = 0

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Update every tensor from its `.grad`. The first call only starts the preconditioner."""
        s, t = self._settings, self._step
        self._step += 1
        gradients = [matrix.gradient() for matrix in self._matrices]
        if t == 0:
            for matrix, grad in zip(self._matrices, gradients, strict=True):
                matrix.accumulate(grad, 1 - s.shampoo_beta)
                matrix.restart_bases()
            return
        size = learning_rate * sqrt(1 - s.betas[1] ** t) / (1 - s.betas[0] ** t)
        torch._foreach_mul_(self._all, 1 - learning_rate * s.weight_decay)
        for matrix, grad in zip(self._matrices, gradients, strict=True):
            matrix.mean.lerp_(grad, 1 - s.betas[0])
            matrix.square.lerp_(matrix.rotate(grad).square_(), 1 - s.betas[1])
            direction = matrix.rotate(matrix.mean) / (matrix.square.sqrt() + s.eps)
            update = matrix.rotate_back(direction).reshape(matrix.parameter.shape)
            matrix.parameter.sub_(update, alpha=size)
            matrix.accumulate(grad, 1 - s.shampoo_beta)
            if t % s.refresh_every == 0:
                matrix.refresh()
        self._step_vectors(size)

    def _step_vectors(self, size: float) -> None:
        if not self._vectors:
            return
        s = self._settings
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._vectors]
        grad = torch.cat([part.reshape(-1) for part in parts])
        self._mean.lerp_(grad, 1 - s.betas[0])
        self._square.lerp_(grad.square(), 1 - s.betas[1])
        update = self._mean / (self._square.sqrt() + s.eps)
        pieces = [
            piece.reshape(p.shape)
            for p, piece in zip(
                self._vectors, torch.split(update, [p.numel() for p in self._vectors]), strict=True
            )
        ]
        torch._foreach_add_(self._vectors, pieces, alpha=-size)

    def state_tensors(self) -> dict[str, Tensor]:
        """All state as named tensors, for a checkpoint."""
        found = {"step": torch.tensor(self._step), "mean": self._mean, "square": self._square}
        for i, matrix in enumerate(self._matrices):
            found |= {f"{i}.{name}": value for name, value in matrix.state().items()}
        return found

    def load_state_tensors(self, state: dict[str, Tensor]) -> None:
        """Take back what `state_tensors` gave; KeyError when something is missing."""
        self._step = int(state["step"])
        self._mean = state["mean"].clone().to(self._mean)
        self._square = state["square"].clone().to(self._square)
        for i, matrix in enumerate(self._matrices):
            prefix = f"{i}."
            matrix.load(
                {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            )
