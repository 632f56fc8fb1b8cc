"""What a subcommand says: one JSON object on standard output, lines for people on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from math import isfinite


def print_json(report: Mapping[str, object]) -> None:
    """Print one JSON object on standard output; numbers that are not finite become null."""
    print(json.dumps(_finite(report), indent=2, allow_nan=False))
    sys.stdout.flush()


def print_json_line(report: Mapping[str, object]) -> None:
    """Print one JSON object on one line of standard output; several inputs give several lines."""
    print(json.dumps(_finite(report), allow_nan=False))
    sys.stdout.flush()


def say(line: str) -> None:
    """Print a line for people on stderr."""
    print(line, file=sys.stderr)


def duration(seconds: float) -> str:
    """Seconds for people, as `20 ms`, `8.3 s`, `4 min 05 s` or `2 h 07 min`."""
    if seconds < 0.95:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value
