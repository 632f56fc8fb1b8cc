"""Writes files whole or not at all, and replaces none unless told to.

The bytes go to a temporary file in the same folder, which then takes the final name in one step.
A failure or an interrupt in between leaves the folder as it was.
"""

from __future__ import annotations

import logging
import os
import secrets
from pathlib import Path

from givre.errors import OutputError

_log = logging.getLogger(__name__)


def check_output(path: Path, force: bool) -> None:
    """Refuse, before any work is done, an output that could not be written afterwards.

    Devices and pipes (as /dev/null) always pass: writing to them replaces nothing.

    Args:
        path: where the output will go.
        force: whether an existing file may be replaced.

    Raises:
        OutputError: the file exists and `force` is false, the path is a folder, or its folder
            is missing or not writable.
    """
    try:
        if path.is_dir():
            raise OutputError(f"{path} is a folder, name a file")
        if not path.exists():
            _check_folder(path.parent)
        elif path.is_file():
            if not force:
                raise OutputError(_exists(path))
            _check_folder(_target(path).parent)
    except (OSError, ValueError) as error:
        raise OutputError(_cannot_write(path, error)) from error


def atomic_write_bytes(path: Path, data: bytes, force: bool) -> None:
    """Write a file whole or not at all.

    Args:
        path: the file; its folder must exist. A symbolic link is followed.
        data: the content.
        force: whether an existing file is replaced.

    Raises:
        OutputError: the file exists and `force` is false, or it cannot be written.
    """
    check_output(path, force)
    try:
        if path.exists() and not path.is_file():  # a device or a pipe has no content to protect
            path.write_bytes(data)
        else:
            _write_beside(_target(path), data, force)
    except FileExistsError as error:  # somebody made the file since the check
        raise OutputError(_exists(path)) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(_cannot_write(path, error)) from error


def _write_beside(target: Path, data: bytes, force: bool) -> None:
    temporary = target.parent / f".givre-{secrets.token_hex(8)}.tmp"
    try:
        # Mode "x" takes its permissions from the user's umask, which tempfile would not.
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        if force:
            temporary.replace(target)
        else:
            _rename_to_new(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Write a folder's list of names to its disk, where the system lets folders be opened."""
    if os.name != "posix":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        _log.debug("the folder %s cannot be opened to be synchronised", folder)
        return
    try:
        os.fsync(descriptor)
    except OSError:  # some network file systems cannot; the file itself is on the disk
        _log.debug("the folder %s cannot be synchronised", folder)
    finally:
        os.close(descriptor)


def _rename_to_new(temporary: Path, target: Path) -> None:
    """Give the temporary file its name, failing if the name is taken."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:  # some file systems have no hard links
        if target.exists():
            raise FileExistsError(target) from None
        temporary.replace(target)


def _target(path: Path) -> Path:
    """The file behind a symbolic link, so that replacing it keeps the link."""
    return Path(os.path.realpath(path))


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise OutputError(f"the folder {folder} does not exist, make it first")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"the folder {folder} is not writable, choose another")


def _exists(path: Path) -> str:
    return f"{path} exists already, choose another name or allow replacing it (--force)"


def _cannot_write(path: Path, error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else None
    return f"cannot write {str(path)!r}: {reason or error}"
