"""How many threads torch may use while givre computes; its setting is put back afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from givre.coder.fitting.settings import resolve_threads


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Let torch use `threads` threads (0 for all cores) inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(resolve_threads(threads))
    try:
        yield
    finally:
        torch.set_num_threads(before)
