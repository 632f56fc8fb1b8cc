"""Runs kernels on several threads such that the result does not depend on their number."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import count
from queue import SimpleQueue
from threading import Lock, Thread

import numpy as np

from givre.models.compiled.tickets import Parts, Tickets

MAX_CHUNKS = 16
"""Items are cut into at most so many chunks, whatever the number of threads."""


Batches = tuple[tuple[int, int], ...]
"""Ranges (first, last) of tasks or items, `last` excluded."""


@lru_cache(maxsize=256)
def chunks(n_items: int, grain: int = 1) -> Batches:
    """Fixed partition of items 0 .. n_items - 1 into chunks (first, last), `last` excluded.

    There are at most MAX_CHUNKS chunks, all of the same size but for the last one; `grain` is the
    least size.
    """
    size = max(grain, -(-n_items // MAX_CHUNKS))
    return tuple((first, min(first + size, n_items)) for first in range(0, n_items, size))


def join(sizes: Sequence[int], least: int) -> Batches:
    """Join neighbouring tasks until each batch but the last one has the least size."""
    found, first, total = [], 0, 0
    for i, size in enumerate(sizes):
        total += size
        if total >= least or i + 1 == len(sizes):
            found.append((first, i + 1))
            first, total = i + 1, 0
    return tuple(found)


@lru_cache(maxsize=256)
def parts_of(batches: Batches) -> Parts:
    """The ranges as a table, for `share`; it must not be changed."""
    return np.array(batches, np.int64).reshape(-1, 2)


def share(kernel_call: Callable[[Tickets, Parts], None], parts: Parts, threads: int) -> None:
    """Let up to `threads` threads share out the parts of a kernel's work.

    Args:
        kernel_call: does one part for each ticket that it takes, until there is none left; see
            `givre.models.compiled.tickets`. Parts are taken in order, and must write to different
            places: partial sums to their own index, for the caller to add up in order.
        parts: first item and end of the items of each part. They should last longer than the some
            ten microseconds that it takes to wake another thread.
        threads: how many at most; the calling thread is one of them.
    """
    tickets = np.zeros(1, np.int64)
    _on_threads(lambda: kernel_call(tickets, parts), min(threads, len(parts)))


def run_tasks(task_call: Callable[[int], None], n_tasks: int, threads: int) -> None:
    """Call `task_call(task)` for 0 <= task < n_tasks on up to `threads` threads.

    This is `share` for work that is not one kernel: tasks start in order, and the same holds for
    what they write. An exception of any task is raised here, after all threads have stopped.
    """
    tickets = count()  # next() on it is atomic

    def work() -> None:
        while (task := next(tickets)) < n_tasks:
            task_call(task)

    _on_threads(work, min(threads, n_tasks))


def _on_threads(work: Callable[[], None], threads: int) -> None:
    """Call `work()` on up to `threads` threads, the calling one among them."""
    if threads < 2:
        work()
        return
    shares = [_Share(work) for _ in range(threads - 1)]
    _crew().give(shares)
    try:
        work()
    finally:
        errors = [share.finish() for share in shares]
    for error in errors:
        if error is not None:
            raise error


def together(pieces: Sequence[Callable[[], None]], threads: int) -> None:
    """Do pieces of work that are independent of each other, as `run_tasks` does tasks."""
    run_tasks(lambda task: pieces[task](), len(pieces), threads)


class _Share:
    """Work that a helper may take up, unless it is finished without it."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work: Callable[[], None] | None = work
        self._taken, self._running = Lock(), Lock()
        self._running.acquire()
        self._error: BaseException | None = None

    def run(self) -> None:
        """Do the work, on a helper's thread."""
        work = self._work
        if work is None or not self._taken.acquire(blocking=False):
            return
        try:
            work()
        except BaseException as error:  # the calling thread raises it
            self._error = error
        finally:
            self._work = None
            self._running.release()

    def finish(self) -> BaseException | None:
        """Wait for a helper that has started; return what it raised.

        One that has not started finds nothing left to do. To wait for it could be to wait for the
        very thread that waits.
        """
        if self._taken.acquire(blocking=False):
            self._work = None  # the queue keeps the share for a while, but not what it works on
        else:
            self._running.acquire()
        return self._error


class _Crew:
    """Threads that wait for shares, as many as have been needed at once."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[_Share] = SimpleQueue()
        self._n_threads = 0
        self._growing = Lock()

    def give(self, shares: Sequence[_Share]) -> None:
        """Let a thread take up each of the shares."""
        while self._n_threads < len(shares):
            self._grow(len(shares))
        for share in shares:
            self._queue.put(share)

    def _grow(self, wanted: int) -> None:
        with self._growing:
            if self._n_threads < wanted:
                name = f"givre-{self._n_threads}"
                Thread(target=self._help, name=name, daemon=True).start()
                self._n_threads += 1

    def _help(self) -> None:
        while True:
            self._queue.get().run()


@lru_cache(maxsize=1)
def _crew() -> _Crew:
    return _Crew()


if hasattr(os, "register_at_fork"):
    # A forked process has the crew's object but not its threads.
    os.register_at_fork(after_in_child=_crew.cache_clear)
