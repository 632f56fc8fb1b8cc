"""Exact decoding: the number grid, the bit budget, and the agreement of the implementations."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from exact_cases import (
    Array,
    architecture,
    extreme_latents,
    extreme_parameters,
    extreme_sums,
    plan_for,
    random_latents,
    random_parameters,
)
from torch_backend import TorchBackend

from givre.bitstream.parameters import QuantisedParameters
from givre.coder.decoder import grid_predictor, reconstruct
from givre.models.architecture import NAMED_POINTS, Architecture, tensor_specs
from givre.models.codec_model import CodecModel
from givre.models.context import context_offsets
from givre.models.exact.arithmetic import max_sum_bits
from givre.models.exact.compiled.backend import CompiledBackend
from givre.models.exact.numpy_backend import NumpyBackend, to_grid
from givre.models.geometry import grids

SIZES = [(1, 1), (7, 1), (1, 5), (5, 3), (17, 33), (65, 30)]


def test_rounding_is_half_up_and_clamped() -> None:
    unit = 2.0**-16
    x = np.array([0.5, -0.5, 1.5, -1.5, 0.49, 2.0**40, -(2.0**40)]) * unit
    assert (to_grid(x) / unit).tolist() == [1, 0, 2, -1, 0, 2.0**27, -(2.0**27)]


def test_clamp_is_at_the_activation_limit() -> None:
    assert to_grid(np.array([5000.0, -5000.0, 2048.0])).tolist() == [2048.0, -2048.0, 2048.0]


def test_every_layer_of_the_largest_architecture_fits_in_a_double() -> None:
    """With one bit more, for the half that R adds."""
    features = 14 + 12
    widest = max(2 * (40 + 16), features, 128, 15, 9 * 4, 16)
    assert max_sum_bits(widest) == 51
    assert max_sum_bits(widest) + 1 <= 53


@pytest.mark.parametrize("backend_type", [NumpyBackend, CompiledBackend, TorchBackend])
@pytest.mark.parametrize("order", [1, -1])
def test_the_largest_sums_are_exact(backend_type: type, order: int) -> None:
    """128 products near 2^43 that all but cancel: a partial sum that is rounded would show."""
    arch = Architecture(1, 0, 128, 0, n_arm_hidden=0, ups_k_size=4, ups_preconcat_k_size=1,
                        n_levels=2, n_hyper=0, n_channels=1)  # fmt: skip
    parameters = {spec.name: np.zeros(spec.shape) for spec in tensor_specs(arch)}
    largest = 2**16 - 1
    parameters["upsampling.preconcat.0.weight"][0] = largest * 2.0**-15
    parameters["synthesis.hidden.weight"][:, 0] = 4095 * 2.0**-9
    weight = parameters["synthesis.output.weight"].reshape(-1)
    weight[:] = largest * 2.0**-15
    weight[64:] *= -1
    weight[127] += 2.0**-15
    weight[:] = weight[::order].copy()
    parameters["synthesis.output.bias"][0] = -largest * 2.0**-11

    def on_grid(x: Fraction) -> Fraction:
        return Fraction((x * 65536 + Fraction(1, 2)).__floor__(), 65536)

    tap = Fraction(largest, 1 << 15)
    dense = on_grid(50 + on_grid(tap * on_grid(tap * 50)))
    hidden = on_grid(dense * Fraction(4095, 1 << 9))
    assert 1900 < hidden < 2048
    assert hidden.denominator == 1 << 16
    assert 64 * largest * hidden * 65536 > 1 << 48  # in units of 2^-31
    expected = on_grid(hidden / (1 << 15) - Fraction(largest, 1 << 11))
    backend = backend_type(arch, parameters)
    main = [np.full((3, 4), 50.0), np.zeros((2, 2))]
    found = backend.normalised_rows(main[0], backend.stack(main), 0, 3)
    assert (found == float(expected)).all()


def arm_by_fractions(p: dict[str, Array], context: Array, n_hidden: int) -> tuple[Fraction, int]:
    """The ARM of one latent in rational arithmetic: no rounding but the one that is asked for."""

    def to_grid_exactly(x: Fraction) -> Fraction:
        rounded = Fraction((x * 65536 + Fraction(1, 2)).__floor__(), 65536)
        return max(min(rounded, Fraction(2048)), Fraction(-2048))

    def matmul(weight: Array, x: list[Fraction]) -> list[Fraction]:
        return [
            sum((Fraction(w) * v for w, v in zip(row, x, strict=True)), Fraction())
            for row in weight
        ]

    c = [Fraction(v) for v in context]
    h = c
    for i in range(n_hidden):
        total = matmul(p[f"arm.hidden.{i}.weight"], h)
        bias = p[f"arm.hidden.{i}.bias"]
        h = [
            to_grid_exactly(max(Fraction(), t + Fraction(b) + v))
            for t, b, v in zip(total, bias, h, strict=True)
        ]
    trunk = matmul(p["arm.output.weight"], h)
    side = matmul(p["arm.stabiliser.weight"], c)
    out = [
        to_grid_exactly(t + Fraction(b) + s)
        for t, b, s in zip(trunk, p["arm.output.bias"], side, strict=True)
    ]
    mean = Fraction((out[0] * 256 + Fraction(1, 2)).__floor__(), 256)
    mean = max(min(mean, Fraction(16383, 256)), Fraction(-64))
    index = ((out[1] + 1) * 32 + Fraction(1, 2)).__floor__()
    return mean, max(0, min(320, index))


def cases(arch: Architecture) -> list[QuantisedParameters]:
    extremes = [extreme_parameters(arch, q, seed=q) for q in (0, 7, 15)]
    extremes += [extreme_sums(arch, e, seed=e) for e in (4, 15)]
    return [*extremes, random_parameters(arch, seed=1)]


@pytest.mark.parametrize("name", list(NAMED_POINTS))
def test_arm_against_rational_arithmetic_at_the_extremes(name: str) -> None:
    arch = architecture(name)
    rng = np.random.default_rng(0)
    for quantised in cases(arch):
        p = quantised.values(arch)
        context = rng.choice([-64.0, 63.0], (6, arch.context_width))
        context[:, arch.n_spatial :] = rng.choice([-2048.0, 2048 - 2.0**-16], (6, arch.n_features))
        mean, scale = NumpyBackend(arch, p).arm(context)
        for row in range(len(context)):
            expected = arm_by_fractions(p, context[row], arch.n_arm_hidden)
            assert (Fraction(mean[row]), int(scale[row])) == expected


def decoded(
    backend_type: type,
    arch: Architecture,
    q: QuantisedParameters,
    latents: list[Array],
    *,
    threads: int = 1,
) -> tuple[list[Array], list[Array], Array]:
    """Means and scale indices of all latents in coding order, and the samples."""
    backend = backend_type(arch, q.values(arch))
    height, width = latents[0].shape
    all_grids = grids(arch, width, height)
    means, scales = [], []
    for i in reversed(range(len(all_grids))):
        predictor = grid_predictor(backend, arch, all_grids, i, latents[i + 1 :])
        flat = latents[i].reshape(-1).astype(np.int32)
        for wave in predictor.waves():
            mean, scale = predictor.predict(*wave)
            predictor.fill(*wave, flat[predictor.indices(*wave)])
            means.append(mean.copy())
            scales.append(scale.copy())
        np.testing.assert_array_equal(predictor.grid(), latents[i])
    return means, scales, reconstruct(backend, plan_for(arch, width, height), latents, threads)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["lop", "hop"])
def test_numpy_and_torch_agree_to_the_bit(name: str, size: tuple[int, int]) -> None:
    arch = architecture(name)
    for n, quantised in enumerate(cases(arch)):
        make = extreme_latents if n < 5 else random_latents
        latents = make(arch, *size, seed=n)
        ours = decoded(NumpyBackend, arch, quantised, latents)
        theirs = decoded(TorchBackend, arch, quantised, latents)
        for a, b in zip(
            (*ours[0], *ours[1], ours[2]), (*theirs[0], *theirs[1], theirs[2]), strict=True
        ):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_other_channel_counts_agree_too(channels: int) -> None:
    arch = architecture("mop", channels=channels)
    latents = random_latents(arch, 21, 13, seed=3)
    quantised = random_parameters(arch, seed=4)
    ours = decoded(NumpyBackend, arch, quantised, latents)[2]
    assert ours.shape == (13, 21, channels)
    assert len(np.unique(ours)) > 2
    np.testing.assert_array_equal(ours, decoded(TorchBackend, arch, quantised, latents)[2])


def test_bands_and_threads_do_not_change_the_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    arch = architecture("hop")
    latents = random_latents(arch, 70, 61, seed=5)
    quantised = random_parameters(arch, seed=6)
    whole = decoded(NumpyBackend, arch, quantised, latents)[2]
    for pixels in (70, 210, 1000):
        monkeypatch.setattr("givre.coder.decoder.BAND_PIXELS", pixels)
        for threads in (1, 2, 3):
            cut = decoded(NumpyBackend, arch, quantised, latents, threads=threads)[2]
            np.testing.assert_array_equal(cut, whole)


def test_wavefront_order_equals_raster_order() -> None:
    """Each latent's prediction is the same when the grid is walked row by row."""
    arch = architecture("hop")
    width, height = 19, 14
    latents = random_latents(arch, width, height, seed=7)
    backend = NumpyBackend(arch, random_parameters(arch, seed=8).values(arch))
    all_grids = grids(arch, width, height)
    for i, grid in enumerate(all_grids):
        predictor = grid_predictor(backend, arch, all_grids, i, latents[i + 1 :])
        flat = latents[i].reshape(-1).astype(np.int32)
        mean, scale = np.zeros(grid.size), np.zeros(grid.size, int)
        for wave in predictor.waves():
            at = predictor.indices(*wave)
            mean[at], scale[at] = predictor.predict(*wave)
            predictor.fill(*wave, flat[at])
        features = np.zeros((arch.n_features, -(-grid.height // 2), -(-grid.width // 2)))
        if not grid.hyper and grid.level < arch.n_ifce:
            features = backend.features(all_grids[i + 1 :], latents[i + 1 :], grid.level)
        for y in range(grid.height):
            for x in range(grid.width):
                context = [
                    latents[i][y + dy, x + dx] if y + dy >= 0 and 0 <= x + dx < grid.width else 0.0
                    for dy, dx in context_offsets(arch.n_spatial)
                ]
                context += features[:, y // 2, x // 2].tolist()
                one_mean, one_scale = backend.arm(np.array([context]))
                at_raster = y * grid.width + x
                assert (mean[at_raster], scale[at_raster]) == (one_mean[0], one_scale[0])


def test_exact_decoding_is_close_to_the_fitted_model() -> None:
    """The exact decoder computes what was fitted, up to the rounding of its activations."""
    arch = architecture("hop")
    width, height = 37, 29
    latents = random_latents(arch, width, height, seed=9)
    quantised = random_parameters(arch, seed=10)
    model = CodecModel(arch, width, height).double().eval()
    state = {name: torch.from_numpy(value) for name, value in quantised.values(arch).items()}
    model.load_state_dict(state)
    with torch.no_grad():
        normalised = model.normalised([torch.from_numpy(y) for y in latents])[0].numpy()
    backend = NumpyBackend(arch, quantised.values(arch))
    main = [y for g, y in zip(grids(arch, width, height), latents, strict=True) if not g.hyper]
    exact = backend.normalised_rows(main[0], backend.stack(main), 0, height)
    np.testing.assert_allclose(exact, np.clip(normalised, -2048, 2048), atol=0.05, rtol=1e-3)
