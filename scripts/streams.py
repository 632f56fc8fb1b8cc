"""Inputs and outputs by name, where `-` is standard input or standard output."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from givre.bitstream.header import MAGIC
from givre.coder.files.atomic import atomic_write_bytes, check_output
from givre.coder.files.bounded import read_file, read_stream
from givre.errors import OutputError, UsageError

STREAM = "-"


def read_input(name: str) -> bytes:
    """Content of a file, or of standard input for `-`.

    Raises:
        UsageError: standard input is a terminal.
        ImageError: the input cannot be read or is too large.
    """
    if name != STREAM:
        return read_file(name)
    if sys.stdin.isatty():
        raise UsageError("standard input is a terminal, name a file or pipe one in")
    return read_stream(sys.stdin.buffer, input_name(name))


def write_output(name: str, data: bytes, force: bool) -> None:
    """Write a file whole or not at all, or standard output for `-`.

    Raises:
        OutputError: the file exists and `force` is false, or it cannot be written.
    """
    if name != STREAM:
        atomic_write_bytes(Path(name), data, force)
        return
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def choose_output(source: str, output: str | None, suffix: str) -> str:
    """The output's name: the one given, else the input's name with another suffix.

    Args:
        source: the input's name.
        output: the output's name if one was given.
        suffix: with its dot.
    """
    if output is not None:
        return output
    return STREAM if source == STREAM else str(Path(source).with_suffix(suffix))


def check_destination(source: str, output: str, force: bool, json: bool) -> None:
    """Refuse, before any work is done, an output that could not be written afterwards.

    Args:
        source: the input's name, which the output may not replace.
        output: the output's name.
        force: whether an existing file may be replaced.
        json: whether a report goes to standard output.

    Raises:
        UsageError: the output is the input, or shares standard output with the report.
        OutputError: standard output is a terminal, or `check_output` refuses the file.
    """
    if output == STREAM:
        if json:
            raise UsageError("--json and the output - both take standard output, name a file")
        if sys.stdout.isatty():
            raise OutputError("standard output is a terminal, name a file or pipe it on")
        return
    if source != STREAM and _same_file(source, output):
        raise UsageError(f"{output} is the input, name another output")
    check_output(Path(output), force)


def input_name(name: str) -> str:
    """What to call an input in messages."""
    return "standard input" if name == STREAM else name


def output_name(name: str) -> str:
    """What to call an output in messages."""
    return "standard output" if name == STREAM else name


def looks_coded(name: str) -> bool:
    """Whether a name is that of a file which begins as coded files do."""
    try:
        with Path(name).open("rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except (OSError, ValueError):
        return False


def _same_file(first: str, second: str) -> bool:
    try:
        return Path(second).is_file() and os.path.samefile(first, second)
    except (OSError, ValueError):  # one of them is missing, so they differ
        return False
