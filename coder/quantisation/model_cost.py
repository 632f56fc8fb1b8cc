"""What a decoder's parameters cost, in bits, and the slope of that, over the whole image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from givre.models.codec_model import CodecModel
from givre.models.compiled.types import Doubles


class DecoderCost:
    """The cost of some of a model's tensors, as differences from a prior, joined to one vector.

    Args:
        model: holds the parameters; they are changed at every call.
        names: of the tensors, in the order in which they are joined.
        prior: what the differences are taken from, by name.
        cost: what a model costs, a differentiable scalar.
        scale: bits that a cost of 1 is worth.
    """

    def __init__(
        self,
        model: CodecModel,
        names: Sequence[str],
        prior: Mapping[str, NDArray[np.float64]],
        cost: Callable[[CodecModel], Tensor],
        scale: float,
    ) -> None:
        parameters = dict(model.named_parameters())
        self._model, self._cost, self._scale = model, cost, scale
        self._tensors = [parameters[name] for name in names]
        self.prior: Doubles = np.concatenate([prior[name].reshape(-1) for name in names])

    def differences(self) -> Doubles:
        """Where the model's parameters are now, (P,)."""
        return self._joined(self._tensors) - self.prior

    @torch.no_grad()
    def move_to(self, differences: Doubles) -> None:
        """Give the model other parameters, differences (P,) from the prior."""
        values = torch.from_numpy(self.prior + differences)
        parts = torch.split(values, [tensor.numel() for tensor in self._tensors])
        for tensor, part in zip(self._tensors, parts, strict=True):
            tensor.copy_(part.reshape(tensor.shape))

    @torch.no_grad()
    def bits(self, differences: Doubles) -> float:
        """The cost at differences (P,) from the prior; infinite where it is not a number."""
        self.move_to(differences)
        found = self._scale * float(self._cost(self._model))
        return found if np.isfinite(found) else np.inf

    def gradient(self, differences: Doubles) -> Doubles:
        """Slope (P,) of the cost at differences (P,) from the prior."""
        self.move_to(differences)
        slopes = torch.autograd.grad(
            self._cost(self._model), self._tensors, allow_unused=True, materialize_grads=True
        )
        return self._scale * self._joined(slopes)

    def _joined(self, tensors: Sequence[Tensor]) -> Doubles:
        flat = torch.cat([t.detach().reshape(-1) for t in tensors])
        values: Doubles = flat.double().numpy()
        return values
