"""Runs Python in processes of their own, which end or are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

TIMEOUT = 240.0
"""Seconds after which a process counts as hanging; to compile all kernels takes a minute."""


def run_python(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a process to its end; it is killed, and an error raised, if it hangs.

    Args:
        words: what follows `python`.
        cwd: the folder in which it runs.
    """
    command = [sys.executable, *map(str, words)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=cwd, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            out, err = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its own children too, which hold the pipes
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)
