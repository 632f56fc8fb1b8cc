"""The folder in which machine code is kept, so that a machine compiles a kernel only once.

A file's name says which kernel it holds and for what environment: the processor, Python, numba. It
does not depend on where givre is installed or when, so a folder can be copied to another machine of
the same kind, or be part of a container's image.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

FOLDER_VARIABLE = "GIVRE_CACHE_DIR"
"""Environment variable that names the folder."""

_DIGEST_BYTES = 32

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """The folder: the one that the environment names, or one in the user's cache folder."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    from platformdirs import user_cache_path

    return user_cache_path("givre", appauthor=False) / "kernels"


def holds_any(identity: str) -> bool:
    """Whether there is machine code of a kernel for any environment."""
    return next(cache_folder().glob(f"{identity}-*.bin"), None) is not None


def code_path(identity: str, environment: str) -> Path:
    """The file of a kernel for an environment, whether it exists or not.

    Args:
        identity: of the kernel, its name and a hash of all its code.
        environment: a hash of what its machine code depends on besides.
    """
    return cache_folder() / f"{identity}-{environment}.bin"


def read_code(path: Path) -> bytes | None:
    """What `write_code` wrote; None if there is none, or if it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    payload = content[_DIGEST_BYTES:]
    if sha256(payload).digest() != content[:_DIGEST_BYTES]:
        _log.debug("%s is damaged and not used", path)
        return None
    return payload


def write_code(path: Path, payload: bytes) -> bool:
    """Write a file whole or not at all; tell whether that was possible."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as stream:
            temporary = Path(stream.name)
            stream.write(sha256(payload).digest() + payload)
        temporary.replace(path)
    except OSError as error:  # no such folder, no rights, no room
        _log.debug("machine code is not kept: %s", error)
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
        return False
    return True


@contextlib.contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the right to write a file; no other process has it at the same time.

    The right ends with the process that holds it, even if that is killed.

    Args:
        path: the file.
        wait: whether to wait for a process that holds the right.

    Yields:
        Whether the right is held. Where no lock file can be made there is nothing to protect.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path.parent / "locks" / f"{path.stem}.lock")
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        yield False
        return
    except OSError as error:
        _log.debug("there is no lock: %s", error)
        yield True
        return
    try:
        yield True
    finally:
        lock.release()
