"""A module's parameters, found faster than by `Module.parameters`.

That one builds all names and looks for tensors used twice, which takes as long as a kernel does.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn


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
