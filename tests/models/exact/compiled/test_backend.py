"""Exact decoding in compiled code against NumPy, to the bit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from exact_cases import (
    Array,
    architecture,
    extreme_latents,
    extreme_parameters,
    extreme_sums,
    random_latents,
    random_parameters,
)
from numpy.typing import NDArray

from givre.bitstream.latents import LatentReader, write_latents
from givre.bitstream.parameters import QuantisedParameters
from givre.bitstream.rangecoder import (
    SymbolDecoder,
    SymbolEncoder,
    initial_state,
    message_words,
)
from givre.bitstream.scales import LATENT_SCALES
from givre.errors import CorruptError
from givre.models.architecture import NAMED_POINTS, Architecture
from givre.models.context import wavefront_step
from givre.models.exact.compiled.backend import CompiledBackend
from givre.models.exact.compiled.range_decoder import decode_symbols
from givre.models.exact.compiled.synthesis import TILE_COLUMNS, TILE_ROWS
from givre.models.exact.numpy_backend import NumpyBackend
from givre.models.exact.wavefront import WavePredictor
from givre.models.geometry import Grid, grids

# (width, height)
SIZES = [(1, 1), (7, 1), (1, 7), (3, 5), (33, 17), (63, 65), (130, 70)]

CUSTOM = {
    "smallest": Architecture(1, 0, 1, 0, n_arm_hidden=0, ups_k_size=4, ups_preconcat_k_size=1,
                             n_levels=2, n_hyper=0, n_channels=1),
    "largest": Architecture(40, 16, 128, 4, n_arm_hidden=4, ups_k_size=16,
                            ups_preconcat_k_size=15, n_levels=6, n_hyper=3, n_channels=4),
    "uneven": Architecture(9, 1, 5, 3, n_arm_hidden=1, ups_k_size=6, ups_preconcat_k_size=5,
                           n_levels=3, n_hyper=0, n_channels=2),
    "only features": Architecture(5, 3, 13, 1, n_arm_hidden=3, ups_k_size=10,
                                  ups_preconcat_k_size=3, n_levels=4, n_hyper=1),
}  # fmt: skip

Case = tuple[QuantisedParameters, list[Array]]


def cases(arch: Architecture, size: tuple[int, int]) -> list[Case]:
    """Parameters and latents at the ends of their ranges, and such as a fit gives."""
    found = [
        (extreme_parameters(arch, q, seed=q), extreme_latents(arch, *size, seed=q))
        for q in (0, 7, 15)
    ]
    found += [
        (extreme_sums(arch, e, seed=e), extreme_latents(arch, *size, seed=e)) for e in (4, 15)
    ]
    return [*found, (random_parameters(arch, seed=1), random_latents(arch, *size, seed=2))]


def main_grids(arch: Architecture, size: tuple[int, int], latents: list[Array]) -> list[Array]:
    return [y for grid, y in zip(grids(arch, *size), latents, strict=True) if not grid.hyper]


def has_features(arch: Architecture, grid: Grid) -> bool:
    return not grid.hyper and grid.level < arch.n_ifce


def check_latents(arch: Architecture, size: tuple[int, int], case: Case) -> None:
    """Features, means and scale indices of every grid."""
    parameters, latents = case[0].values(arch), case[1]
    reference, compiled = NumpyBackend(arch, parameters), CompiledBackend(arch, parameters)
    all_grids = grids(arch, *size)
    for i, grid in enumerate(all_grids):
        features = None
        if has_features(arch, grid):
            coarser = all_grids[i + 1 :], latents[i + 1 :]
            features = reference.features(*coarser, grid.level)
            np.testing.assert_array_equal(compiled.features(*coarser, grid.level), features)
        theirs = WavePredictor(reference, arch, grid.height, grid.width, features)
        ours = compiled.predictor(grid.height, grid.width, features)
        assert list(ours.waves()) == list(theirs.waves())
        flat = latents[i].reshape(-1).astype(np.int32)
        for wave in theirs.waves():
            at = theirs.indices(*wave)
            np.testing.assert_array_equal(ours.indices(*wave), at)
            expected, got = theirs.predict(*wave), ours.predict(*wave)
            np.testing.assert_array_equal(got[0], expected[0])
            np.testing.assert_array_equal(got[1], expected[1])
            assert got[1].dtype == np.int64
            theirs.fill(*wave, flat[at])
            ours.fill(*wave, flat[at])
        np.testing.assert_array_equal(ours.grid(), latents[i])


def check_pixels(arch: Architecture, size: tuple[int, int], case: Case) -> None:
    """The representation, the normalised samples and the samples."""
    parameters, main = case[0].values(arch), main_grids(arch, size, case[1])
    reference, compiled = NumpyBackend(arch, parameters), CompiledBackend(arch, parameters)
    stack = reference.stack(main)
    np.testing.assert_array_equal(compiled.stack(main), stack)
    height = size[1]
    normalised = reference.normalised_rows(main[0], stack, 0, height)
    ours = compiled.normalised_rows(main[0], stack, 0, height)
    np.testing.assert_array_equal(ours, normalised)
    low = np.arange(3.0, 3 + arch.n_channels)
    for span in (250 - 2 * low, 1020 - 2 * low, 65535 - low):
        column = low[:, None, None], span[:, None, None]
        samples = column[0] + np.floor(column[1] * np.clip(normalised, 0, 1) + 0.5)
        for backend in (compiled, reference):
            found = backend.samples_rows(main[0], stack, 0, height, low, span)
            assert found.dtype == np.uint16
            np.testing.assert_array_equal(found, np.moveaxis(samples, 0, 2))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", list(NAMED_POINTS))
def test_named_architectures_equal_numpy(name: str, size: tuple[int, int]) -> None:
    arch = architecture(name)
    for case in cases(arch, size):
        check_latents(arch, size, case)
        check_pixels(arch, size, case)


@pytest.mark.parametrize("size", [(1, 1), (33, 17), (18, 40)], ids=str)
@pytest.mark.parametrize("name", list(CUSTOM))
def test_custom_architectures_equal_numpy(name: str, size: tuple[int, int]) -> None:
    arch = CUSTOM[name]
    for case in cases(arch, size):
        check_latents(arch, size, case)
        check_pixels(arch, size, case)


@pytest.mark.parametrize("n_spatial", range(1, 41))
def test_every_context_equals_numpy_in_narrow_and_wide_grids(n_spatial: int) -> None:
    """Narrow grids have waves without a pixel, and ones that the ring must not mix up."""
    arch = replace(architecture("lop", levels=2), n_spatial=n_spatial)
    for size in ((1, 90), (2, 80), (4, 70), (90, 3)):
        check_latents(arch, size, (random_parameters(arch, 3), random_latents(arch, *size, 4)))
    assert 1 <= wavefront_step(n_spatial) <= 5


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["lop", "hop"])
def test_other_channel_counts_equal_numpy(name: str, channels: int) -> None:
    arch = architecture(name, channels=channels)
    size = (67, 41)
    for case in cases(arch, size):
        check_pixels(arch, size, case)


@pytest.mark.parametrize("residual", range(5))
def test_tiles_and_bands_leave_no_seam(residual: int) -> None:
    """Images larger than a tile, by one row and column and more, cut in bands of all kinds."""
    arch = replace(architecture("lop"), n_residual=residual)
    quantised = random_parameters(arch, seed=residual)
    parameters = quantised.values(arch)
    reference, compiled = NumpyBackend(arch, parameters), CompiledBackend(arch, parameters)
    for size in ((TILE_COLUMNS + 1, TILE_ROWS + 1), (2 * TILE_COLUMNS + 3, 2 * TILE_ROWS - 1)):
        latents = random_latents(arch, *size, seed=5)
        main = main_grids(arch, size, latents)
        stack = reference.stack(main)
        whole = reference.normalised_rows(main[0], stack, 0, size[1])
        for rows in (1, 7, TILE_ROWS, size[1]):
            for first in range(0, size[1], rows):
                last = min(first + rows, size[1])
                band = compiled.normalised_rows(main[0], stack, first, last)
                np.testing.assert_array_equal(band, whole[:, first:last])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_do_not_change_the_samples(threads: int) -> None:
    arch = architecture("hop")
    size = (130, 70)
    parameters = random_parameters(arch, seed=6).values(arch)
    main = main_grids(arch, size, random_latents(arch, *size, seed=7))
    backend = CompiledBackend(arch, parameters)
    stack, low, span = backend.stack(main), np.zeros(3), np.full(3, 255.0)
    whole = backend.samples_rows(main[0], stack, 0, 70, low, span)
    assert len(np.unique(whole)) > 100

    def band(first: int) -> Array:
        return backend.samples_rows(main[0], stack, first, min(first + 9, 70), low, span)

    with ThreadPoolExecutor(threads) as pool:
        for _ in range(5):
            bands = list(pool.map(band, range(0, 70, 9)))
            np.testing.assert_array_equal(np.concatenate(bands), whole)


@pytest.mark.parametrize("name", list(NAMED_POINTS))
def test_arm_equals_numpy_far_outside_what_a_fit_gives(name: str) -> None:
    arch = architecture(name)
    rng = np.random.default_rng(0)
    limit = 2048.0
    for quantised, _ in cases(arch, (1, 1)):
        parameters = quantised.values(arch)
        context = rng.choice([-64.0, 63.0], (200, arch.context_width))
        shape = (len(context), arch.n_features)
        context[:, arch.n_spatial :] = rng.choice([-limit, limit - 2.0**-16, 2.0**-16], shape)
        expected = NumpyBackend(arch, parameters).arm(context)
        got = CompiledBackend(arch, parameters).arm(context)
        np.testing.assert_array_equal(got[0], expected[0])
        np.testing.assert_array_equal(got[1], expected[1])


def test_a_whole_grid_is_decoded_from_its_bytes() -> None:
    arch = architecture("mop")
    parameters = random_parameters(arch, seed=8).values(arch)
    width, height = 45, 38
    latent = random_latents(arch, width, height, seed=9)[0]
    flat = latent.reshape(-1).astype(np.int32)
    backend = CompiledBackend(arch, parameters)
    coded = []
    writer = WavePredictor(NumpyBackend(arch, parameters), arch, height, width, None)
    for wave in writer.waves():
        symbols = flat[writer.indices(*wave)]
        coded.append((symbols, *writer.predict(*wave)))
        writer.fill(*wave, symbols)
    data = write_latents(coded)
    at_once = backend.predictor(height, width, None)
    at_once.decode(LatentReader(data))
    np.testing.assert_array_equal(at_once.grid(), latent)
    reader = LatentReader(data)
    stepwise = backend.predictor(height, width, None)
    for wave in stepwise.waves():
        stepwise.fill(*wave, reader.read(*stepwise.predict(*wave)))
    np.testing.assert_array_equal(stepwise.grid(), latent)


def compiled_symbols(
    data: bytes, mean: Array, scale: Array, calls: int = 1
) -> tuple[NDArray[np.int32], bool]:
    """All symbols of a message, decoded in so many calls, and whether none was refused."""
    words = message_words(data)
    state, found = initial_state(words), []
    for means, scales in zip(
        np.array_split(mean, calls), np.array_split(scale, calls), strict=True
    ):
        symbols = np.zeros(len(means), np.int32)
        if not decode_symbols(words, state, means, scales, symbols, len(means)):
            return np.concatenate([*found, symbols]), False
        found.append(symbols)
    return np.concatenate(found), True


def models(n: int, seed: int) -> tuple[Array, Array]:
    """Every scale, with means over the whole range and at its ends."""
    rng = np.random.default_rng(seed)
    mean = rng.integers(-64 * 256, 64 * 256, n) / 256
    mean[rng.random(n) < 0.3] = rng.choice([-64.0, -0.5, 0.0, 0.5, 63.5, 63.99609375])
    return mean, LATENT_SCALES[rng.permutation(np.arange(n) % len(LATENT_SCALES))]


def test_compiled_range_decoder_reads_what_was_written() -> None:
    """Likely symbols, and any symbols, however unlikely."""
    rng = np.random.default_rng(1)
    n = 40_000
    mean, scale = models(n, seed=2)
    likely = np.rint(mean + scale * rng.laplace(0, 1, n))
    for values in (likely, rng.integers(-64, 64, n), rng.choice([-64, 63], n)):
        symbols = np.clip(values, -64, 63).astype(np.int32)
        encoder = SymbolEncoder()
        encoder.laplace(symbols, mean, scale)
        data = encoder.to_bytes()
        for calls in (1, 7):
            found, good = compiled_symbols(data, mean, scale, calls)
            assert good
            np.testing.assert_array_equal(found, symbols)


@pytest.mark.parametrize("seed", range(30))
def test_compiled_range_decoder_reads_garbage_as_constriction_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = rng.bytes(int(rng.integers(0, 400))).rstrip(b"\0")
    if seed == 0:
        data = b"\xff" * 100
    mean, scale = models(500, seed)
    found, good = compiled_symbols(data, mean, scale)
    try:
        expected = SymbolDecoder(data).laplace(mean, scale)
    except CorruptError:
        assert not good
    else:
        assert good
        np.testing.assert_array_equal(found, expected)


def test_compiled_range_decoder_refuses_what_no_encoder_writes() -> None:
    mean, scale = models(10, seed=3)
    assert compiled_symbols(b"\xff" * 12, mean, scale)[1] is False
    with pytest.raises(CorruptError):
        SymbolDecoder(b"\xff" * 12).laplace(mean, scale)
