"""How anything here is run: with which kernels, and on how many threads."""

from __future__ import annotations

from givre.errors import UsageError
from givre.models.compiled.kernel import can_compile
from givre.models.compiled.preparation import cores

KERNELS = ("auto", "reference", "fused")
"""What may compute: `reference` is plain torch and NumPy, `fused` is compiled for the CPU, and
`auto` takes the fused kernels where they run."""

MAX_THREADS = 256


def check_threads(threads: int) -> None:
    """Raise UsageError unless `threads` is 0 (all cores) to 256."""
    if not 0 <= threads <= MAX_THREADS:
        raise UsageError(f"threads is {threads}, it must be 1 to {MAX_THREADS}, or 0 for all cores")


def check_kernels(kernels: str) -> None:
    """Raise UsageError unless `kernels` is one of KERNELS."""
    if kernels not in KERNELS:
        raise UsageError(f"kernels is {kernels!r}, it must be one of {', '.join(KERNELS)}")


def check_compiler() -> None:
    """Raise UsageError, with the command that installs it, unless kernels can be compiled."""
    if not can_compile():
        raise UsageError(
            "fused kernels need numba: pip install 'givre[encode]', or use --kernels reference"
        )


def resolve_threads(threads: int) -> int:
    """Number of threads to use: `threads`, or the cores this process may run on when it is 0."""
    return threads or cores()
