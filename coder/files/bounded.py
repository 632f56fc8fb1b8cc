"""Reads files and streams whole, but never more than a limit, so that no input exhausts memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from givre.errors import ImageError

MAX_INPUT_BYTES = 1 << 30
"""Largest input in bytes that is read; the largest file that an encoder writes is far smaller."""


class Readable(Protocol):
    """A file object that is open for reading bytes."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none only at the end."""
        ...


def read_stream(stream: Readable, name: str, limit: int = MAX_INPUT_BYTES) -> bytes:
    """Read a binary stream to its end.

    Args:
        stream: where to read.
        name: what to call the stream in messages.
        limit: the largest number of bytes that is accepted.

    Raises:
        ImageError: the stream holds more than `limit` bytes or text, or cannot be read.
    """
    parts: list[bytes] = []
    left = limit + 1
    try:
        while left and (part := stream.read(left)):  # a pipe or a socket gives a little at a time
            if not isinstance(part, bytes):
                raise ImageError(f"{name} is open for text, open it for bytes")
            parts.append(part)
            left -= len(part)
    except OSError as error:
        raise ImageError(f"cannot read {name}: {error.strerror or error}") from error
    if not left:
        raise ImageError(f"{name} is larger than {limit} bytes, the most that givre reads")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_file(path: str | os.PathLike[str], limit: int = MAX_INPUT_BYTES) -> bytes:
    """Read a file whole.

    Raises:
        ImageError: the file is missing, unreadable or larger than `limit` bytes.
    """
    try:
        with Path(path).open("rb") as stream:
            return read_stream(stream, os.fspath(path), limit)
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        reason = error.strerror if isinstance(error, OSError) else None
        raise ImageError(f"cannot read {os.fspath(path)!r}: {reason or error}") from error
