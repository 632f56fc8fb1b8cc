"""Parameters as differences from a prior, and what a prior is for other pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from exact_cases import (
    Array,
    extreme_sums,
    modest_parameters,
    plan_for,
    random_latents,
    random_parameters,
)
from hypothesis import given
from hypothesis import strategies as st

from givre.bitstream import priors
from givre.bitstream.alpha_mask import BETWEEN, OPAQUE, TRANSPARENT, write_mask
from givre.bitstream.container import Container, TilePayload, pack, samples_crc, unpack
from givre.bitstream.header import Alpha, Header
from givre.bitstream.latents import write_latents
from givre.bitstream.parameters import QuantisedParameters, read_parameters, write_parameters
from givre.bitstream.priors import NO_PRIOR, PRIOR_HASHES, Prior, build_prior, load_prior
from givre.bitstream.side_information import PRIOR_GUESSES
from givre.coder.coded_tile import coded_latents
from givre.coder.decoder import decode_samples, reconstruct
from givre.coder.inspection.file_info import file_info
from givre.coder.inspection.inspection import inspect_file
from givre.coder.transparency import with_mask
from givre.errors import CorruptError, UnsupportedError, UsageError
from givre.models.architecture import NAMED_POINTS, Architecture, group_names, tensor_specs
from givre.models.exact.numpy_backend import NumpyBackend
from givre.models.geometry import grids

LOP = NAMED_POINTS["lop"]
BASE = random_parameters(LOP, seed=5)
SECTION = write_parameters(LOP, BASE)
STABILISER = "synthesis.stabiliser"
TINY = Architecture(2, 1, 2, 1, n_arm_hidden=1, ups_k_size=4, n_levels=4, n_hyper=1, n_channels=1)


def with_levels(n_levels: int, channels: int = 3) -> Architecture:
    return replace(LOP, n_levels=n_levels, n_hyper=n_levels - 4, n_channels=channels)


def at_prior(arch: Architecture, prior: Prior) -> QuantisedParameters:
    """No difference at all."""
    zeros = {spec.name: np.zeros(spec.shape, np.int32) for spec in tensor_specs(arch)}
    return QuantisedParameters(zeros, dict.fromkeys(group_names(arch), 0), prior)


def single_prior(arch: Architecture, integer: int, exponent: int) -> Prior:
    """The same prior for every parameter."""
    integers = {spec.name: np.full(spec.shape, integer, np.int32) for spec in tensor_specs(arch)}
    return Prior(1, integers, dict.fromkeys(group_names(arch), exponent))


# --- differences --------------------------------------------------------------------------------


def test_values_are_the_exact_sums() -> None:
    rng = np.random.default_rng(1)
    groups = group_names(TINY)
    base, difference = (
        {spec.name: rng.integers(-4095, 4096, spec.shape, np.int32) for spec in tensor_specs(TINY)}
        for _ in range(2)
    )
    coarse, fine = ({group: int(rng.integers(0, 16)) for group in groups} for _ in range(2))
    values = QuantisedParameters(difference, fine, Prior(1, base, coarse)).values(TINY)
    for spec in tensor_specs(TINY):
        r, q = coarse[spec.group], fine[spec.group]
        for p, n, value in zip(
            base[spec.name].flat, difference[spec.name].flat, values[spec.name].flat, strict=True
        ):
            assert Fraction(value) == Fraction(int(p), 1 << r) + Fraction(int(n), 1 << q)


@pytest.mark.parametrize("name", NAMED_POINTS)
def test_differences_come_back(name: str) -> None:
    arch = NAMED_POINTS[name]
    quantised = extreme_sums(arch, 15, seed=2)
    decoded = read_parameters(arch, write_parameters(arch, quantised), quantised.prior)
    values, expected = decoded.values(arch), quantised.values(arch)
    for spec in tensor_specs(arch):
        assert np.array_equal(decoded.integers[spec.name], quantised.integers[spec.name])
        assert np.array_equal(values[spec.name], expected[spec.name])
        assert (np.abs(values[spec.name]) == (2**16 - 1) * 2.0**-15).all()


def test_a_file_at_its_prior_spends_nothing() -> None:
    prior = single_prior(TINY, -77, 4)
    assert write_parameters(TINY, at_prior(TINY, prior)) == b""
    values = read_parameters(TINY, b"", prior).values(TINY)
    assert all((tensor == -77 / 16).all() for tensor in values.values())


@pytest.mark.parametrize(
    ("base", "r", "difference", "q"),
    [(4095, 11, 15, 15), (-4095, 11, -15, 15), (15, 4, 4095, 0), (-15, 4, -4095, 0)],
)
def test_sums_end_at_sixteen_bits(base: int, r: int, difference: int, q: int) -> None:
    """(2^16 - 1) steps of the finer of both exponents are the most."""
    prior = single_prior(TINY, base, r)
    quantised = at_prior(TINY, prior)
    tensor = quantised.integers["ifce.0.bias"]
    exponents = {**quantised.exponents, "ifce.bias": q}
    tensor[0] = difference
    within = replace(quantised, exponents=exponents)
    data = write_parameters(TINY, within)
    assert read_parameters(TINY, data, prior).integers["ifce.0.bias"][0] == difference
    away = 1 if difference > 0 else -1
    if r > q:
        beyond = replace(within, prior=single_prior(TINY, base + away, r))
    else:
        beyond = within
        tensor[0] += away
    with pytest.raises(UsageError, match=r"parameters of ifce\.bias must be less than 2\^16 steps"):
        write_parameters(TINY, beyond)


def test_a_sum_of_more_bits_is_corrupt() -> None:
    quantised = random_parameters(TINY, seed=1)
    fine = dict.fromkeys(quantised.exponents, 15)
    quantised = replace(quantised, exponents=fine, prior=single_prior(TINY, 1, 0))
    data = write_parameters(TINY, quantised)
    assert read_parameters(TINY, data, single_prior(TINY, 1, 0)).prior.number == 1
    with pytest.raises(
        CorruptError, match=r"of arm\.hidden must be less than 2\^16 steps of 2\^-15"
    ):
        read_parameters(TINY, data, single_prior(TINY, 3, 0))


def test_the_step_of_a_group_without_differences_does_not_count() -> None:
    """4095 is 2^27 steps of 2^-15, but the step is not written."""
    quantised = at_prior(TINY, single_prior(TINY, 4095, 0))
    fine = replace(quantised, exponents=dict.fromkeys(quantised.exponents, 15))
    assert write_parameters(TINY, fine) == b""


@given(st.binary(max_size=60), st.integers(-4095, 4095), st.integers(0, 15))
def test_random_sections_decode_or_are_corrupt(data: bytes, integer: int, exponent: int) -> None:
    prior = single_prior(TINY, integer, exponent)
    try:
        decoded = read_parameters(TINY, data, prior)
    except CorruptError:
        return
    for spec in tensor_specs(TINY):
        finest = max(exponent, decoded.exponents[spec.group])
        steps = decoded.values(TINY)[spec.name] * 2.0**finest
        assert np.array_equal(steps, np.rint(steps))
        assert np.abs(steps).max() < 2**16


def test_steps_and_scales_are_predicted_where_there_is_a_prior() -> None:
    """As docs/FORMAT.md has it, by the number alone and with the same guesses for all."""
    assert NO_PRIOR.guesses == {}
    assert Prior(1).guesses is Prior(15).guesses is PRIOR_GUESSES
    quantised = at_prior(LOP, load_prior(LOP, 2))
    quantised.integers["synthesis.stabiliser.weight"][0, 0] = 20
    usual = {**quantised.exponents, STABILISER: PRIOR_GUESSES[STABILISER].exponent}
    far = {**usual, STABILISER: 0}
    sizes = [
        len(write_parameters(LOP, replace(quantised, exponents=exponents)))
        for exponents in (usual, far)
    ]
    assert sizes[0] < sizes[1]


def test_a_prior_of_other_shapes_is_refused() -> None:
    with pytest.raises(UsageError, match=r"prior's ifce\.0\.weight has shape \(1, 4\), it must be"):
        single_prior(TINY, 1, 0).values(replace(TINY, n_hyper=0))


# --- priors for other pictures ------------------------------------------------------------------


def test_a_prior_for_its_own_architecture_is_what_was_learned() -> None:
    prior = build_prior(SECTION, "lop", LOP, 3)
    assert prior.number == 3
    assert prior.exponents == read_parameters(LOP, SECTION).exponents
    values, expected = prior.values(LOP), BASE.values(LOP)
    assert all(np.array_equal(values[name], expected[name]) for name in expected)


@pytest.mark.parametrize("n_levels", [8, 9, 15])
def test_a_prior_for_more_levels(n_levels: int) -> None:
    extra, arch = n_levels - 7, with_levels(n_levels)
    values, base = build_prior(SECTION, "lop", arch, 1).values(arch), BASE.values(LOP)
    for level in range(3):
        weight = values.pop(f"ifce.{level}.weight")
        assert np.array_equal(weight[:, : 9 - level], base[f"ifce.{level}.weight"])
        assert weight[:, 9 - level :].shape == (2, 2 * extra)
        assert not weight[:, 9 - level :].any()
    for kind in ("transposed", "preconcat"):
        stages = [values.pop(f"upsampling.{kind}.{s}.weight") for s in range(n_levels - 1)]
        for from_finest in range(n_levels - 1):
            known = base[f"upsampling.{kind}.{max(0, 5 - from_finest)}.weight"]
            assert np.array_equal(stages[n_levels - 2 - from_finest], known)
    for name in ("synthesis.hidden.weight", "synthesis.stabiliser.weight"):
        weight = values.pop(name)
        for level in range(n_levels):
            assert np.array_equal(weight[:, level], base[name][:, min(level, 6)])
    assert all(np.array_equal(value, base[name]) for name, value in values.items())


def expected_for_outputs(name: str, base: Array, n_outputs: int) -> Array:
    """A tensor of the synthesis as the format has it, from that for three colours."""
    is_kernel = name.startswith("synthesis.residual.") and name.endswith(".weight")
    if n_outputs <= 2:
        base = base[1:2].sum(axis=1, keepdims=True) if is_kernel else base[1:2]
    if n_outputs in (1, 3):
        return base
    shape = list(base.shape)
    shape[0] += 1
    shape[1:2] = [shape[1] + 1] if is_kernel else shape[1:2]
    found = np.zeros(shape)
    found[tuple(slice(n) for n in base.shape)] = base
    return found


@pytest.mark.parametrize("n_levels", [7, 9])
@pytest.mark.parametrize("n_outputs", [1, 2, 3, 4])
def test_a_prior_for_other_outputs(n_outputs: int, n_levels: int) -> None:
    """Grey is green of equal colours, and alpha has zeros; all else is as it was."""
    colours, arch = with_levels(n_levels), with_levels(n_levels, n_outputs)
    prior, of_colours = (build_prior(SECTION, "lop", a, 1) for a in (arch, colours))
    assert prior.exponents == of_colours.exponents
    base = of_colours.values(colours)
    for name, value in prior.values(arch).items():
        expected = base[name]
        if name.startswith("synthesis.") and not name.startswith("synthesis.hidden."):
            expected = expected_for_outputs(name, base[name], n_outputs)
            assert np.abs(value).max() > 0
        assert np.array_equal(value, expected), name


@pytest.mark.parametrize(
    ("kernels", "expected"),
    [
        ((1, -2, 4), 3),
        ((4095, 4095, 4095), 4095),
        ((-4095, -1, 0), -4095),
        ((-4095, -4095, -4095), -4095),
        ((4095, 4095, -4095), 4095),
    ],
)
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_sums_over_colours_are_clipped(
    n_outputs: int, kernels: tuple[int, int, int], expected: int
) -> None:
    integers = {name: tensor.copy() for name, tensor in BASE.integers.items()}
    weight = integers["synthesis.residual.0.weight"]
    weight[:] = 77
    weight[1, :, 2, 0] = kernels
    section = write_parameters(LOP, replace(BASE, integers=integers))
    prior = build_prior(section, "lop", with_levels(7, n_outputs), 1)
    found = prior.integers["synthesis.residual.0.weight"]
    assert found.dtype == np.int32
    assert found[0, 0, 2, 0] == expected
    assert found[0, 0, 1, 1] == 3 * 77
    assert not found[1:].any()
    assert not found[:, 1:].any()


def alike(base: QuantisedParameters, strength: int) -> QuantisedParameters:
    """Parameters under which all three colours come out the same, though kernels are not."""
    integers = {name: tensor.copy() for name, tensor in base.integers.items()}
    for name, tensor in integers.items():
        if name.startswith("synthesis.") and not name.startswith("synthesis.hidden."):
            tensor[:] = tensor[1:2]
        if name.startswith("synthesis.residual.") and name.endswith("weight"):
            np.clip(tensor, -strength, strength, out=tensor)
    return replace(base, integers=integers)


@pytest.mark.parametrize("name", NAMED_POINTS)
def test_grey_is_green_of_equal_colours(name: str) -> None:
    """To the last bit: what the three kernels of equal inputs give is what their sum gives."""
    point, size = NAMED_POINTS[name], (40, 27)
    parameters = alike(modest_parameters(point, seed=7), strength=1000)
    section = write_parameters(point, parameters)
    main = [
        y
        for g, y in zip(grids(point, *size), random_latents(point, *size, seed=2), strict=True)
        if not g.hyper
    ]

    def picture(n_outputs: int) -> Array:
        arch = replace(point, n_channels=n_outputs)
        backend = NumpyBackend(arch, build_prior(section, name, arch, 1).values(arch))
        return backend.normalised_rows(main[0], backend.stack(main), 0, size[1])

    colours, grey = picture(3), picture(1)
    assert np.array_equal(colours[0], colours[1])
    assert np.array_equal(colours[2], colours[1])
    assert np.unique(grey).size > 100
    assert np.array_equal(grey[0], colours[1])
    for n_outputs, opaque in ((2, grey), (4, colours)):
        with_alpha = picture(n_outputs)
        assert np.array_equal(with_alpha[:-1], opaque)
        assert not with_alpha[-1].any()


def test_a_coarser_level_of_zeros_changes_nothing() -> None:
    """Each grid meets the filters and weights that it was learned with."""
    arch, size = with_levels(8), (70, 45)
    deep = NumpyBackend(arch, build_prior(SECTION, "lop", arch, 1).values(arch))
    shallow = NumpyBackend(LOP, BASE.values(LOP))
    latents = random_latents(LOP, *size, seed=1)
    added = [np.zeros((grid.height, grid.width)) for grid in grids(arch, *size)[-2:]]
    for level in range(3):
        expected = shallow.features(grids(LOP, *size)[level + 1 :], latents[level + 1 :], level)
        coarser = [*latents[level + 1 :], *added]
        found = deep.features(grids(arch, *size)[level + 1 :], coarser, level)
        assert np.array_equal(found, expected)
        assert np.unique(expected).size > 5
    main = [y for g, y in zip(grids(LOP, *size), latents, strict=True) if not g.hyper]

    def picture(backend: NumpyBackend, main: list[Array]) -> Array:
        return backend.normalised_rows(main[0], backend.stack(main), 0, size[1])

    assert np.array_equal(picture(deep, [*main, added[0]]), picture(shallow, main))


@pytest.mark.parametrize(("n_levels", "n_hyper"), [(6, 2), (2, 0), (7, 2), (8, 3), (7, 4)])
def test_there_are_no_priors_for_other_grids(n_levels: int, n_hyper: int) -> None:
    arch = replace(LOP, n_levels=n_levels, n_hyper=n_hyper)
    with pytest.raises(UnsupportedError, match=f"prior for {n_levels} levels and {n_hyper} hyper"):
        build_prior(SECTION, "lop", arch, 1)


def test_a_priors_arrays_cannot_be_changed() -> None:
    prior = build_prior(SECTION, "lop", LOP, 1)
    for integers in prior.integers.values():
        with pytest.raises(ValueError, match="read-only"):
            integers[0] = 1


# --- priors by number ---------------------------------------------------------------------------


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Prior 15 of lop, as if it had come with the package; gives its file."""
    path = tmp_path / "priors" / "lop-15.bin"
    path.parent.mkdir()
    path.write_bytes(SECTION)
    monkeypatch.setattr(priors, "files", {"givre.bitstream": tmp_path}.__getitem__)
    monkeypatch.setitem(PRIOR_HASHES, ("lop", 15), sha256(SECTION).hexdigest())
    load_prior.cache_clear()
    yield path
    load_prior.cache_clear()


