"""The range coder against a reference with unbounded integers."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_rangecoder import TOTAL, laplace_interval, reference_decode, reference_message

from givre.bitstream.alpha_mask import N_STATES, STATE_THRESHOLDS
from givre.bitstream.rangecoder import PARAMETER_MAX, SymbolDecoder, SymbolEncoder
from givre.bitstream.scales import LATENT_SCALES, PARAMETER_SCALES
from givre.errors import CorruptError, UsageError


def random_latents(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mean = np.clip(np.round(rng.normal(0, 6, n) * 256) / 256, -64, 63)
    scale = LATENT_SCALES[rng.integers(0, len(LATENT_SCALES), n)]
    symbols = np.clip(np.rint(mean + rng.laplace(0, 1, n) * scale), -64, 63).astype(np.int32)
    return symbols, mean, scale


def encode_latents(symbols: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> bytes:
    encoder = SymbolEncoder()
    encoder.laplace(symbols, mean, scale)
    return encoder.to_bytes()


def test_latent_messages_equal_the_reference() -> None:
    rng = np.random.default_rng(1)
    for n in [*range(40), 200, 400]:
        symbols, mean, scale = random_latents(rng, n)
        intervals = [
            laplace_interval(int(s), -64, 63, float(m), float(b))
            for s, m, b in zip(symbols, mean, scale, strict=True)
        ]
        assert encode_latents(symbols, mean, scale) == reference_message(intervals)


def test_reference_decoder_reads_latent_messages() -> None:
    rng = np.random.default_rng(4)
    for n in [*range(1, 20), 150]:
        symbols, mean, scale = random_latents(rng, n)
        models = [(-64, 63, float(m), float(b)) for m, b in zip(mean, scale, strict=True)]
        assert reference_decode(encode_latents(symbols, mean, scale), models) == symbols.tolist()


def test_improbable_latents_equal_the_reference() -> None:
    rng = np.random.default_rng(2)
    for n in range(1, 40):
        symbols = rng.integers(-64, 64, n).astype(np.int32)
        mean, scale = np.full(n, 1 / 256), np.full(n, LATENT_SCALES[0])
        intervals = [laplace_interval(int(s), -64, 63, 1 / 256, float(scale[0])) for s in symbols]
        assert encode_latents(symbols, mean, scale) == reference_message(intervals)


def test_parameter_and_uniform_messages_equal_the_reference() -> None:
    rng = np.random.default_rng(3)
    for scale in PARAMETER_SCALES[1:]:
        integers = np.clip(np.rint(rng.laplace(0, scale, 20)), -4095, 4095).astype(np.int32)
        integers[:2] = -PARAMETER_MAX, PARAMETER_MAX
        value, size = int(rng.integers(0, 16)), int(rng.integers(17, 64))
        encoder = SymbolEncoder()
        encoder.uniform(value, 16)
        encoder.parameters(integers, float(scale))
        encoder.uniform(size - 1, size)
        share = TOTAL // size
        intervals = [
            (value << 20, (value + 1) << 20),
            *(laplace_interval(int(n), -4095, 4095, 0.0, float(scale)) for n in integers),
            (share * (size - 1), TOTAL),
        ]
        data = encoder.to_bytes()
        assert data == reference_message(intervals)
        decoder = SymbolDecoder(data)
        assert decoder.uniform(16) == value
        assert np.array_equal(decoder.parameters(20, float(scale)), integers)
        assert decoder.uniform(size) == size - 1


@pytest.mark.parametrize(("low", "high", "scale"), [(0, 15, 1.0), (1, 63, 4.0), (-3, 4, 0.3)])
def test_messages_of_single_integers_equal_the_reference(low: int, high: int, scale: float) -> None:
    for mean in range(low, high + 1):
        values = [low, high, mean, *range(low, high + 1, 2)]
        encoder = SymbolEncoder()
        for value in values:
            encoder.integer(value, low, high, mean, scale)
        data = encoder.to_bytes()
        assert data == reference_message(
            [laplace_interval(value, low, high, float(mean), scale) for value in values]
        )
        decoder = SymbolDecoder(data)
        assert [decoder.integer(low, high, mean, scale) for _ in values] == values


def test_golden_message() -> None:
    encoder = SymbolEncoder()
    encoder.uniform(5, 16)
    encoder.parameters(np.array([0, -3, 700], np.int32), 4.0)
    encoder.laplace(np.array([-64, 63, 1], np.int32), np.array([0.0, 62.5, 0.75]), np.ones(3))
    data = encoder.to_bytes()
    assert data.hex() == GOLDEN_MESSAGE
    decoder = SymbolDecoder(data)
    assert decoder.uniform(16) == 5
    assert decoder.parameters(3, 4.0).tolist() == [0, -3, 700]
    latents = decoder.laplace(np.array([0.0, 62.5, 0.75]), np.ones(3))
    assert latents.tolist() == [-64, 63, 1]
    assert latents.dtype == np.int32


GOLDEN_MESSAGE = "579043faaceb7073"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 300))
def test_latents_come_back_however_they_are_cut(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    symbols, mean, scale = random_latents(rng, n)
    cuts = np.sort(rng.integers(0, n + 1, 3))
    encoder = SymbolEncoder()
    for part in np.split(np.arange(n), cuts):
        encoder.laplace(symbols[part], mean[part], scale[part])
    data = encoder.to_bytes()
    assert data == encode_latents(symbols, mean, scale)
    decoder = SymbolDecoder(data)
    for part in np.split(np.arange(n), cuts[::-1] if n == 0 else [n // 3]):
        assert np.array_equal(decoder.laplace(mean[part], scale[part]), symbols[part])


def test_no_shorter_message_decodes_to_the_same_latents() -> None:
    rng = np.random.default_rng(5)
    for _ in range(300):
        symbols, mean, scale = random_latents(rng, int(rng.integers(1, 12)))
        data = encode_latents(symbols, mean, scale)
        if not data:
            continue
        prefix = int.from_bytes(data[:-1], "big")
        for value in {prefix, min(prefix + 1, 256 ** (len(data) - 1) - 1)}:
            shorter = value.to_bytes(len(data) - 1, "big").rstrip(b"\0")
            try:
                decoded = SymbolDecoder(shorter).laplace(mean, scale)
            except CorruptError:
                continue
            assert not np.array_equal(decoded, symbols)


def test_missing_bytes_read_as_zero() -> None:
    """Zeros that are left out and zeros that are there decode alike, far past the last word."""
    rng = np.random.default_rng(6)
    mean, scale = np.zeros(60), LATENT_SCALES[rng.integers(160, 320, 60)]
    for n_bytes in range(9):
        data = rng.bytes(n_bytes).rstrip(b"\0")
        end_mark = data.ljust(400, b"\0") + b"\x01"
        assert np.array_equal(
            SymbolDecoder(data).laplace(mean, scale), SymbolDecoder(end_mark).laplace(mean, scale)
        )


def test_empty_message() -> None:
    assert SymbolEncoder().to_bytes() == b""
    assert SymbolDecoder(b"").laplace(np.zeros(2), np.ones(2)).tolist() == [-64, -64]
    assert SymbolDecoder(b"").uniform(16) == 0
    first_symbols = SymbolEncoder()
    first_symbols.uniform(0, 16)
    assert first_symbols.to_bytes() == b""


def test_encoding_may_go_on_after_to_bytes() -> None:
    rng = np.random.default_rng(7)
    symbols, mean, scale = random_latents(rng, 50)
    encoder = SymbolEncoder()
    encoder.laplace(symbols[:20], mean[:20], scale[:20])
    encoder.to_bytes()
    encoder.laplace(symbols[20:], mean[20:], scale[20:])
    assert encoder.to_bytes() == encode_latents(symbols, mean, scale)


def test_models_do_not_depend_on_the_last_bits_of_the_exponential() -> None:
    """An exp that is off by 4 units in the last place yields the same counts, everywhere."""
    latent = np.arange(1, 128 * 256) / 256, LATENT_SCALES, TOTAL - 128
    parameter = np.arange(PARAMETER_MAX) + 0.5, PARAMETER_SCALES[1:], TOTAL - 8191
    exponent = np.arange(15) + 0.5, np.array([1.0]), TOTAL - 16
    scale_index = np.arange(62) + 0.5, np.array([4.0]), TOTAL - 63
    mask = np.arange(1, N_STATES) / 4, np.array([1.0]), TOTAL - 2
    for distance, scales, weight in (latent, parameter, exponent, scale_index, mask):
        for scale in scales:
            tail = 0.5 * np.exp(-distance / scale)
            below, above = tail * (1 - 2.0**-50), tail * (1 + 2.0**-50)
            for low, high in ((below, above), (1 - below, 1 - above)):
                assert np.array_equal(np.floor(weight * low), np.floor(weight * high))


def test_the_means_of_a_mask_have_exact_counts() -> None:
    """All 81 of them, against exponentials of fifty digits."""
    with localcontext() as context:
        context.prec = 50
        for k in range(-N_STATES + 1, N_STATES):
            tail = (-abs(Decimal(k)) / 4).exp() / 2
            below = tail if k >= 0 else 1 - tail
            exact = math.floor((TOTAL - 2) * below) + 1
            assert laplace_interval(0, 0, 1, 0.5 + k / 4, 1.0) == (0, exact)
            encoder = SymbolEncoder()
            for value in (0, 1):
                encoder.bits(np.array([value], np.int32), np.array([0.5 + k / 4]))
            data = encoder.to_bytes()
            assert data == reference_message([(0, exact), (exact, TOTAL)])
            assert SymbolDecoder(data).bits(np.full(2, 0.5 + k / 4)).tolist() == [0, 1]


def test_the_thresholds_of_a_mask_do_not_depend_on_the_exponential() -> None:
    with localcontext() as context:
        context.prec = 50
        exact = [2**23 * (-(Decimal(k) + Decimal("0.5")) / 4).exp() for k in range(N_STATES - 1)]
    assert STATE_THRESHOLDS.tolist() == [round(threshold) for threshold in exact]
    assert all(abs(threshold % 1 - Decimal("0.5")) > Decimal("1e-6") for threshold in exact)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(-40, 40)), max_size=200))
def test_messages_of_bits_equal_the_reference(decisions: list[tuple[bool, int]]) -> None:
    values = np.array([value for value, _ in decisions], np.int32)
    means = np.array([0.5 + k / 4 for _, k in decisions], float)
    encoder = SymbolEncoder()
    encoder.bits(values, means)
    data = encoder.to_bytes()
    assert data == reference_message(
        [laplace_interval(int(v), 0, 1, float(m), 1.0) for v, m in zip(values, means, strict=True)]
    )
    assert np.array_equal(SymbolDecoder(data).bits(means), values)
    models = [(0, 1, float(m), 1.0) for m in means]
    assert reference_decode(data, models) == values.tolist()


def test_the_exponential_of_zero_must_be_one() -> None:
    """At the mean of a latent the product is an integer, and any smaller one has a lower floor."""
    free = TOTAL - 128
    assert np.exp(-0.0) == 1
    assert math.floor(free * (0.5 * 1.0)) == free / 2
    assert math.floor(free * (0.5 * (1 - 2.0**-52))) == free / 2 - 1


def test_a_tail_of_half_a_unit_in_the_last_place_is_lost() -> None:
    """There binary64 decides the count: 1 - tail is 1, so that a tail of zero does as well."""
    for size in (16, 63, 128, 8191):
        free = TOTAL - size
        assert math.floor(free * (1 - 2.0**-54)) == free
        assert free * (2**54 - 1) // 2**54 == free - 1
        assert math.floor(free * 2.0**-54) == 0


@pytest.mark.parametrize("symbol", [-65, 64, 2**31 - 1])
def test_latents_out_of_range(symbol: int) -> None:
    with pytest.raises(UsageError, match="exceed their range"):
        SymbolEncoder().laplace(np.array([0, symbol], np.int32), np.zeros(2), np.ones(2))


@pytest.mark.parametrize("integer", [-4096, 4096])
def test_parameters_out_of_range(integer: int) -> None:
    with pytest.raises(UsageError, match="exceed their range"):
        SymbolEncoder().parameters(np.array([integer], np.int32), 1.0)


@pytest.mark.parametrize("value", [-1, 16])
def test_uniform_out_of_range(value: int) -> None:
    with pytest.raises(UsageError, match="it must be 0 to 15"):
        SymbolEncoder().uniform(value, 16)


@pytest.mark.parametrize("value", [0, 64])
def test_single_integers_out_of_range(value: int) -> None:
    with pytest.raises(UsageError, match=f"symbols of {value} to {value} exceed their range"):
        SymbolEncoder().integer(value, 1, 63, 5, 4.0)


def test_a_final_zero_byte_is_corrupt() -> None:
    with pytest.raises(CorruptError, match="ends in a zero byte"):
        SymbolDecoder(b"\x01\x00")


def test_a_point_past_the_last_symbol_is_corrupt() -> None:
    with pytest.raises(CorruptError, match="no encoder writes"):
        SymbolDecoder(b"\xff" * 12).laplace(np.zeros(3), np.ones(3))


@given(st.binary(max_size=40))
def test_random_bytes_decode_or_are_corrupt(data: bytes) -> None:
    try:
        symbols = SymbolDecoder(data).laplace(np.zeros(50), np.full(50, LATENT_SCALES[60]))
    except CorruptError:
        return
    assert symbols.shape == (50,)
    assert symbols.min() >= -64
    assert symbols.max() <= 63


def test_interrupts_pass_through(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def decode(self, *_: object) -> None:
            raise KeyboardInterrupt

    decoder = SymbolDecoder(b"")
    monkeypatch.setattr(decoder, "_decoder", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        decoder.uniform(16)


def test_a_panic_of_the_coder_is_corrupt(capfd: pytest.CaptureFixture[str]) -> None:
    """An impossible scale makes constriction panic; the panic derives from BaseException."""
    with pytest.raises(CorruptError):
        SymbolDecoder(b"\x01").laplace(np.zeros(1), np.zeros(1))
    capfd.readouterr()
