"""Functions that numba compiles when they are first called, and not when they are imported.

Neither importing a kernel nor decorating it loads numba. Machine code is kept on disk, see
`givre.models.compiled.code_cache`; where no folder can be written, every process compiles anew.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Collection, Iterator
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Generic, ParamSpec, TypeVar, cast

from givre.models.compiled import code_cache
from givre.models.compiled.signatures import is_named_tuple, numba_signature, signature_text

_log = logging.getLogger(__name__)
_lock = threading.RLock()

_COMPILER = ("numba", "filelock", "platformdirs")
"""Packages without which nothing can be compiled and kept."""

if hasattr(os, "register_at_fork"):
    # A fork in the middle of a compilation would leave its process a lock that no thread frees.
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )

Fastmath = bool | frozenset[str]

P = ParamSpec("P")
R = TypeVar("R")


def can_compile() -> bool:
    """Whether numba is there and not switched off by NUMBA_DISABLE_JIT, as debuggers need it."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return False
    return all(find_spec(name) is not None for name in _COMPILER)


class Compiled(Generic[P, R]):
    """A function that becomes machine code at its first call; safe to call from any thread.

    A compiled function may call others and read numbers and tuples among its module's globals.
    Those others become part of its own machine code, under names that no other kernel has: one copy
    for two kernels would be optimised for the one that was loaded first, and sums would depend on
    what ran before. So results are the same bits in whichever process a kernel was compiled.

    Attributes:
        is_kernel: whether Python calls it; else it is a part of kernels.
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        is_kernel: bool,
        fastmath: Fastmath = False,
        pasted: bool = False,
        inline: str = "never",
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
        if not is_kernel:
            self._options |= {"forceinline": pasted, "no_cpython_wrapper": True}
        self._digest: str | None = None
        self._machine_code: Callable[P, R] | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the machine code, which is loaded or compiled if need be."""
        return (self._machine_code or self.machine_code())(*args, **kwargs)

    def machine_code(self) -> Callable[P, R]:
        """Return numba's own callable, for loops in which even this detour costs too much."""
        with _lock:
            if self._machine_code is None:
                self._machine_code = self._load() or self._compile()
            return self._machine_code

    def is_ready(self) -> bool:
        """Whether calling it needs no compiler; what is on disk is loaded, to be called later.

        Only to be asked where `can_compile` says yes. numba is loaded where there is any machine
        code of the kernel.
        """
        with _lock:
            if self._machine_code is None:
                self._machine_code = self._load()
            return self._machine_code is not None

    @property
    def identity(self) -> str:
        """Name and hash: two kernels of one identity have the same code."""
        return f"{self.__name__.strip('_')}-{self.digest()}"

    def path(self) -> Path:
        """The file of its machine code, whether it exists or not; loads numba."""
        from givre.models.compiled.machine_code import environment

        return code_cache.code_path(self.identity, environment())

    def digest(self) -> str:
        """Short hash of the function, of all that it calls, of its constants, types and options."""
        if self._digest is None:
            options = {**self._options, "fastmath": sorted(map(str, self._flags()))}
            signature = signature_text(self.__wrapped__) if self.is_kernel else None
            content = tuple(_content(_code(self.__wrapped__)))
            parts: list[object] = [signature, sorted(options.items()), content]
            for name, value in _globals_read(self.__wrapped__).items():
                if isinstance(value, Compiled):
                    parts.append((name, value.digest()))
                elif is_named_tuple(value):
                    parts.append((name, getattr(value, "_fields", ())))
                else:
                    parts.append((name, repr(value)))
            self._digest = sha256(repr(parts).encode()).hexdigest()[:12]
        return self._digest

    def part(self, kernel: str) -> Callable[..., object]:
        """Return what a kernel that calls the function is compiled with; for any types.

        Args:
            kernel: the identity of that kernel, which becomes part of the function's name.
        """
        import numba

        return cast("Callable[..., object]", numba.njit(**self._options)(self._linked(kernel)))

    def _flags(self) -> Collection[str | bool]:
        fastmath = self._options["fastmath"]
        return fastmath if isinstance(fastmath, set) else [bool(fastmath)]

    def _load(self) -> Callable[P, R] | None:
        """The machine code that is on disk, if it is."""
        if not self.is_kernel or not code_cache.holds_any(self.identity):
            return None
        from givre.models.compiled.machine_code import from_bytes

        payload = code_cache.read_code(self.path())
        if payload is None:
            return None
        return from_bytes(payload, self._renamed(self.identity, {}), self._options)

    def _compile(self) -> Callable[P, R]:
        function = self._linked(self.identity)
        if not self.is_kernel:  # called from Python all the same, as tests do
            import numba

            plain = {"no_cpython_wrapper": False, "forceinline": False}
            return cast("Callable[P, R]", numba.njit(**self._options | plain)(function))
        from givre.models.compiled.machine_code import compile_code, to_bytes

        found = compile_code(function, self._options, numba_signature(self.__wrapped__))
        code_cache.write_code(self.path(), to_bytes(found))
        return cast("Callable[P, R]", found)

    def _linked(self, kernel: str) -> FunctionType:
        """The function with numba's own callables in the place of `Compiled` ones."""
        called = _globals_read(cast("FunctionType", self.__wrapped__)).items()
        parts = {name: f.part(kernel) for name, f in called if isinstance(f, Compiled)}
        return self._renamed(kernel, parts)

    def _renamed(self, kernel: str, scope: dict[str, Callable[..., object]]) -> FunctionType:
        """The function with other globals, and a name that says which kernel it is a part of."""
        original = cast("FunctionType", self.__wrapped__)
        function = FunctionType(
            original.__code__,
            original.__globals__ | scope,
            original.__name__,
            original.__defaults__,
            original.__closure__,
        )
        function.__module__ = original.__module__
        function.__qualname__ = f"{original.__qualname__}_of_{kernel.replace('-', '_')}"
        return function


