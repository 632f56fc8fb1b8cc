"""Compiles kernels with numba, when they are first called and not when they are imported.

Neither importing a kernel nor decorating it loads numba. Machine code is cached on disk; where no
folder can be written, it is compiled again in every process.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator
from hashlib import sha256
from types import CodeType, FunctionType
from typing import Any, Generic, ParamSpec, TypeVar, cast

from givre.models.compiled.signatures import is_named_tuple, numba_signature, signature_text

_log = logging.getLogger(__name__)
_lock = threading.RLock()

Fastmath = bool | frozenset[str]

_AS_PART: dict[str, Any] = {"forceinline": True, "no_cpython_wrapper": True}
"""How a function is compiled for the kernels that call it: pasted into each of them by LLVM.

A helper that stays a function of its own would be in the machine code of several kernels under one
name, each optimised a little differently, and the linker takes the copy that is loaded first. The
sums of a kernel would then depend on whether it was compiled or loaded, and on what was before it.
"""

P = ParamSpec("P")
R = TypeVar("R")


class Compiled(Generic[P, R]):
    """A function that becomes machine code at its first call; safe to call from any thread.

    A compiled function may call others and read numbers and tuples among its module's globals.
    Those others become part of its own machine code, so that its results are the same bits in
    whichever process it was compiled.
    """

    def __init__(
        self,
        function: Callable[P, R],
        is_kernel: bool,
        fastmath: Fastmath,
        inline: str,
    ) -> None:
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.__module__ = function.__module__
        self.__wrapped__ = function
        self.is_kernel = is_kernel
        self._options: dict[str, Any] = {
            "nogil": True,
            "boundscheck": False,
            "error_model": "numpy",
            "fastmath": set(fastmath) if isinstance(fastmath, frozenset) else fastmath,
            "inline": inline,
            "no_cfunc_wrapper": True,
        }
        self._machine_code: Callable[P, R] | None = None
        self._part: Callable[P, R] | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the machine code, which is loaded or compiled if need be."""
        return (self._machine_code or self.machine_code())(*args, **kwargs)

    def machine_code(self) -> Callable[P, R]:
        """Return numba's own callable, for loops in which even this detour costs too much."""
        with _lock:
            if self._machine_code is None:
                self._machine_code = self._build()
            return self._machine_code

    def part(self) -> Callable[P, R]:
        """Return what the kernels that call the function are compiled with; for any types."""
        with _lock:
            if self._part is None:
                import numba

                inlined = numba.njit(**self._options, **_AS_PART)
                self._part = cast("Callable[P, R]", inlined(self._linked_function()))
            return self._part

    def digest(self) -> str:
        """Short hash of everything outside the function that its machine code depends on."""
        options = {**self._options, "fastmath": sorted(map(str, self._flags()))}
        signature = signature_text(self.__wrapped__) if self.is_kernel else None
        parts: list[object] = [signature, sorted(options.items()), sorted(_AS_PART.items())]
        for name, value in _globals_read(self.__wrapped__).items():
            if isinstance(value, Compiled):
                parts.append((name, value.digest(), *_content(_code(value.__wrapped__))))
            elif is_named_tuple(value):
                parts.append((name, getattr(value, "_fields", ())))
            else:
                parts.append((name, repr(value)))
        return sha256(repr(parts).encode()).hexdigest()[:12]

    def _flags(self) -> Collection[str | bool]:
        fastmath = self._options["fastmath"]
        return fastmath if isinstance(fastmath, set) else [bool(fastmath)]

    def _build(self) -> Callable[P, R]:
        function = self._linked_function()
        if not self.is_kernel:  # called from Python all the same
            return self._compile(function, cache=False)
        try:
            return self._compile(function, cache=True)
        except Exception as error:
            # No folder can be written, the disk is full, or the cache is damaged, which shows in
            # any kind of error. If the fault is the kernel's, it is raised again below.
            _log.debug("%s is compiled in memory only: %s", self.__name__, error)
            return self._compile(function, cache=False)

    def _compile(self, function: FunctionType, cache: bool) -> Callable[P, R]:
        import numba
        from numba.core import event

        dispatcher = numba.njit(cache=cache, **self._options)(function)
        if self.is_kernel:
            with event.install_listener("numba:compile", _announcement(event.Listener)):
                dispatcher.compile(numba_signature(self.__wrapped__))
            dispatcher.disable_compile()
        return cast("Callable[P, R]", dispatcher)

    def _linked_function(self) -> FunctionType:
        """The function with numba's own callables in the place of `Compiled` ones.

        Its name carries the digest: numba's cache watches the source of the function alone, and
        would otherwise keep the old code of a helper or a constant that has changed.
        """
        original = cast("FunctionType", self.__wrapped__)
        scope = dict(original.__globals__)
        for name, value in _globals_read(original).items():
            if isinstance(value, Compiled):
                scope[name] = value.part()
        function = FunctionType(
            original.__code__,
            scope,
            original.__name__,
            original.__defaults__,
            original.__closure__,
        )
        function.__module__ = original.__module__
        function.__qualname__ = f"{original.__qualname__}_{self.digest()}"
        return function


