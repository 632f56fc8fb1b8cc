"""Runs kernels on several threads such that the result does not depend on their number."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import count
from threading import Lock

MAX_CHUNKS = 32
"""Items are cut into at most so many chunks, whatever the number of threads."""


def chunks(n_items: int, grain: int = 1) -> tuple[tuple[int, int], ...]:
    """Fixed partition of items 0 .. n_items - 1 into chunks (first, last), `last` excluded.

    There are at most MAX_CHUNKS chunks, all of the same size but for the last one; `grain` is the
    least size.
    """
    size = max(grain, -(-n_items // MAX_CHUNKS))
    return tuple((first, min(first + size, n_items)) for first in range(0, n_items, size))


def run(
    kernel_call: Callable[[int, int], None], n_items: int, threads: int, grain: int = 1
) -> None:
    """Call `kernel_call(first, last)` for every chunk of `chunks(n_items, grain)`.

    Returns when all calls have returned. Calls must write to different places. An exception of
    any of them is raised here.
    """
    parts = chunks(n_items, grain)
    run_tasks(lambda task: kernel_call(*parts[task]), len(parts), threads)


def run_tasks(task_call: Callable[[int], None], n_tasks: int, threads: int) -> None:
    """Call `task_call(task)` for 0 <= task < n_tasks on up to `threads` threads.

    Tasks start in order; a task that writes partial sums should do so at its own index, and the
    caller adds them up in order. The calling thread works too. An exception of any task is raised
    here, after all threads have stopped.
    """
    helpers = min(threads, n_tasks) - 1
    if helpers < 1:
        for task in range(n_tasks):
            task_call(task)
        return

    tickets, lock = count(), Lock()

    def work() -> None:
        while True:
            with lock:
                task = next(tickets)
            if task >= n_tasks:
                return
            task_call(task)

    futures = [_executor(helpers).submit(work) for _ in range(helpers)]
    try:
        work()
    finally:
        # A helper that has not started finds nothing left to do; to wait for it could be to wait
        # for the very thread that waits.
        errors = [future.exception() for future in futures if not future.cancel()]
    for error in errors:
        if error is not None:
            raise error


@lru_cache(maxsize=4)
def _executor(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="givre")


if hasattr(os, "register_at_fork"):
    # A forked process has the pool's object but not its threads.
    os.register_at_fork(after_in_child=_executor.cache_clear)
