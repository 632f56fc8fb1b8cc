"""Tickets, by which threads share out the parts of a kernel's work without returning to Python.

A thread that comes back from a kernel needs the interpreter's lock, and on small images that takes
as long as the part did. So a kernel is called once on every thread, and takes parts until none is
left:

    part = next_ticket(tickets)
    while part < parts.shape[0]:
        ...  # items parts[part, 0] to parts[part, 1] - 1
        part = next_ticket(tickets)

`givre.models.compiled.pool.share` makes tickets and calls the kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from givre.models.compiled.kernel import Intrinsic
from givre.models.compiled.types import Integers1, Integers2

Tickets = Integers1
"""(1,), the next part to be taken: 0 at first."""

Parts = Integers2
"""(n, 2), first item and end of the items of each part."""


def _atomic_increment(typing_context: object, tickets: Any) -> tuple[Any, Callable[..., Any]]:
    """The instruction, as `numba.extending.intrinsic` wants it described."""
    from llvmlite import ir
    from numba.core import types

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (kind,) = signature.args
        array = context.make_array(kind)(context, builder, arguments[0])
        one = ir.Constant(ir.IntType(64), 1)
        # What a part reads was there before the threads started, so no stricter order is needed.
        return builder.atomic_rmw("add", array.data, one, "monotonic")

    return types.int64(tickets), generate


next_ticket = cast("Callable[[Tickets], int]", Intrinsic(_atomic_increment))
"""Take the next ticket; every call gets another one. For compiled code only."""
