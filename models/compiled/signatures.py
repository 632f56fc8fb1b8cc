"""What numba must know of a kernel's arguments and result, read from the kernel's annotations.

An annotation may be `int`, `float` or `bool`; a scalar of NumPy, as `np.float32`; an array with its
axes, as `givre.models.compiled.types.Floats2`; None, for no result; a tuple of such types; and a
class made with `typing.NamedTuple`, whose fields have such types.
"""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import numpy as np

from givre.models.compiled.types import Axes

_SCALARS: dict[object, str] = {int: "int64", float: "float64", bool: "bool"}


def signature_text(function: Callable[..., object]) -> str:
    """Describe arguments and result; two functions of the same text have the same types.

    The names of the fields of named tuples are in it, and numba is not needed.

    Args:
        function: with an annotation for every argument and for the result.

    Raises:
        TypeError: an annotation is none that a kernel can have.
    """
    return ", ".join(f"{name}: {_text(hint)}" for name, hint in _hints(function).items())


def numba_signature(function: Callable[..., object]) -> Any:
    """The same for numba's compiler; arguments and errors as of `signature_text`."""
    from numba.core import types

    *arguments, result = (_numba_type(hint, types) for hint in _hints(function).values())
    return result(*arguments)


def _hints(function: Callable[..., object]) -> dict[str, object]:
    """Annotations in their order; the result's comes last."""
    return get_type_hints(function, include_extras=True)


def is_named_tuple(value: object) -> bool:
    """Whether it is a class made with `typing.NamedTuple`."""
    return isinstance(value, type) and issubclass(value, tuple) and hasattr(value, "_fields")


def _text(hint: object) -> str:
    if hint is NoneType:
        return "none"
    if is_named_tuple(hint):
        fields = get_type_hints(hint, include_extras=True).items()
        inner = ", ".join(f"{name}: {_text(kind)}" for name, kind in fields)
        return f"{hint.__name__}({inner})"  # type: ignore[attr-defined]
    if get_origin(hint) is tuple:
        return f"({', '.join(map(_text, get_args(hint)))})"
    if get_origin(hint) is Annotated:
        element, axes = _array(hint)
        layout = "C" if axes.contiguous else "A"
        return f"{element}[{axes.number}, {layout}]"
    return _scalar(hint)


def _numba_type(hint: object, types: Any) -> Any:
    if hint is NoneType:
        return types.void
    if is_named_tuple(hint):
        kinds = get_type_hints(hint, include_extras=True).values()
        return types.BaseTuple.from_types([_numba_type(kind, types) for kind in kinds], hint)
    if get_origin(hint) is tuple:
        return types.BaseTuple.from_types([_numba_type(kind, types) for kind in get_args(hint)])
    if get_origin(hint) is Annotated:
        element, axes = _array(hint)
        return types.Array(getattr(types, element), axes.number, "C" if axes.contiguous else "A")
    scalar = _scalar(hint)
    return types.boolean if scalar == "bool" else getattr(types, scalar)


def _array(hint: object) -> tuple[str, Axes]:
    """Name of the element type, and axes."""
    array, *notes = get_args(hint)
    (axes,) = (note for note in notes if isinstance(note, Axes))
    _, element = get_args(array)
    (scalar,) = get_args(element)
    return np.dtype(scalar).name, axes


def _scalar(hint: object) -> str:
    if hint in _SCALARS:
        return _SCALARS[hint]
    if isinstance(hint, type) and issubclass(hint, np.generic):
        return np.dtype(hint).name
    raise TypeError(f"a kernel cannot take or return {hint}; see givre.models.compiled.types")
