"""What a process does that was started to compile kernels."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Sequence
from time import process_time
from typing import Any

from givre.models.compiled.code_cache import locked
from givre.models.compiled.kernel import Compiled

LEAST_PRIORITY = 19
"""Of a process that gives way to all others, in the system's scale of niceness."""


def work(names: Sequence[str], nice: bool) -> None:
    """Compile kernels, and write a line of JSON to standard output for each that is ready.

    Kernels that another process is at are left to the end, when they are probably ready.

    Args:
        names: of kernels, as `module:function`.
        nice: whether to give way to all other processes.
    """
    if nice and hasattr(os, "nice"):
        os.nice(LEAST_PRIORITY)
    busy = []
    for name in names:
        if not _compile(name, wait=False):
            busy.append(name)
    for name in busy:
        _compile(name, wait=True)


def _compile(name: str, *, wait: bool) -> bool:
    """Make a kernel ready; false if another process is at it."""
    module, _, function = name.partition(":")
    kernel: Compiled[..., Any] = getattr(importlib.import_module(module), function)
    if kernel.is_ready():
        _report(kernel, 0.0)
        return True
    with locked(kernel.path(), wait=wait) as held:
        if not held:
            return False
        seconds = 0.0
        if not kernel.is_ready():
            started = process_time()
            kernel.machine_code()
            seconds = process_time() - started
        _report(kernel, seconds)
    return True


def _report(kernel: Compiled[..., Any], seconds: float) -> None:
    sys.stdout.write(json.dumps({"name": kernel.__name__, "seconds": seconds}) + "\n")
    sys.stdout.flush()