class Intrinsic(Compiled[P, R]):
    """An instruction for compiled code that no Python code comes down to.

    Args:
        function: describes it, as `numba.extending.intrinsic` wants it.
    """

    def __init__(self, function: Callable[P, R]) -> None:
        super().__init__(function, is_kernel=False)

    def part(self, kernel: str) -> Callable[..., object]:
        """Return what the kernels that use it are compiled with."""
        from numba.extending import intrinsic

        return cast("Callable[..., object]", intrinsic(self.__wrapped__))


def kernel(*, fastmath: Fastmath = False) -> Callable[[Callable[P, R]], Compiled[P, R]]:
    """Decorator for a kernel that Python calls, in numba's subset of Python.

    It runs without the global interpreter lock, without bounds checks, and divides by zero as
    NumPy does. Its machine code is cached. It takes exactly the types of its annotations, which
    `givre.models.compiled.signatures` lists.

    Args:
        fastmath: True, or a frozenset of LLVM flags, to let sums be reordered.
    """

    def decorate(function: Callable[P, R]) -> Compiled[P, R]:
        return Compiled(function, is_kernel=True, fastmath=fastmath)

    return decorate


def kernel_part(
    *, fastmath: Fastmath = False, pasted: bool = True, inline: str = "never"
) -> Callable[[Callable[P, R]], Compiled[P, R]]:
    """Decorator for a function that kernels call, and other such functions.

    It takes any types that its code can work with, and becomes part of the machine code of every
    kernel that calls it. Python may call it too, but it is compiled anew in each process then.

    Args:
        fastmath: True, or a frozenset of LLVM flags, to let sums be reordered.
        pasted: whether LLVM pastes it into its callers. It must be where a call for each block
            of pixels would count. A function that works on whole rows is better not pasted: what
            it takes to compile a kernel grows faster than the kernel.
        inline: "always" pastes the function into its callers before types are inferred.
    """

    def decorate(function: Callable[P, R]) -> Compiled[P, R]:
        return Compiled(function, is_kernel=False, fastmath=fastmath, pasted=pasted, inline=inline)

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
    """Instructions, names and constants; a nested function's printed form would hold an address."""
    yield code.co_code
    yield code.co_names  # np.floor and np.ceil are the same instruction
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
