"""Compilation, thread pool and elementary functions of the compiled kernels."""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from givre import models
from givre.models.compiled import code_cache, pool
from givre.models.compiled.buffers import Buffers
from givre.models.compiled.kernel import Compiled, kernel
from givre.models.compiled.tickets import Parts, Tickets, next_ticket
from givre.models.compiled.types import Doubles, Floats, Floats1, Floats2, Integers1
from givre.models.compiled.vector_math import cos_turns, exp, exp2, log2, sin_turns, tanh
from givre.models.exact.compiled.backend import DECODING_KERNELS, ENCODING_KERNELS
from givre.models.fused.backend import MOVE_KERNELS, STEP_KERNELS

HELPER = """
from givre.models.compiled.kernel import kernel_part
STEP = {step}
@kernel_part()
def helper(x):
    return x + STEP
"""
KERNEL = """
from fused_helper import helper
from givre.models.compiled.kernel import kernel
@kernel()
def doubled(x: int) -> int:
    return 2 * helper(x)
"""

SUMS = """
import numpy as np
from givre.models.compiled.kernel import kernel
from givre.models.compiled.types import FLAGS, Doubles1, Floats1
from givre.models.fused.synthesis.products import BLOCK, correlate
@kernel(fastmath=FLAGS)
def sums_of(left: Floats1, right: Floats1, n_right: int, sums: Doubles1) -> None:
    correlate(left, right, n_right, sums)
    correlate(right, left, n_right, sums)
left, right = np.random.default_rng(0).standard_normal((2, 8 * BLOCK)).astype(np.float32)
sums = np.zeros(64)
ready = sums_of.is_ready()
sums_of(left, right, 8, sums)
print(ready, sums.tobytes().hex())
"""


@kernel(fastmath=True)
def evaluate(x: Floats1, y: Floats2) -> None:
    for i in range(x.size):
        y[0, i] = exp2(x[i])
        y[1, i] = exp(x[i])
        y[2, i] = log2(x[i])
        y[3, i] = tanh(x[i])
        y[4, i] = sin_turns(x[i])
        y[5, i] = cos_turns(x[i])


FUNCTIONS: list[Callable[[Doubles], Doubles]] = [
    np.exp2,
    np.exp,
    np.log2,
    np.tanh,
    lambda x: np.sin(2 * np.pi * x),
    lambda x: np.cos(2 * np.pi * x),
]


def values(function: int, arguments: Doubles) -> tuple[Floats, Doubles]:
    """The kernel's values, and the exact ones for the same float32 arguments."""
    rounded = arguments.astype(np.float32)
    results = np.empty((len(FUNCTIONS), rounded.size), np.float32)
    evaluate(rounded, results)
    return results[function], FUNCTIONS[function](rounded.astype(np.float64))


@pytest.mark.parametrize(
    ("function", "low", "high"),
    [
        (0, -126, 126),
        (1, -87, 87),
        (1, -1e-3, 1e-3),
        (2, 0.5, 2),
        (2, 0.999, 1.001),
        (3, -1, 1),
        (3, -1e-3, 1e-3),
        (3, -20, 20),
    ],
)
def test_relative_error_of_elementary_functions(function: int, low: float, high: float) -> None:
    found, exact = values(function, np.linspace(low, high, 20001))
    assert np.all(np.abs(found - exact) <= 3e-7 * np.abs(exact))


def test_relative_error_of_the_logarithm_of_any_magnitude() -> None:
    found, exact = values(2, np.exp2(np.linspace(-125.9, 127.9, 20001)))
    assert np.all(np.abs(found - exact) <= 3e-7 * np.abs(exact))


@pytest.mark.parametrize("function", [4, 5])
def test_absolute_error_of_trigonometric_functions(function: int) -> None:
    found, exact = values(function, np.linspace(-2, 2, 20001))
    assert np.abs(found - exact).max() <= 5e-7


def test_elementary_functions_at_distinguished_points() -> None:
    found, _ = values(0, np.array([-126.0, -1.0, 0.0, 1.0, 10.0]))
    np.testing.assert_array_equal(found, [2.0**-126, 0.5, 1, 2, 1024])
    found, _ = values(2, np.array([0.25, 1.0, 8.0]))
    np.testing.assert_array_equal(found, [-2, 0, 3])
    found, _ = values(3, np.array([-100.0, 0.0, 100.0]))
    np.testing.assert_array_equal(found, [-1, 0, 1])


@pytest.mark.parametrize("function", [0, 1, 3])
def test_elementary_functions_stay_finite(function: int) -> None:
    with np.errstate(over="ignore"):
        found, _ = values(function, np.array([-1e30, -200.0, 200.0, 1e30]))
    assert np.all(np.isfinite(found))
    assert np.all(np.diff(found) >= 0)


