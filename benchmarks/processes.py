"""Wall time and peak memory of a command as a whole process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

# Linux counts the memory of the process that starts a command as the command's own until it has
# loaded its program. A small process in between keeps the figures clean.
_LAUNCHER = """
import json, os, sys, time
started = time.perf_counter()
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ,
                      file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
_, status, usage = os.wait4(pid, 0)
seconds = time.perf_counter() - started
code = os.waitstatus_to_exitcode(status)
print(json.dumps([seconds, usage.ru_maxrss / 1024, code]))
"""


@dataclass(frozen=True)
class Run:
    """One run of a command: wall time in seconds and peak resident memory in MiB."""

    seconds: float
    peak_mib: float


def measure(command: Sequence[str]) -> Run:
    """Run a command to its end; its standard output goes to stderr. SystemExit if it fails."""
    launcher = [sys.executable, "-S", "-c", _LAUNCHER, *command]
    printed = subprocess.run(launcher, stdout=subprocess.PIPE, text=True, check=True).stdout
    seconds, peak, code = json.loads(printed)
    if code:
        raise SystemExit(f"{' '.join(command)} failed with {code}")
    return Run(seconds, peak)
