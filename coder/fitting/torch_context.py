"""What a fit needs of torch's settings, which are the whole process's; it puts them back.

Two fits in two threads would change each other's settings, so they take turns. That costs nothing:
one fit keeps all cores busy.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import RLock

import torch

from givre.coder.execution import resolve_threads


class _Turn:
    """Held by the thread whose fit has the settings; a process after a fork has one of its own.

    Attributes:
        lock: of the turn.
        forked: whether this process came from a fork of one that had loaded this module.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self.forked = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        # A thread that held the lock does not exist in the child, and would never give it back.
        self.lock = RLock()
        self.forked = True


_turn = _Turn()


@contextmanager
def torch_as_shipped() -> Iterator[None]:
    """Gradients are recorded, and tensors are float32 and on the CPU unless told otherwise.

    An application may encode inside `torch.no_grad()` or `torch.autocast`, or have a default type
    or device of its own. As a decorator it covers a function. Threads wait for each other.
    """
    with ExitStack() as stack:
        stack.enter_context(_turn.lock)
        dtype = torch.get_default_dtype()
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in filter(torch.is_autocast_enabled, ("cpu", "cuda")):
            stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":  # it costs time at every call
            stack.enter_context(torch.device("cpu"))
        if _turn.forked:
            stack.enter_context(torch_threads(1))
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Let torch use `threads` threads (0 for all cores) inside the block, and one after a fork.

    A forked process has none of the threads that torch had before, and torch would wait for them
    for ever.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1 if _turn.forked else resolve_threads(threads))
    try:
        yield
    finally:
        torch.set_num_threads(before)
