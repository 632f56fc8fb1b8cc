"""Encodes and decodes at once, in threads and in processes, each in a program that may hang."""

from __future__ import annotations

from multiprocessing import get_all_start_methods
from pathlib import Path

import pytest
from child_processes import run_python
from places import ROOT

pytestmark = pytest.mark.slow

PROGRAM = ROOT / "tests" / "side_by_side.py"


def run(folder: Path, *words: str) -> None:
    found = run_python(PROGRAM, *words, cwd=folder)
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("kernels", ["auto", "reference"])
def test_encodes_in_two_threads_give_the_bytes_of_one_after_another(
    tmp_path: Path, kernels: str
) -> None:
    run(tmp_path, "threads", kernels)


def test_decodes_in_eight_threads_give_the_pixels_of_one_after_another(tmp_path: Path) -> None:
    run(tmp_path, "decodes")


@pytest.mark.parametrize("method", get_all_start_methods())
def test_other_processes_encode_and_decode_as_their_parent_does(
    tmp_path: Path, method: str
) -> None:
    run(tmp_path, "processes", method)


needs_fork = pytest.mark.skipif("fork" not in get_all_start_methods(), reason="there is no fork")


@needs_fork
def test_a_fork_after_torch_used_its_threads_can_fit_in_torch(tmp_path: Path) -> None:
    run(tmp_path, "fork_after_torch")


@needs_fork
def test_a_fork_while_another_thread_compiles_can_compile_too(tmp_path: Path) -> None:
    run(tmp_path, "fork_while_compiling")