@pytest.mark.parametrize(("n_items", "grain"), [(0, 1), (1, 1), (31, 1), (33, 1), (500, 8)])
def test_chunks_are_a_partition(n_items: int, grain: int) -> None:
    parts = pool.chunks(n_items, grain)
    assert [i for first, last in parts for i in range(first, last)] == list(range(n_items))
    assert len(parts) <= pool.MAX_CHUNKS
    assert all(last - first >= grain for first, last in parts[:-1])


@kernel()
def count_visits(tickets: Tickets, parts: Parts, visits: Integers1) -> None:
    """Add one to every item of every part that this thread takes."""
    part = next_ticket(tickets)
    while part < parts.shape[0]:
        for item in range(parts[part, 0], parts[part, 1]):
            visits[item] += 1
        part = next_ticket(tickets)


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("n_items", [0, 1, 1000, 100_000])
def test_every_part_is_done_once(threads: int, n_items: int) -> None:
    visits = np.zeros(n_items, np.int64)
    parts = pool.parts_of(pool.chunks(n_items))
    for _ in range(20):
        pool.share(lambda t, p: count_visits(t, p, visits), parts, threads)
    assert np.all(visits == 20)


def test_threads_take_different_tickets() -> None:
    """Far more tickets than an image has, and both threads start at once."""
    n = 200_000
    visits = np.zeros(n, np.int64)
    parts = np.stack([np.arange(n), np.arange(n) + 1], axis=1)
    barrier = threading.Barrier(2, timeout=10)

    def call(tickets: np.ndarray, rows: np.ndarray) -> None:
        barrier.wait()
        count_visits(tickets, rows, visits)

    for _ in range(20):
        pool.share(call, parts, 2)
    assert np.all(visits == 20)


def test_an_error_in_a_shared_kernel_is_raised() -> None:
    def fail(tickets: np.ndarray, parts: np.ndarray) -> None:
        raise ValueError("no kernel")

    for threads in (1, 3):
        with pytest.raises(ValueError, match="no kernel"):
            pool.share(fail, pool.parts_of(pool.chunks(100)), threads)


def test_sums_do_not_depend_on_timing() -> None:
    terms = np.random.default_rng(5).standard_normal(10007).astype(np.float32)

    def total(threads: int) -> np.float32:
        parts = pool.chunks(terms.size)
        sums = np.zeros(len(parts), np.float32)

        def add(task: int) -> None:
            time.sleep(0.001 * (task * 7 % 3))
            sums[task] = terms[slice(*parts[task])].sum()

        pool.run_tasks(add, len(parts), threads)
        return np.float32(sums.sum())

    assert total(1) == total(2) == total(3)


def test_tasks_run_side_by_side() -> None:
    barrier = threading.Barrier(2, timeout=10)
    pool.run_tasks(lambda _: barrier.wait() and None, 2, 2)


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_in_a_task_is_raised(threads: int) -> None:
    def fail(task: int) -> None:
        if task == 5:
            raise ValueError("task 5")

    with pytest.raises(ValueError, match="task 5"):
        pool.run_tasks(fail, 20, threads)


