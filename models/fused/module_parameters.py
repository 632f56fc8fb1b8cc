"""A module's parameters, found faster than by `Module.parameters`, and as arrays.

That one builds all names and looks for tensors used twice, which takes as long as a kernel does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from givre.models.compiled.types import Floats


def parameters_of(module: nn.Module) -> Iterator[nn.Parameter]:
    """Parameters of a module and its children, in the order of `Module.parameters`.

    A parameter that is used twice is given twice; the decoder's networks have none.
    """
    for parameter in module._parameters.values():
        if parameter is not None:
            yield parameter
    for child in module._modules.values():
        if child is not None:
            yield from parameters_of(child)


@dataclass(frozen=True)
class ParameterArrays:
    """Parameters and the arrays that share their memory.

    They stay valid as long as the parameters are only changed in place, as in a fit.

    Attributes:
        tensors: the parameters.
        arrays: in the same order.
    """

    tensors: tuple[nn.Parameter, ...]
    arrays: tuple[Floats, ...]

    def set_gradients(self, gradients: Sequence[Floats]) -> None:
        """Give every parameter its `.grad`; it shares the array's memory."""
        for tensor, gradient in zip(self.tensors, gradients, strict=True):
            tensor.grad = torch.from_numpy(gradient)


def arrays_of(*modules: nn.Module) -> ParameterArrays:
    """All parameters of some modules, contiguous float32 tensors on the CPU."""
    tensors = tuple(p for module in modules for p in parameters_of(module))
    return ParameterArrays(tensors, tuple(p.detach().numpy() for p in tensors))
