"""The types of kernels are read from their annotations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from givre.models.compiled.kernel import Compiled, kernel, kernel_part
from givre.models.compiled.signatures import numba_signature, signature_text
from givre.models.compiled.types import (
    Doubles1,
    Floats,
    Floats1,
    Floats2,
    Integers1,
    Integers2,
    Latents2,
    Samples3,
    StridedDoubles2,
    Words1,
)


class Pair(NamedTuple):
    """Arrays of different kinds, and a number."""

    values: Floats2
    places: Integers1
    scale: np.float32


class Turned(NamedTuple):
    """The same fields in another order."""

    places: Integers1
    values: Floats2
    scale: np.float32


def everything(
    flag: bool,
    count: int,
    weight: float,
    scale: np.float32,
    arrays: tuple[Floats1, Integers2, Words1],
    matrix: StridedDoubles2,
    small: Latents2,
    samples: Samples3,
    pair: Pair,
) -> tuple[int, float]:
    """Take all that a kernel can take."""
    return count, weight


def nothing(values: Floats1) -> None:
    """Return no result."""


def test_a_signature_has_the_types_of_the_annotations() -> None:
    numba = pytest.importorskip("numba")
    types = numba.types
    found = numba_signature(everything)
    assert found.return_type == types.Tuple([types.int64, types.float64])
    flag, count, weight, scale, arrays, matrix, small, samples, pair = found.args
    assert [flag, count] == [types.boolean, types.int64]
    assert [weight, scale] == [types.float64, types.float32]
    assert arrays == types.Tuple([types.float32[::1], types.int64[:, ::1], types.uint32[::1]])
    assert matrix == types.float64[:, :]
    assert small == types.int8[:, ::1]
    assert samples == types.uint16[:, :, ::1]
    assert pair == types.NamedTuple([types.float32[:, ::1], types.int64[::1], types.float32], Pair)
    assert numba_signature(nothing) == types.void(types.float32[::1])


def test_the_text_tells_all_types_and_fields() -> None:
    text = signature_text(everything)
    assert "matrix: float64[2, A]" in text
    assert "pair: Pair(values: float32[2, C], places: int64[1, C], scale: float32)" in text
    assert text.endswith("return: (int64, float64)")
    assert signature_text(nothing) == "values: float32[1, C], return: none"


def unknown_axes(values: Floats) -> None:
    """Take an array that does not say how many axes it has."""


def unknown_type(name: str) -> None:
    """Take what no kernel can take."""


@pytest.mark.parametrize("function", [unknown_axes, unknown_type])
@pytest.mark.parametrize("describe", [signature_text, numba_signature])
def test_an_annotation_without_a_type_is_refused(
    function: Callable[..., object], describe: Callable[[Callable[..., object]], object]
) -> None:
    with pytest.raises(TypeError, match="a kernel cannot take"):
        describe(function)


@kernel()
def scaled_sum(pair: Pair, weights: Doubles1) -> float:
    """Add up the values at the places, times weights and scale."""
    total = 0.0
    for k in range(len(pair.places)):
        total += weights[k] * pair.values[0, pair.places[k]]
    return total * pair.scale


def pair_of(dtype: type[np.generic]) -> Any:
    values = np.arange(8, dtype=dtype).reshape(2, 4)
    return Pair(values, np.array([3, 1], np.int64), np.float32(2))


def test_a_kernel_takes_a_named_tuple() -> None:
    assert scaled_sum(pair_of(np.float32), np.array([1.0, 10.0])) == 26


def test_a_kernel_refuses_arrays_of_another_type() -> None:
    for pair, weights in (
        (pair_of(np.float64), np.ones(2)),
        (pair_of(np.float32), np.ones(2, np.float32)),
        (tuple(pair_of(np.float32)), np.ones(2)),
        (pair_of(np.float32), np.ones(4)[::2]),
    ):
        with pytest.raises(TypeError, match="No matching definition"):
            scaled_sum(pair, weights)


def with_annotation(kind: object) -> Compiled[..., float]:
    """A kernel of always the same code, that takes a certain kind."""

    def first(pair: Pair) -> float:
        return float(pair.scale)

    first.__annotations__["pair"] = kind
    return kernel()(first)


def test_the_digest_changes_with_the_fields_of_a_named_tuple() -> None:
    class Wider(NamedTuple):
        values: Floats2
        places: Integers2
        scale: np.float32

    digests = {with_annotation(kind).digest() for kind in (Pair, Turned, Wider)}
    assert len(digests) == 3
    assert with_annotation(Pair).digest() == with_annotation(Pair).digest()


def test_the_digest_changes_with_a_named_tuple_that_code_makes() -> None:
    source = "def scale_of(values, places):\n    return Made(values, places, 1).scale\n"
    digests = set()
    for made in (Pair, Turned, Pair):
        scope: dict[str, Any] = {"__name__": "nowhere", "Made": made}
        exec(compile(source, "<nowhere>", "exec"), scope)
        digests.add(kernel_part()(scope["scale_of"]).digest())
    assert len(digests) == 2
