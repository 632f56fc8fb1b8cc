"""Scale tables, parameter section and latent section."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from givre.bitstream.laplace_counts import cumulative_counts
from givre.bitstream.latents import LatentReader, write_latents
from givre.bitstream.parameter_section import CodedGroup, read_groups, write_groups
from givre.bitstream.parameters import (
    QuantisedParameters,
    parameter_bits,
    parameter_cost_table,
    read_parameters,
    write_parameters,
)
from givre.bitstream.priors import NO_PRIOR, Prior
from givre.bitstream.rangecoder import PARAMETER_MAX, SymbolDecoder, SymbolEncoder
from givre.bitstream.scales import LATENT_SCALES, PARAMETER_SCALES
from givre.bitstream.side_information import (
    NO_GUESSES,
    PRIOR_GUESSES,
    GroupGuess,
    read_side_information,
    side_bits,
    write_side_information,
)
from givre.errors import CorruptError, UsageError
from givre.models.architecture import NAMED_POINTS, Architecture, group_names, tensor_specs

TINY = Architecture(2, 1, 2, 1, n_arm_hidden=1, ups_k_size=4, n_levels=4, n_hyper=1, n_channels=1)
ZERO_PRIOR = Prior(1)
"""A prior of zero, under which steps and scales are predicted nevertheless."""


def rounded(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), -PARAMETER_MAX, PARAMETER_MAX).astype(np.int32)


def random_parameters(arch: Architecture, seed: int, spread: float) -> QuantisedParameters:
    rng = np.random.default_rng(seed)
    integers = {
        spec.name: np.clip(np.rint(rng.laplace(0, spread, spec.shape)), -4095, 4095).astype(
            np.int32
        )
        for spec in tensor_specs(arch)
    }
    return QuantisedParameters(
        integers, {group: int(rng.integers(0, 16)) for group in group_names(arch)}
    )


def joined(arch: Architecture, quantised: QuantisedParameters, group: str) -> np.ndarray:
    """All integers of a group in file order."""
    names = [spec.name for spec in tensor_specs(arch) if spec.group == group]
    return np.concatenate([quantised.integers[name].ravel() for name in names])


def coded_exponents(arch: Architecture, quantised: QuantisedParameters) -> dict[str, int]:
    """The exponents that are read back: a group of zeros has none."""
    return {
        group: exponent if joined(arch, quantised, group).any() else 0
        for group, exponent in quantised.exponents.items()
    }


def test_latent_scales_are_the_rounded_exponentials() -> None:
    assert LATENT_SCALES.shape == (321,)
    assert LATENT_SCALES.dtype == np.float64
    with localcontext() as context:
        context.prec = 50
        exact = [(Decimal(k) / 32 - 5).exp() * 2**20 for k in range(321)]
    assert (LATENT_SCALES * 2**20).tolist() == [round(value) for value in exact]
    assert np.allclose(LATENT_SCALES, [math.exp(k / 32 - 5) for k in range(321)], rtol=1e-4, atol=0)


def test_parameter_scales_are_the_rounded_powers() -> None:
    assert PARAMETER_SCALES.shape == (64,)
    exact = [2.0 ** ((k - 1) / 4 - 3) for k in range(1, 64)]
    assert (PARAMETER_SCALES * 2**20).tolist() == [0, *(round(value * 2**20) for value in exact)]


def test_scale_tables_cannot_be_changed() -> None:
    for table in (LATENT_SCALES, PARAMETER_SCALES, parameter_cost_table(3)):
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 1.0


@pytest.mark.parametrize("name", NAMED_POINTS)
@pytest.mark.parametrize("spread", [0.1, 12.0, 5000.0])
@pytest.mark.parametrize("prior", [NO_PRIOR, ZERO_PRIOR], ids=["uniform", "predicted"])
def test_parameters_come_back(name: str, spread: float, prior: Prior) -> None:
    arch = NAMED_POINTS[name]
    quantised = replace(random_parameters(arch, 1, spread), prior=prior)
    decoded = read_parameters(arch, write_parameters(arch, quantised), prior)
    assert decoded.exponents == coded_exponents(arch, quantised)
    assert list(decoded.integers) == [spec.name for spec in tensor_specs(arch)]
    for spec in tensor_specs(arch):
        assert decoded.integers[spec.name].dtype == np.int32
        assert decoded.integers[spec.name].shape == spec.shape
        assert np.array_equal(decoded.integers[spec.name], quantised.integers[spec.name])


def test_parameters_without_inter_feature_contexts_come_back() -> None:
    arch = replace(TINY, n_features=0, n_levels=2, n_hyper=0, n_residual=0)
    quantised = random_parameters(arch, 3, 4.0)
    decoded = read_parameters(arch, write_parameters(arch, quantised))
    for name, expected in quantised.integers.items():
        assert np.array_equal(decoded.integers[name], expected)


def test_values_are_exact_dyadic_rationals() -> None:
    quantised = random_parameters(TINY, 2, 500.0)
    values = quantised.values(TINY)
    for spec in tensor_specs(TINY):
        step = 2.0 ** -quantised.exponents[spec.group]
        assert values[spec.name].dtype == np.float64
        assert np.array_equal(values[spec.name], quantised.integers[spec.name] * step)


def test_groups_of_zeros_cost_a_bit_and_have_no_step() -> None:
    arch = NAMED_POINTS["hop"]
    zeros = {spec.name: np.zeros(spec.shape, np.int32) for spec in tensor_specs(arch)}
    groups = group_names(arch)
    quantised = QuantisedParameters(zeros, dict.fromkeys(groups, 15))
    data = write_parameters(arch, quantised)
    assert data == b""  # flags of 0 are leading zeros of the fraction, and so are all after them
    decoded = read_parameters(arch, data)
    assert all(not tensor.any() for tensor in decoded.integers.values())
    assert decoded.exponents == dict.fromkeys(groups, 0)
    tensor = zeros["synthesis.stabiliser.weight"]
    tensor[0, 0] = 1
    bits = len(groups) + math.log2(16 * 63) + parameter_bits(tensor)[0]
    assert len(write_parameters(arch, quantised)) == math.ceil(bits / 8)


def test_golden_parameter_section() -> None:
    counter = iter(range(-20, 1000))
    integers = {
        spec.name: np.fromiter(counter, np.int32, spec.size).reshape(spec.shape)
        for spec in tensor_specs(TINY)
    }
    exponents = {group: i for i, group in enumerate(group_names(TINY))}
    quantised = QuantisedParameters(integers, exponents)
    assert write_parameters(TINY, quantised).hex() == GOLDEN_PARAMETERS
    predicted = replace(quantised, prior=ZERO_PRIOR)
    assert write_parameters(TINY, predicted).hex() == GOLDEN_PREDICTED


GOLDEN_PARAMETERS = (
    "8392c8f06b474ccb40d7087a90330bb09db52a14dab2aa6bdf532f02bf191caf8dbc361053e472d517187"
    "94c2cd7a9eda55d22a76962d5b4667be9174dd16f4a8768c3246a9f99fdfd161b4eb5cae6004083a09363cb"
)
GOLDEN_PREDICTED = (
    "81ee132f6555ab049622373e46cb0bf6392cea7a8a8f7bb08fe6ec7a0e17988b33abd4a7bdeac19510a28700"
    "d44ef812008aaa31a6bd7c94f8a1456c2afd4175fddaf9ec0ee1ece1b86733472067d048056d6ccd7de52dbcf"
    "65ae880"
)


# --- side information ---------------------------------------------------------------------------

GUESSES = [None, *PRIOR_GUESSES.values(), GroupGuess(0, 1), GroupGuess(15, 63)]


@given(
    st.lists(
        st.tuples(st.integers(0, 15), st.integers(1, 63), st.sampled_from(GUESSES)), max_size=20
    )
)
def test_side_information_comes_back(
    groups: list[tuple[int, int, GroupGuess | None]],
) -> None:
    encoder = SymbolEncoder()
    for group in groups:
        write_side_information(encoder, *group)
    decoder = SymbolDecoder(encoder.to_bytes())
    for exponent, scale_index, guess in groups:
        assert read_side_information(decoder, guess) == (exponent, scale_index)


@pytest.mark.parametrize("guess", GUESSES)
def test_side_information_costs_what_the_range_coder_spends(guess: GroupGuess | None) -> None:
    for exponent in range(16):
        encoder = SymbolEncoder()
        for scale_index in range(1, 64):
            write_side_information(encoder, exponent, scale_index, guess)
        bits = side_bits(exponent, guess)
        assert bits.shape == (63,)
        assert abs(len(encoder.to_bytes()) - bits.sum() / 8) <= 2
        with pytest.raises(ValueError, match="read-only"):
            bits[0] = 0


def test_what_was_guessed_costs_less_than_half() -> None:
    """Four bits and a half, against ten without a guess; nothing is impossible."""
    assert side_bits(3, None) == pytest.approx(math.log2(16 * 63))
    for guess in PRIOR_GUESSES.values():
        bits = np.stack([side_bits(exponent, guess) for exponent in range(16)])
        assert bits[guess.exponent, guess.scale_index - 1] == pytest.approx(4.43, abs=0.01)
        assert (bits.argmin(axis=0) == guess.exponent).all()
        assert bits.max() < 48
        assert np.exp2(-bits).sum() == pytest.approx(1, abs=1e-9)


def test_there_is_a_guess_for_every_group() -> None:
    assert set(PRIOR_GUESSES) == {g for arch in NAMED_POINTS.values() for g in group_names(arch)}
    with pytest.raises(TypeError):
        PRIOR_GUESSES["arm.bias"] = GroupGuess(0, 1)  # type: ignore[index]


@pytest.mark.parametrize(("exponent", "scale_index"), [(-1, 5), (16, 5), (3, 0), (3, 64)])
@pytest.mark.parametrize("guess", [None, GroupGuess(4, 5)])
def test_side_information_out_of_range(
    exponent: int, scale_index: int, guess: GroupGuess | None
) -> None:
    with pytest.raises(UsageError, match=r"must be|exceed their range"):
        write_side_information(SymbolEncoder(), exponent, scale_index, guess)


def test_the_scale_is_the_cheapest_with_its_own_bits() -> None:
    integers = np.array([3, -1, 0, 2], np.int32)
    alone = parameter_bits(integers)[1]
    costs = [parameter_cost_table(k)[integers + PARAMETER_MAX].sum() for k in range(1, 64)]
    side = side_bits(5, GroupGuess(5, alone + 12))
    bits, scale_index = parameter_bits(integers, side)
    assert scale_index == 1 + int(np.argmin(costs + side)) > alone
    assert bits == pytest.approx(min(costs + side), rel=1e-12)
    assert parameter_bits(np.zeros(3, np.int32), side) == (0.0, 0)


def test_groups_are_read_with_the_guesses_they_were_written_with() -> None:
    groups = {
        name: CodedGroup(i, 5 * i + 1, np.array([i - 6] * n, np.int32))
        for i, (name, n) in enumerate(group_sizes(TINY).items())
    }
    for guesses in (NO_GUESSES, PRIOR_GUESSES, {"arm.bias": GroupGuess(1, 6)}):
        decoded = read_groups(TINY, write_groups(TINY, groups, guesses), guesses)
        for name, group in groups.items():
            found = decoded[name]
            assert (found.exponent, found.scale_index) == (group.exponent, group.scale_index)
            assert np.array_equal(found.integers, group.integers)


def group_sizes(arch: Architecture) -> dict[str, int]:
    """Parameters of each group, in the order of the file."""
    return {
        group: sum(spec.size for spec in tensor_specs(arch) if spec.group == group)
        for group in group_names(arch)
    }


# --- sizes and ranges ---------------------------------------------------------------------------


@pytest.mark.parametrize("integer", [-4096, 4096, 2**20])
def test_parameters_out_of_range(integer: int) -> None:
    quantised = random_parameters(TINY, 1, 3.0)
    quantised.integers["arm.output.bias"][1] = integer
    with pytest.raises(UsageError, match="they must be within"):
        write_parameters(TINY, quantised)


@pytest.mark.parametrize("exponent", [-1, 16])
def test_exponent_out_of_range(exponent: int) -> None:
    quantised = random_parameters(TINY, 1, 3.0)
    wrong = replace(quantised, exponents={**quantised.exponents, "arm.bias": exponent})
    with pytest.raises(UsageError, match=r"exponent of arm\.bias must be given, as 0 to 15"):
        write_parameters(TINY, wrong)


def test_missing_and_misshapen_tensors() -> None:
    quantised = random_parameters(TINY, 1, 3.0)
    name = "arm.output.weight"
    transposed = {**quantised.integers, name: quantised.integers[name].T}
    with pytest.raises(UsageError, match=r"arm\.output\.weight has shape \(3, 2\)"):
        write_parameters(TINY, replace(quantised, integers=transposed))
    missing = {key: value for key, value in quantised.integers.items() if key != name}
    with pytest.raises(UsageError, match=r"arm\.output\.weight has shape \(\)"):
        write_parameters(TINY, replace(quantised, integers=missing))


@given(st.binary(max_size=60), st.sampled_from([NO_PRIOR, ZERO_PRIOR]))
def test_random_parameter_sections_decode_or_are_corrupt(data: bytes, prior: Prior) -> None:
    try:
        decoded = read_parameters(TINY, data, prior)
    except CorruptError:
        return
    assert all(np.abs(tensor).max() <= PARAMETER_MAX for tensor in decoded.integers.values())
    assert all(0 <= exponent < 16 for exponent in decoded.exponents.values())


@pytest.mark.parametrize("scale_index", [1, 9, 30, 63])
def test_costs_are_those_of_the_range_coder(scale_index: int) -> None:
    scale = float(PARAMETER_SCALES[scale_index])
    rng = np.random.default_rng(scale_index)
    integers = rounded(rng.laplace(0, scale, 20_000))
    encoder = SymbolEncoder()
    encoder.parameters(integers, scale)
    n_bytes = len(encoder.to_bytes())
    bits = parameter_cost_table(scale_index)[integers + PARAMETER_MAX].sum()
    assert abs(n_bytes - bits / 8) <= 2


def test_cumulative_counts_are_a_proper_model() -> None:
    models = [(-4095, 4095, 0, float(scale)) for scale in PARAMETER_SCALES[1:]]
    models += [(0, 15, mean, 1.0) for mean in range(16)]
    models += [(1, 63, mean, 4.0) for mean in range(1, 64)]
    for low, high, mean, scale in models:
        counts = cumulative_counts(low, high, mean, scale)
        assert counts.shape == (high - low + 2,)
        assert (counts[0], counts[-1]) == (0, 1 << 24)
        assert np.diff(counts).min() >= 1


@settings(deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.05, 0.6, 7.0, 90.0, 3000.0]))
def test_parameter_bits_finds_the_best_scale(seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 30)), 4)
    integers = rounded(rng.laplace(0, spread, shape))
    bits, scale_index = parameter_bits(integers)
    costs = [parameter_cost_table(k)[integers + PARAMETER_MAX].sum() for k in range(64)]
    assert scale_index == int(np.argmin(costs))
    assert bits == pytest.approx(min(costs), rel=1e-12)


@pytest.mark.parametrize("prior", [NO_PRIOR, ZERO_PRIOR], ids=["uniform", "predicted"])
def test_parameter_section_has_the_size_that_parameter_bits_says(prior: Prior) -> None:
    arch = NAMED_POINTS["hop"]
    quantised = replace(random_parameters(arch, 4, 20.0), prior=prior)
    bits = float(len(group_names(arch)))
    for group, exponent in quantised.exponents.items():
        side = side_bits(exponent, prior.guesses.get(group))
        bits += parameter_bits(joined(arch, quantised, group), side)[0]
    assert abs(len(write_parameters(arch, quantised)) - bits / 8) <= 2


def random_waves(seed: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    waves = []
    for n in rng.integers(0, 60, 20):
        mean = np.clip(np.round(rng.normal(0, 10, n) * 256) / 256, -64, 63)
        index = rng.integers(0, 321, n)
        noise = rng.laplace(0, 1, n) * LATENT_SCALES[index]
        waves.append((np.clip(np.rint(mean + noise), -64, 63).astype(np.int32), mean, index))
    return waves


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_latents_come_back(seed: int) -> None:
    waves = random_waves(seed)
    reader = LatentReader(write_latents(waves))
    for symbols, mean, index in waves:
        assert np.array_equal(reader.read(mean, index), symbols)


def test_latent_section_does_not_depend_on_the_cut_into_waves() -> None:
    waves = random_waves(8)
    whole = tuple(np.concatenate(parts) for parts in zip(*waves, strict=True))
    assert write_latents([(whole[0], whole[1], whole[2])]) == write_latents(waves)


def test_latent_section_has_the_size_that_its_model_says() -> None:
    rng = np.random.default_rng(9)
    index = rng.integers(100, 250, 30_000)
    scale, mean = LATENT_SCALES[index], np.round(rng.normal(0, 4, 30_000) * 256) / 256
    symbols = np.clip(np.rint(mean + rng.laplace(0, scale)), -64, 63)
    upper, lower = symbols + 0.5 - mean, symbols - 0.5 - mean

    def below(x: np.ndarray) -> np.ndarray:
        return np.where(x < 0, 0.5 * np.exp(-abs(x) / scale), 1 - 0.5 * np.exp(-abs(x) / scale))

    probability = np.where(symbols == 63, 1, below(upper)) - np.where(
        symbols == -64, 0, below(lower)
    )
    n_bytes = len(write_latents([(symbols.astype(np.int32), mean, index)]))
    assert abs(n_bytes + np.log2(probability).sum() / 8) <= 0.001 * n_bytes


@pytest.mark.parametrize(
    ("symbol", "mean", "index", "message"),
    [
        (64, 0.0, 0, "latents are 64 to 64, they must be -64 to 63"),
        (-65, 0.0, 0, "latents are -65"),
        (0, 1 / 512, 0, "means must be multiples of 1/256"),
        (0, 64.5, 0, "within"),
        (0, math.nan, 0, "means must be"),
        (0, math.inf, 0, "means must be"),
        (0, 0.0, -1, "scale indices must be 0 to 320"),
        (0, 0.0, 321, "scale indices must be 0 to 320"),
    ],
)
def test_impossible_latents(symbol: int, mean: float, index: int, message: str) -> None:
    wave = np.array([symbol], np.int32), np.array([mean]), np.array([index])
    with pytest.raises(UsageError, match=message):
        write_latents([wave])


def test_latents_of_unequal_lengths() -> None:
    with pytest.raises(UsageError, match="equally many"):
        write_latents([(np.zeros(2, np.int32), np.zeros(2), np.zeros(3, np.int64))])
