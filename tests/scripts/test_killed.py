"""A process that is killed while it writes a file leaves the earlier one, and a fit to go on from.

The killed process runs the command with a checkpoint after every step, and stops in the middle of
one of its writes.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from threading import Timer

import numpy as np
import pytest
from child_processes import TIMEOUT, run_python
from PIL import Image

import givre
from givre.coder.fitting.checkpoint import Fit

pytestmark = pytest.mark.slow

PROGRAM = """
import os
import stat
import sys
import time

from givre.coder.fitting import overfit
from givre.scripts.main import main

stop_at = int(sys.argv[1])
writes = 0
sync = os.fsync


def sync_or_stop(file):
    global writes
    status = os.fstat(file)
    if stat.S_ISREG(status.st_mode):
        writes += 1
        if writes == stop_at:
            os.ftruncate(file, status.st_size // 2)
            print("half written", flush=True)
            time.sleep(3600)
    sync(file)


os.fsync = sync_or_stop
overfit._CHECKPOINT_SECONDS = -1.0
sys.exit(main(sys.argv[2:]))
"""
STEPS = 4
OPTIONS = ["--steps", str(STEPS), "--complexity", "lop", "--threads", "1"]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    y, x = np.mgrid[:16, :24]
    path = tmp_path / "photo.png"
    Image.fromarray(np.stack([8 * x, 12 * y, 5 * (x + y)], axis=-1).astype(np.uint8)).save(path)
    return path


def kill_in_write(number: int, *words: str | Path) -> None:
    """Run the command and kill it in the middle of its write of this number, from 1."""
    command = [sys.executable, "-c", PROGRAM, str(number), *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        too_late = Timer(TIMEOUT, process.kill)
        too_late.start()
        assert process.stdout is not None
        line = process.stdout.readline()
        process.kill()
        too_late.cancel()
    assert (line, process.returncode) == ("half written\n", -signal.SIGKILL)


def wholly_encoded(image: Path) -> bytes:
    return givre.encode(image, steps=STEPS, complexity="lop", threads=1)


def go_on(image: Path, output: Path, *words: str | Path) -> None:
    found = run_python("-m", "givre", "encode", image, output, *words, cwd=image.parent)
    assert found.returncode == 0, found.stderr
    assert output.read_bytes() == wholly_encoded(image)


@pytest.mark.skipif(sys.platform == "win32", reason="processes are killed otherwise there")
def test_killed_while_a_checkpoint_is_written(image: Path, tmp_path: Path) -> None:
    output = tmp_path / "photo.givre"
    checkpoint = tmp_path / "photo.givre.fit"
    kill_in_write(2, "encode", image, output, *OPTIONS)
    assert not output.exists()
    assert Fit.load(checkpoint).steps == 1
    go_on(image, output, "--from", checkpoint)
    assert not checkpoint.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="processes are killed otherwise there")
def test_killed_while_the_output_is_written(image: Path, tmp_path: Path) -> None:
    output = tmp_path / "photo.givre"
    output.write_bytes(b"an earlier file")
    kill_in_write(STEPS + 1, "encode", image, output, "--force", *OPTIONS)
    assert output.read_bytes() == b"an earlier file"
    go_on(image, output, "--force", "--from", tmp_path / "photo.givre.fit")