def file_with_prior(arch: Architecture) -> tuple[bytes, np.ndarray]:
    """A file that names prior 15 and differs from it in two groups, and its samples."""
    quantised = at_prior(arch, load_prior(arch, 15))
    quantised.integers["arm.output.bias"][:] = -3, 5
    quantised.integers["synthesis.output.bias"][0] = 7
    exponents = {**quantised.exponents, "arm.bias": 4, "synthesis.bias": 5}
    quantised = replace(quantised, exponents=exponents)
    latents = random_latents(arch, 19, 13, seed=3)
    backend = NumpyBackend(arch, quantised.values(arch))
    plan = plan_for(arch, 19, 13)
    payload = TilePayload(
        write_parameters(arch, quantised), write_latents(coded_latents(backend, plan, latents))
    )
    samples = reconstruct(backend, plan, latents, 1)
    if plan.alpha is Alpha.SOFT:
        classes = np.full((13, 19), BETWEEN, np.uint8)
        classes[:5], classes[5:9, :7] = OPAQUE, TRANSPARENT
        payload = replace(payload, mask=write_mask(classes, has_between=True))
        samples = with_mask(samples, classes, plan.alpha, 8)
    entry = replace(
        plan.entry,
        parameter_bytes=len(payload.parameters),
        latent_bytes=len(payload.latents),
        mask_bytes=len(payload.mask),
        pixel_crc=samples_crc(samples),
    )
    header = Header(19, 13, 8, arch, (entry,), plan.alpha, prior=15)
    return pack(Container(header, (payload,))), samples


