"""Machine code of one kernel: compiled by numba, turned into bytes, and taken back from them.

This is the only module that uses what numba does not promise to keep. It loads numba; others import
it when they need it.
"""

from __future__ import annotations

import logging
import pickle
import sys
from functools import cache
from hashlib import sha256
from types import FunctionType
from typing import Any

import llvmlite
import numba
from numba.core import config, serialize
from numba.core.compiler import CompileResult
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

_log = logging.getLogger(__name__)

_SETTINGS = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "ENABLE_AVX", "DEBUGINFO_DEFAULT")
"""Settings of numba, from its environment variables, that change machine code."""

Dispatcher = Any
"""numba's callable, which holds machine code for some types."""


@cache
def environment() -> str:
    """Short hash of what machine code depends on besides the kernel: processor, Python, numba."""
    parts = (
        cpu_target.target_context.codegen().magic_tuple(),
        sys.implementation.cache_tag,
        sys.byteorder,
        numba.__version__,
        llvmlite.__version__,
        [getattr(config, name, None) for name in _SETTINGS],
    )
    return sha256(repr(parts).encode()).hexdigest()[:12]


def compile_code(function: FunctionType, options: dict[str, Any], signature: Any) -> Dispatcher:
    """Compile a function for one signature.

    Args:
        function: in numba's subset of Python; what it calls is among its globals.
        options: of `numba.njit`.
        signature: numba's types of the arguments and of the result.
    """
    dispatcher = numba.njit(**options)(function)
    dispatcher.compile(signature)
    dispatcher.disable_compile()
    return dispatcher


def to_bytes(dispatcher: Dispatcher) -> bytes:
    """The machine code of a dispatcher with one signature.

    Raises:
        ValueError: it holds addresses of this process.
    """
    (result,) = dispatcher.overloads.values()
    if result.library.has_dynamic_globals:
        raise ValueError(f"{result.fndesc.qualname} holds addresses of this process")
    return bytes(serialize.dumps(result._reduce()))  # type: ignore[no-untyped-call]


def from_bytes(
    payload: bytes, function: FunctionType, options: dict[str, Any]
) -> Dispatcher | None:
    """A dispatcher with the machine code that `to_bytes` gave; None if it cannot be used here.

    Args:
        payload: of `to_bytes`.
        function: that was compiled; what it calls need not be there.
        options: that it was compiled with.
    """
    dispatcher = numba.njit(**options)(function)
    context = dispatcher.targetctx
    with global_compiler_lock:
        context.refresh()
        try:
            parts = pickle.loads(payload)
            result = CompileResult._rebuild(context, *parts)  # type: ignore[no-untyped-call]
        except Exception as error:  # a foreign file may raise anything; it is compiled then
            _log.debug("machine code of %s is not usable: %s", function.__name__, error)
            return None
        context.insert_user_function(result.entry_point, result.fndesc, [result.library])
        dispatcher.add_overload(result)
    dispatcher.disable_compile()
    return dispatcher