def test_tasks_may_run_tasks() -> None:
    done: list[int] = []
    pool.run_tasks(lambda _: pool.run_tasks(done.append, 4, 2), 4, 2)
    assert sorted(done) == sorted([0, 1, 2, 3] * 4)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of machine code."""
    monkeypatch.setenv("GIVRE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def modules(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], ModuleType]:
    """Writes a helper with the given constant, and imports a kernel that calls it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "fused_kernel.py").write_text(KERNEL, encoding="utf-8")

    def load(step: int) -> ModuleType:
        (tmp_path / "fused_helper.py").write_text(HELPER.format(step=step), encoding="utf-8")
        for name in ("fused_helper", "fused_kernel"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return importlib.import_module("fused_kernel")

    return load


def test_machine_code_is_kept(modules: Callable[[int], ModuleType], cache: Path) -> None:
    first = modules(1).doubled
    assert not first.is_ready()
    assert first(4) == 10
    (entry,) = cache.glob("*.bin")
    before = entry.stat().st_mtime_ns
    again = modules(1).doubled
    assert again.is_ready()
    assert again(4) == 10
    assert list(cache.glob("*.bin")) == [entry]
    assert entry.stat().st_mtime_ns == before


def test_a_folder_can_be_carried_to_another_place(
    modules: Callable[[int], ModuleType],
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert modules(1).doubled(4) == 10
    moved = cache.rename(tmp_path / "elsewhere")
    monkeypatch.setenv("GIVRE_CACHE_DIR", str(moved))
    assert modules(1).doubled.is_ready()


def test_a_changed_helper_is_compiled_again(modules: Callable[[int], ModuleType]) -> None:
    assert modules(1).doubled(4) == 10
    assert modules(2).doubled(4) == 12


@pytest.mark.parametrize("kind", ["short", "flipped", "no machine code"])
def test_a_damaged_file_is_compiled_again(
    modules: Callable[[int], ModuleType], cache: Path, kind: str
) -> None:
    assert modules(1).doubled(4) == 10
    (entry,) = cache.glob("*.bin")
    content = entry.read_bytes()
    if kind == "no machine code":
        code_cache.write_code(entry, b"anything")
    else:
        entry.write_bytes(b"damaged" if kind == "short" else content[:-1] + b"?")
        assert not modules(1).doubled.is_ready()
    assert modules(1).doubled(4) == 10
    assert code_cache.read_code(entry) is not None


def test_a_folder_that_cannot_be_written_is_done_without(
    modules: Callable[[int], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    monkeypatch.setenv("GIVRE_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert modules(1).doubled(4) == 10


@pytest.mark.slow
def test_results_are_the_same_bits_compiled_or_loaded(tmp_path: Path) -> None:
    """A helper of its own in the machine code would be another copy in the second process."""
    (tmp_path / "sums.py").write_text(SUMS, encoding="utf-8")
    outputs = [
        subprocess.run(
            [sys.executable, "sums.py"],
            cwd=tmp_path,
            env={**os.environ, "GIVRE_CACHE_DIR": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for _ in range(2)
    ]
    (before, compiled_sums), (after, loaded_sums) = outputs
    assert (before, after) == ("False", "True")
    assert compiled_sums == loaded_sums


def all_kernels() -> list[Compiled[..., object]]:
    """The compiled functions of the package that have a signature."""
    # iter_modules would not go into folders, and check nothing without a word.
    packages = pkgutil.walk_packages(models.__path__, f"{models.__name__}.")
    modules = [importlib.import_module(package.name) for package in packages]
    return [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, Compiled) and value.__module__ == module.__name__ and value.is_kernel
    ]


def test_kernels_of_all_folders_are_found() -> None:
    listed = (*STEP_KERNELS, *MOVE_KERNELS, *DECODING_KERNELS, *ENCODING_KERNELS)
    unlisted = {function.__name__ for function in all_kernels()} - {k.__name__ for k in listed}
    assert unlisted == {"arm_contexts"}  # a whole grid at once, which only tests ask for
    assert len(all_kernels()) == len(listed) + 1


@pytest.mark.parametrize("function", all_kernels(), ids=lambda function: function.__name__)
def test_machine_code_holds_no_function_that_another_could_replace(
    function: Compiled[..., object],
) -> None:
    """But those of numba that count references and word errors."""
    (overload,) = function.machine_code().overloads.values()  # type: ignore[attr-defined]
    own = f"{function.__name__}_{function.digest()}"
    harmless = ("NRT_", "__excinfo_unwrap_args", "ol_raise_with_shape_context", "unicode_concat")
    held = overload.library._get_module_for_linking().functions
    names = [found.name for found in held if not found.is_declaration]
    assert any(own in name for name in names)
    for name in names:
        assert own in name or any(part in name for part in harmless), name


def test_a_faulty_kernel_raises() -> None:
    @kernel()
    def faulty(x: int) -> int:
        return x.no_such_attribute  # type: ignore[attr-defined, no-any-return]

    with pytest.raises(Exception, match="no_such_attribute"):
        faulty(1)


def test_the_digest_is_the_same_in_every_process(tmp_path: Path) -> None:
    code = (
        "from givre.models.fused.entropy.products import add_correlation\n"
        "import sys\n"
        "print(add_correlation.digest(), 'numba' in sys.modules)"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(answers) == 1
    assert answers.pop().split()[1] == "False"


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(1, 120))
def test_joined_tasks_are_large_enough_and_complete(sizes: list[int], least: int) -> None:
    batches = pool.join(sizes, least)
    assert [task for first, last in batches for task in range(first, last)] == [*range(len(sizes))]
    totals = [sum(sizes[first:last]) for first, last in batches]
    assert all(total >= least for total in totals[:-1])
    assert all(sum(sizes[first : last - 1]) < least for first, last in batches)


def test_a_buffer_is_the_same_memory_until_its_shape_changes() -> None:
    buffers = Buffers()
    first = buffers.take("a", (3, 4))
    assert first.dtype == np.float32
    assert not first.any()
    first[:] = 5
    assert buffers.take("a", (3, 4)) is first
    assert not np.shares_memory(buffers.take("b", (3, 4)), first)
    assert buffers.take("a", 12).tolist() == [0] * 12


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_all_pieces_are_done_and_an_error_of_any_is_raised(threads: int) -> None:
    done: list[str] = []
    pool.together([lambda: done.append("a"), lambda: done.append("b")], threads)
    assert sorted(done) == ["a", "b"]
    with pytest.raises(ZeroDivisionError):
        pool.together([lambda: done.append("c"), lambda: done.append(str(1 // 0))], threads)


def test_functions_that_differ_in_a_name_alone_have_other_digests() -> None:
    @kernel()
    def lower(x: float) -> float:
        return np.floor(x)  # type: ignore[no-any-return]

    @kernel()
    def upper(x: float) -> float:
        return np.ceil(x)  # type: ignore[no-any-return]

    assert lower.__wrapped__.__code__.co_code == upper.__wrapped__.__code__.co_code
    assert lower.digest() != upper.digest()