@pytest.mark.parametrize(
    ("n_levels", "channels"), [(7, 3), (9, 3), (8, 1), (7, 1), (7, 2), (8, 4), (15, 2)]
)
def test_files_with_a_prior_are_decoded(installed: Path, n_levels: int, channels: int) -> None:
    arch = with_levels(n_levels, channels)
    data, samples = file_with_prior(arch)
    assert samples.shape == (13, 19, channels)
    assert unpack(data).header.prior == 15
    assert len(unpack(data).parameters(0)) < 20 < len(SECTION)
    for kernels in ("fused", "reference"):
        assert np.array_equal(decode_samples(data, threads=1, kernels=kernels), samples)
    assert np.array_equal(inspect_file(data, threads=1).samples, samples)


def test_a_file_whose_prior_is_missing_is_described_but_not_decoded(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, _ = file_with_prior(LOP)
    monkeypatch.delitem(PRIOR_HASHES, ("lop", 15))
    load_prior.cache_clear()
    assert file_info(data)["prior"] == 15
    assert file_info(data)["crc_ok"]
    for decode in (decode_samples, inspect_file):
        with pytest.raises(UnsupportedError, match="prior 15 of a lop decoder"):
            decode(data)


def test_a_prior_is_loaded_once(installed: Path) -> None:
    first = load_prior(LOP, 15)
    installed.unlink()
    assert load_prior(LOP, 15) is first


@pytest.mark.parametrize("content", [SECTION[:-1], SECTION + b"\1", b"", None])
def test_a_damaged_prior_is_not_used(installed: Path, content: bytes | None) -> None:
    if content is None:
        installed.unlink()
    else:
        installed.write_bytes(content)
    with pytest.raises(UnsupportedError, match=r"lop-15\.bin is missing or damaged"):
        load_prior(LOP, 15)


@pytest.mark.parametrize(
    ("arch", "number"),
    [
        (LOP, 14),
        (LOP, 16),
        (LOP, -1),
        (NAMED_POINTS["hop"], 15),
        (replace(LOP, n_spatial=7), 15),
        (replace(LOP, n_levels=6, n_hyper=2), 15),
    ],
)
def test_priors_that_there_are_not(installed: Path, arch: Architecture, number: int) -> None:
    with pytest.raises(UnsupportedError, match="prior"):
        load_prior(arch, number)


def test_no_prior_is_zero_for_every_architecture() -> None:
    for arch in (TINY, LOP, with_levels(15, 4)):
        assert load_prior(arch, 0) is NO_PRIOR
        values = NO_PRIOR.values(arch)
        assert list(values) == [spec.name for spec in tensor_specs(arch)]
        assert not any(value.any() for value in values.values())


@pytest.mark.parametrize(("point", "number"), list(PRIOR_HASHES))
def test_installed_priors_serve_every_picture(point: str, number: int) -> None:
    for n_levels in range(7, 16):
        for channels in range(1, 5):
            arch = replace(
                NAMED_POINTS[point], n_levels=n_levels, n_hyper=n_levels - 4, n_channels=channels
            )
            prior = load_prior(arch, number)
            assert write_parameters(arch, at_prior(arch, prior)) == b""
            assert any(value.any() for value in prior.values(arch).values())
