"""Compiles many kernels before they are needed, in several processes at once.

A compiler in Python keeps the interpreter's lock, so threads would take turns. The processes share
out the kernels by locks on the files that they write: neither two processes of one call nor those
of several calls compile the same kernel.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING, Any

from givre.models.compiled.kernel import Compiled

if TYPE_CHECKING:
    import subprocess

_log = logging.getLogger(__name__)

Kernels = Sequence[Compiled[..., Any]]

_PROGRAM = """
import json, sys
task = json.load(sys.stdin)
sys.path[:] = task["path"]
from givre.models.compiled.worker import work
work(task["kernels"], task["nice"])
"""


@dataclass(frozen=True)
class Compiling:
    """How far compiling has come.

    Attributes:
        done: kernels that are ready.
        total: kernels that were not ready at the start.
        name: the kernel that became ready last, empty at the start.
        seconds: that this kernel took, on one core.
    """

    done: int
    total: int
    name: str = ""
    seconds: float = 0.0


def prepare(
    kernels: Kernels,
    processes: int,
    on_ready: Callable[[Compiling], None] = lambda state: None,
) -> None:
    """Compile those of some kernels whose machine code is not on disk.

    Where that cannot be done (no other process can be started, no folder can be written), kernels
    are compiled when they are called.

    Args:
        kernels: those that take longest first, so that the last process to end starts early.
        processes: how many may compile at once, at least 1.
        on_ready: told at the start, if there is anything to compile, and after each kernel.

    Raises:
        KeyboardInterrupt: the processes have been stopped; what was compiled is kept.
    """
    missing = [kernel for kernel in kernels if not kernel.is_ready()]
    if not missing:
        return
    on_ready(Compiling(0, len(missing)))
    _log.info("compiling %d kernels for this machine, once", len(missing))
    workers = [_start(missing, nice=False) for _ in range(min(processes, len(missing)))]
    try:
        ready = set()
        for report in _reports([worker for worker in workers if worker]):
            if report["name"] not in ready:  # a worker also reports what another one has done
                ready.add(report["name"])
                on_ready(Compiling(len(ready), len(missing), report["name"], report["seconds"]))
    finally:
        _stop(workers)


@contextmanager
def compiling_meanwhile(kernels: Kernels) -> Iterator[None]:
    """Compile kernels beside other work, in one process that gives way to everything else.

    What is not done when the block ends stays undone.
    """
    missing = [kernel for kernel in kernels if not kernel.is_ready()]
    worker = _start(missing, nice=True) if missing else None
    if worker is not None and worker.stdout is not None:
        worker.stdout.close()
    try:
        yield
    finally:
        _stop([worker])


def _start(kernels: Kernels, *, nice: bool) -> subprocess.Popen[str] | None:
    import json  # not needed by those who only decode
    import subprocess

    names = [f"{kernel.__module__}:{kernel.__name__}" for kernel in kernels]
    task = json.dumps({"path": sys.path, "kernels": names, "nice": nice})
    try:
        worker = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert worker.stdin is not None  # it was asked for
        with worker.stdin:
            worker.stdin.write(task)
    except OSError as error:  # no interpreter of its own, as in an embedded one, or no process
        _log.debug("kernels are compiled when they are called: %s", error)
        return None
    return worker


def _reports(workers: Sequence[subprocess.Popen[str]]) -> Iterator[dict[str, Any]]:
    """What the workers report, as it comes, until all have ended."""
    import json
    from queue import SimpleQueue

    lines: SimpleQueue[str | None] = SimpleQueue()

    def read(worker: subprocess.Popen[str]) -> None:
        assert worker.stdout is not None  # it was asked for
        for line in worker.stdout:
            lines.put(line)
        lines.put(None)

    for worker in workers:
        Thread(target=read, args=(worker,), daemon=True).start()
    open_ends = len(workers)
    while open_ends:
        line = lines.get()
        if line is None:
            open_ends -= 1
        else:
            yield json.loads(line)


def _stop(workers: Sequence[subprocess.Popen[str] | None]) -> None:
    for worker in workers:
        if worker is None:
            continue
        if worker.poll() is None:
            worker.terminate()
        worker.wait()
        if worker.stdout is not None:
            worker.stdout.close()


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
