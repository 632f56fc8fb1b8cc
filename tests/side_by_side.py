"""Encodes and decodes at once, in threads or in processes, and compares with one after another.

A program for `test_concurrency.py`, which runs it and ends it if it hangs:
`side_by_side.py TASK WORDS...`, where the task is one of the functions at the end.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from threading import Barrier, Event, Thread
from time import sleep
from typing import TypeVar
from unittest.mock import patch

import numpy as np

import givre
from givre.models.compiled.kernel import Compiled, kernel

T = TypeVar("T")
R = TypeVar("R")


def encode(seed: int, kernels: str = "auto", n_threads: int = 2) -> bytes:
    """A file of a picture of its own size and of its own number of steps."""
    y, x = np.mgrid[:60, : 70 + 10 * seed]
    samples = np.stack([200 * (x > y), 2 * y + x, 3 * x], axis=-1).astype(np.uint8)
    steps = 8 + 4 * seed
    return givre.encode(
        samples, seed=seed, steps=steps, complexity="lop", threads=n_threads, kernels=kernels
    )


def decode(data: bytes) -> bytes:
    return np.asarray(givre.decode(data, threads=2)).tobytes()


def at_once(function: Callable[[T], R], arguments: Sequence[T]) -> list[R]:
    """The function's results, each from a thread of its own; all start together."""
    barrier = Barrier(len(arguments))

    def start(argument: T) -> R:
        barrier.wait()
        return function(argument)

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(start, arguments))


def threads(kernels: str) -> None:
    """Two encodes at once, in a process in which nothing is loaded, then one after another."""
    one_encode = partial(encode, kernels=kernels, n_threads=1)
    together = at_once(one_encode, [0, 1])
    assert together == [one_encode(seed) for seed in (0, 1)]


def decodes() -> None:
    files = [encode(seed) for seed in (0, 1)]
    pictures = [decode(data) for data in files]
    assert at_once(decode, files * 4) == pictures * 4


def processes(method: str) -> None:
    """An encode and a decode in another process, after this one has used all its threads."""
    data = encode(0)
    picture = decode(data)
    with ProcessPoolExecutor(1, get_context(method)) as pool:
        assert pool.submit(decode, data).result() == picture
        assert pool.submit(encode, 0).result() == data
    assert encode(0) == data


def fork_after_torch() -> None:
    """The new process has none of the threads that torch has here, and must not wait for them."""
    import torch

    import givre.coder.fitting.torch_context  # noqa: F401 (as an earlier encode loads it)

    torch.set_num_threads(2)
    matrix = torch.ones(1000, 1000)
    assert float((matrix @ matrix).sum()) == 1e9
    with ProcessPoolExecutor(1, get_context("fork")) as pool:
        data = pool.submit(encode, 0, "reference").result()
    torch.set_num_threads(1)
    assert data == encode(0, "reference", n_threads=1)


@kernel()
def doubled(x: int) -> int:
    return 2 * x


def double(x: int) -> int:
    return doubled(x)


def fork_while_compiling() -> None:
    """The new process inherits the locks of a compilation, but not the thread that frees them."""
    started = Event()

    def compile_slowly(function: Compiled[[int], int]) -> Callable[[int], int]:
        started.set()
        sleep(0.3)
        return function.__wrapped__

    with patch.object(Compiled, "_compile", compile_slowly):
        compiling = Thread(target=doubled.machine_code)
        compiling.start()
        started.wait()
        with get_context("fork").Pool(1) as pool:
            assert pool.apply(double, [3]) == 6
        compiling.join()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
