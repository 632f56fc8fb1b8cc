"""Whether the packages are there that encoding needs and decoding does not."""

from __future__ import annotations

from importlib.util import find_spec

from givre.errors import UsageError

_NEEDED = ("torch", "safetensors", "filelock", "platformdirs")


def check_encoding_is_installed() -> None:
    """Raise UsageError, with the command that installs it, if a package is missing."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"encoding needs {' and '.join(missing)}, which decoding does not:"
            " pip install 'givre[encode]'"
        )
