"""The minimal decoder of docs/, as it is or with a line of it changed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, ModuleType

from places import ROOT

SCRIPT = ROOT / "docs" / "minimal_decoder.py"
_NOTHING: Mapping[str, str] = MappingProxyType({})


def minimal_decoder(changes: Mapping[str, str] = _NOTHING) -> ModuleType:
    """The decoder as a module of its own.

    Args:
        changes: text of its source, which must be there once, to what takes its place.
    """
    source = SCRIPT.read_text(encoding="utf-8")
    for old, new in changes.items():
        if source.count(old) != 1:
            raise ValueError(f"the source has {source.count(old)} times: {old}")
        source = source.replace(old, new)
    module = ModuleType("minimal_decoder")
    module.__file__ = str(SCRIPT)
    exec(compile(source, str(SCRIPT), "exec"), module.__dict__)
    return module
