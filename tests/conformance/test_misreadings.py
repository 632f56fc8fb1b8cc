"""Each rule of the format has a stream that a decoder rejects if it takes the rule otherwise.

The misreadings are those that a careful reader of docs/FORMAT.md could fall for. Each is put into
the NumPy decoder, and the stream that stands for the rule must then fail its own checksum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from places import CONFORMANCE

from givre.bitstream import header, parameter_section, priors
from givre.bitstream.priors import load_prior
from givre.coder.decoder import decode_samples
from givre.errors import CorruptError
from givre.models.architecture import Architecture
from givre.models.context import context_offsets, wavefront_step
from givre.models.exact import numpy_backend, wavefront
from givre.models.exact.numpy_backend import NumpyBackend

Array = np.ndarray


@pytest.fixture(autouse=True)
def fresh_priors() -> Iterator[None]:
    """No prior is left over from another reading of it."""
    load_prior.cache_clear()
    yield
    load_prior.cache_clear()


def decode(name: str) -> Array:
    data = (CONFORMANCE / f"{name}.givre").read_bytes()
    return decode_samples(data, threads=1, kernels="reference")


def assert_rejected(name: str) -> None:
    with pytest.raises(CorruptError):
        decode(name)


# --- contexts -----------------------------------------------------------------------------------


WRONG_STEPS = [
    (n_spatial, step)
    for n_spatial in (1, 2, 4, 7, 8, 15, 16, 25, 26, 40)
    for step in (wavefront_step(n_spatial) - 1, wavefront_step(n_spatial) + 1)
    if step > 0
]


@pytest.mark.parametrize(("n_spatial", "step"), WRONG_STEPS)
def test_wave_steps(monkeypatch: pytest.MonkeyPatch, n_spatial: int, step: int) -> None:
    monkeypatch.setattr(wavefront, "wavefront_step", lambda _: step)
    assert_rejected("largest" if n_spatial == 40 else f"neighbours-{n_spatial}")


@pytest.mark.parametrize("place", range(39))
def test_order_of_offsets(monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    offsets = list(context_offsets(40))
    offsets[place : place + 2] = offsets[place + 1], offsets[place]
    monkeypatch.setattr(wavefront, "context_offsets", lambda _: offsets)
    assert_rejected("largest")


@pytest.mark.parametrize(("name", "served"), [("levels-2", 0), ("levels-3", 1)])
def test_grids_with_features(monkeypatch: pytest.MonkeyPatch, name: str, served: int) -> None:
    """One grid fewer than min(3, L - 1)."""
    monkeypatch.setattr(Architecture, "n_ifce", property(lambda _: served))
    assert_rejected(name)


# --- parameters ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["no-hidden", "no-hidden-no-features"])
def test_order_of_groups(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The order of the named points, whatever tensors there are."""

    def fixed(arch: Architecture) -> tuple[str, ...]:
        first, second, *rest = given(arch)
        assert (first, second) == ("arm.output", "arm.bias")
        return second, first, *rest

    given = parameter_section.group_names
    monkeypatch.setattr(parameter_section, "group_names", fixed)
    assert_rejected(name)


def with_prior(change: Callable[[str, Array, int], Array]) -> Callable[..., Array]:
    """`_adapted`, with each tensor's prior changed; `change` gets name, prior and extra levels."""
    given = priors._adapted

    def adapted(spec: Any, base: Any, extra: int) -> Array:
        return change(spec.name, given(spec, base, extra), extra)

    return adapted


LONG_PRIORS = ["prior2-lop-levels-8", "prior3-mop-levels-9", "prior2-hop-levels-8"]


@pytest.mark.parametrize("name", [*LONG_PRIORS, "prior5-hop-levels-10-rgba"])
@pytest.mark.parametrize("place", ["zeros first", "last repeated"])
def test_features_of_a_prior_for_more_levels(
    monkeypatch: pytest.MonkeyPatch, name: str, place: str
) -> None:
    """Weights of the coarsest inputs are zero and come last."""

    def change(tensor: str, prior: Array, extra: int) -> Array:
        if not (tensor.startswith("ifce") and tensor.endswith("weight")):
            return prior
        if place == "zeros first":
            return np.roll(prior, 2 * extra, axis=1)
        last = prior[:, [-2 * extra - 1]]
        return np.where(np.arange(prior.shape[1]) < prior.shape[1] - 2 * extra, prior, last)

    monkeypatch.setattr(priors, "_adapted", with_prior(change))
    assert_rejected(name)


