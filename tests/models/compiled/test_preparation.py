"""Kernels compiled beforehand, in processes that share out the work."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from threading import Thread

import pytest

from givre.models.compiled.code_cache import locked
from givre.models.compiled.preparation import Compiling, compiling_meanwhile, prepare
from givre.models.exact.compiled.waves import enter_wave
from givre.models.fused.networks.integer_rounding import descend_rows, round_rows
from givre.models.fused.synthesis.residual_layers import error_gradient

SMALL = (round_rows, descend_rows, error_gradient, enter_wave)

PROGRAM = """
from givre.models.compiled.preparation import prepare
from givre.models.fused.networks.integer_rounding import descend_rows, round_rows
seconds = []
prepare((round_rows, descend_rows), 1, lambda state: seconds.append(state.seconds))
print(sum(second > 0.05 for second in seconds))
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GIVRE_CACHE_DIR", str(tmp_path))
    for kernel in SMALL:  # other tests may have called them in this process
        monkeypatch.setattr(kernel, "_machine_code", None)
    return tmp_path


def in_cache(cache: Path) -> Counter[str]:
    return Counter(path.name.rpartition("-")[0].rpartition("-")[0] for path in cache.glob("*.bin"))


@pytest.mark.slow
def test_kernels_are_compiled_once_and_told_of(cache: Path) -> None:
    states: list[Compiling] = []
    prepare(SMALL, 2, states.append)
    assert [(state.done, state.total) for state in states] == [(i, 4) for i in range(5)]
    assert {state.name for state in states[1:]} == {kernel.__name__ for kernel in SMALL}
    assert in_cache(cache) == Counter(kernel.__name__ for kernel in SMALL)
    states.clear()
    prepare(SMALL, 2, states.append)
    assert states == []


@pytest.mark.slow
def test_three_processes_compile_each_kernel_once(cache: Path) -> None:
    command = [sys.executable, "-c", PROGRAM]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [process.communicate(timeout=100)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    assert sum(int(output) for output in outputs) == 2
    assert in_cache(cache) == Counter({"round_rows": 1, "descend_rows": 1})


def test_a_lock_is_held_by_one_and_freed(cache: Path) -> None:
    path, found = cache / "code.bin", []

    def other() -> None:
        with locked(path, wait=False) as held:
            found.append(held)

    with locked(path, wait=True) as held:
        assert held
        thread = Thread(target=other)
        thread.start()
        thread.join()
    other()
    assert found == [False, True]


def test_what_is_compiled_meanwhile_may_stay_undone(cache: Path) -> None:
    with compiling_meanwhile((round_rows,)):
        pass
    assert sum(in_cache(cache).values()) <= 1