class Intrinsic(Compiled[P, R]):
    """An instruction for compiled code that no Python code comes down to.

    Args:
        function: describes it, as `numba.extending.intrinsic` wants it.
    """

    def __init__(self, function: Callable[P, R]) -> None:
        super().__init__(function, is_kernel=False, fastmath=False, inline="never")

    def part(self) -> Callable[P, R]:
        """Return what the kernels that use it are compiled with."""
        with _lock:
            if self._part is None:
                from numba.extending import intrinsic

                self._part = cast("Callable[P, R]", intrinsic(self.__wrapped__))
            return self._part


def kernel(*, fastmath: Fastmath = False) -> Callable[[Callable[P, R]], Compiled[P, R]]:
    """Decorator for a kernel that Python calls, in numba's subset of Python.

    It runs without the global interpreter lock, without bounds checks, and divides by zero as
    NumPy does. Its machine code is cached. It takes exactly the types of its annotations, which
    `givre.models.compiled.signatures` lists.

    Args:
        fastmath: True, or a frozenset of LLVM flags, to let sums be reordered.
    """

    def decorate(function: Callable[P, R]) -> Compiled[P, R]:
        return Compiled(function, is_kernel=True, fastmath=fastmath, inline="never")

    return decorate


def kernel_part(
    *, fastmath: Fastmath = False, inline: str = "never"
) -> Callable[[Callable[P, R]], Compiled[P, R]]:
    """Decorator for a function that kernels call, and other such functions.

    It takes any types that its code can work with, and becomes part of the machine code of every
    kernel that calls it. Python may call it too, but it is compiled anew in each process then.

    Args:
        fastmath: True, or a frozenset of LLVM flags, to let sums be reordered.
        inline: "always" pastes the function into its callers before types are inferred; LLVM
            inlines small functions anyhow.
    """

    def decorate(function: Callable[P, R]) -> Compiled[P, R]:
        return Compiled(function, is_kernel=False, fastmath=fastmath, inline=inline)

    return decorate


def _globals_read(function: Callable[..., object]) -> dict[str, object]:
    """The compiled functions and the constants that a function reads from its module."""
    scope = cast("FunctionType", function).__globals__
    kinds = (Compiled, bool, int, float, complex, tuple)
    found: dict[str, object] = {}
    for name in sorted(_names(_code(function))):
        value = scope.get(name)
        # NumPy's scalars have no common base with float, but they have `dtype`.
        is_scalar = hasattr(value, "dtype") and hasattr(value, "item")
        if isinstance(value, kinds) or is_scalar or is_named_tuple(value):
            found[name] = value
    return found


def _code(function: Callable[..., object]) -> CodeType:
    return cast("FunctionType", function).__code__


def _content(code: CodeType) -> Iterator[object]:
    """Instructions and constants; the printed form of a nested function would hold an address."""
    yield code.co_code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _content(constant)
        else:
            yield repr(constant)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


_announced = threading.Event()


def _announcement(listener: type[Any]) -> Any:
    """A listener that tells once a process that kernels are being compiled."""

    class Announcement(listener):  # type: ignore[misc]
        def on_start(self, event: object) -> None:
            if not _announced.is_set():
                _announced.set()
                _log.info("compiling kernels for this machine, once; it takes about a minute")

        def on_end(self, event: object) -> None:
            pass

    return Announcement()