@pytest.mark.parametrize("name", [*LONG_PRIORS, "prior1-hop-levels-15-grey"])
def test_filters_of_a_prior_for_more_levels(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Stages keep their number and the finest is repeated, instead of the coarsest."""
    given = priors._adapted

    def adapted(spec: Any, base: Any, extra: int) -> Array:
        if spec.group.startswith("ups"):
            kind, stage = spec.name.split(".")[1:3]
            return base[f"upsampling.{kind}.{min(5, int(stage))}.weight"]
        return given(spec, base, extra)

    monkeypatch.setattr(priors, "_adapted", adapted)
    assert_rejected(name)


@pytest.mark.parametrize("name", LONG_PRIORS)
@pytest.mark.parametrize("column", ["first", "zero"])
def test_synthesis_of_a_prior_for_more_levels(
    monkeypatch: pytest.MonkeyPatch, name: str, column: str
) -> None:
    """Columns for the finest level, or zeros, instead of copies of the last column."""

    def change(tensor: str, prior: Array, extra: int) -> Array:
        if tensor not in ("synthesis.hidden.weight", "synthesis.stabiliser.weight"):
            return prior
        n = prior.shape[1] - extra
        if column == "zero":
            return np.where(np.arange(n + extra)[:, None, None] < n, prior, 0)
        return np.concatenate([prior[:, [0] * extra], prior[:, :n]], axis=1)

    monkeypatch.setattr(priors, "_adapted", with_prior(change))
    assert_rejected(name)


@pytest.mark.parametrize(
    "name", ["prior3-lop-q10", "prior2-mop-q15", "prior4-hop-q3", "prior2-lop-levels-8"]
)
def test_prior_on_the_step_of_the_differences(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """P 2^-q + n 2^-q instead of P 2^-r + n 2^-q; the same where q is r."""
    given = parameter_section.read_groups
    steps: dict[str, int] = {}

    def read(*arguments: Any) -> Any:
        groups = given(*arguments)
        steps.update({group: coded.exponent for group, coded in groups.items()})
        return groups

    def values(prior: priors.Prior, arch: Architecture) -> dict[str, Array]:
        return {
            spec.name: np.ldexp(
                prior.integers.get(spec.name, np.zeros(spec.shape)).astype(float),
                -(steps[spec.group] or prior.exponents.get(spec.group, 0)),
            )
            for spec in parameter_section.tensor_specs(arch)
        }

    monkeypatch.setattr("givre.bitstream.parameters.read_groups", read)
    monkeypatch.setattr(priors.Prior, "values", values)
    if name == "prior3-lop-q10":
        decode(name)
    else:
        assert_rejected(name)


# --- header -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "pixels"), [("usual-1000x1000", 1_000_000), ("usual-2000x1500", 3_000_000)]
)
def test_usual_grids_at_a_limit(monkeypatch: pytest.MonkeyPatch, name: str, pixels: int) -> None:
    """The limit itself belongs to the larger pictures."""
    given = header.default_grids

    def exclusive(width: int, height: int) -> tuple[int, int]:
        assert width * height == pixels
        return given(width * height - 1, 1)

    monkeypatch.setattr(header, "default_grids", exclusive)
    assert_rejected(name)


@pytest.mark.parametrize("name", ["range-code-1", "range-code-2"])
def test_ranges_of_channels(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The first channel's range for all."""
    given = header.read_range

    def first(reader: Any, code: int, n_channels: int) -> Any:
        low, high = given(reader, code, n_channels)
        return low[:1] * n_channels, high[:1] * n_channels

    monkeypatch.setattr(header, "read_range", first)
    assert_rejected(name)


# --- filters ------------------------------------------------------------------------------------


def unrounded_first_pass(one_pass: Callable[..., Array]) -> Callable[..., Array]:
    """A pass that rounds its result only if it is the second one, over the rows."""

    def changed(x: Array, half: Array, axis: int) -> Array:
        if axis == x.ndim - 1:
            return one_pass(x, half, axis)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(numpy_backend, "to_grid", lambda value: value)
            return one_pass(x, half, axis)

    return changed


@pytest.mark.parametrize(
    ("filter_", "name"),
    [
        ("transposed_pass", "neighbours-15"),
        # The first pass has integers for input, which only the clamp of R can change.
        ("preconcat_pass", "extreme-hop-q8"),
    ],
)
def test_both_passes_are_rounded(monkeypatch: pytest.MonkeyPatch, filter_: str, name: str) -> None:
    one_pass = getattr(numpy_backend, filter_)
    monkeypatch.setattr(numpy_backend, filter_, unrounded_first_pass(one_pass))
    assert_rejected(name)


@pytest.mark.parametrize("name", ["neighbours-2", "neighbours-4", "neighbours-8"])
def test_phase_of_the_transposed_filter(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Halves of an odd number of taps: even results take other taps than in filters of 4 or 8."""
    given = numpy_backend.transposed_pass

    def swapped(x: Array, half: Array, axis: int) -> Array:
        assert len(half) % 2 == 1
        found = np.moveaxis(given(x, half, axis), axis, -1)
        pairs = found.reshape(*found.shape[:-1], -1, 2)[..., ::-1]
        return np.moveaxis(pairs.reshape(found.shape), -1, axis)

    monkeypatch.setattr(numpy_backend, "transposed_pass", swapped)
    assert_rejected(name)


# --- roundings ----------------------------------------------------------------------------------


def to_even(value: Array) -> Array:
    return np.rint(value)


def away_from_zero(value: Array) -> Array:
    return np.trunc(value + np.copysign(0.5, value))


@pytest.mark.parametrize("rounded", [to_even, away_from_zero])
def test_halves_of_activations(
    monkeypatch: pytest.MonkeyPatch, rounded: Callable[[Array], Array]
) -> None:
    def to_grid(value: Array) -> Array:
        return np.clip(rounded(value * 2**16) / 2**16, -(2.0**11), 2.0**11)

    monkeypatch.setattr(numpy_backend, "to_grid", to_grid)
    assert_rejected("halves")


class OtherFloor:
    """NumPy, but with another rounding in place of floor(v + 1/2)."""

    def __init__(self, rounded: Callable[[Array], Array]) -> None:
        self._rounded = rounded

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def floor(self, value: Array) -> Array:
        return self._rounded(value - 0.5)


def other_rounding(method: str, rounded: Callable[[Array], Array]) -> Callable[..., Any]:
    """A method of the back end with another rounding; R itself stays as it is."""
    given, to_grid = getattr(NumpyBackend, method), numpy_backend.to_grid

    def exact(value: Array) -> Array:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(numpy_backend, "np", np)
            return to_grid(value)

    def changed(*arguments: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(numpy_backend, "np", OtherFloor(rounded))
            patch.setattr(numpy_backend, "to_grid", exact)
            return given(*arguments)

    return changed


@pytest.mark.parametrize("rounded", [to_even, away_from_zero])
def test_halves_of_means_and_indices(
    monkeypatch: pytest.MonkeyPatch, rounded: Callable[[Array], Array]
) -> None:
    monkeypatch.setattr(NumpyBackend, "arm", other_rounding("arm", rounded))
    assert_rejected("halves")


def test_halves_of_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = other_rounding("samples_rows", to_even)
    monkeypatch.setattr(NumpyBackend, "samples_rows", changed)
    assert_rejected("half-samples")


# --- the unchanged decoder ----------------------------------------------------------------------


def test_the_means_of_a_misreading_change_nothing_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def half_up(value: Array) -> Array:
        return np.floor(value + 0.5)

    for method in ("arm", "samples_rows"):
        monkeypatch.setattr(NumpyBackend, method, other_rounding(method, half_up))
    monkeypatch.setattr(priors, "_adapted", with_prior(lambda _, prior, __: prior))
    for name in ("halves", "half-samples", "prior2-lop-levels-8"):
        assert decode(name).size
