"""What a fit needs of torch's process-wide settings; they are put back afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from givre.coder.fitting.settings import resolve_threads


@contextmanager
def torch_as_shipped() -> Iterator[None]:
    """Gradients are recorded, and tensors are float32 and on the CPU unless told otherwise.

    An application may encode inside `torch.no_grad()` or `torch.autocast`, or have a default type
    or device of its own. As a decorator it covers a function.
    """
    dtype = torch.get_default_dtype()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in filter(torch.is_autocast_enabled, ("cpu", "cuda")):
            stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":  # it costs time at every call
            stack.enter_context(torch.device("cpu"))
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Let torch use `threads` threads (0 for all cores) inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(resolve_threads(threads))
    try:
        yield
    finally:
        torch.set_num_threads(before)
