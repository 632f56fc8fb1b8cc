"""The whole codec on small pictures: rates, reproducibility, robustness."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from fits import (
    context_of,
    encode_fit,
    encode_samples,
    overfit,
    plain,
    start_fit,
    target_of,
)
from numpy.typing import NDArray

import givre
from givre.bitstream.container import unpack
from givre.bitstream.parameters import QuantisedParameters, read_parameters
from givre.bitstream.priors import load_prior
from givre.coder.decoder import decode_samples
from givre.coder.encoder import encode_fit as encode_saved_fit
from givre.coder.encoder import write_fit
from givre.coder.fitting.checkpoint import Fit
from givre.coder.fitting.settings import FitSettings
from givre.coder.inspection.file_info import file_info
from givre.coder.psnr import mean_squared_error, psnr_db
from givre.coder.report import Encoded, check_collapse
from givre.errors import BitstreamError, CheckpointError, CollapseError, GivreError, ImageError
from givre.models.architecture import tensor_specs
from givre.models.codec_model import CodecModel
from givre.models.filters.initial import initial_half

Samples = NDArray[np.uint8]
LOP = FitSettings(lmbda=1e-3, steps=40, complexity="lop", threads=1)


def picture(width: int, height: int, channels: int = 3, seed: int = 0) -> Samples:
    """Smooth shapes, an edge and a little noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    planes = [120 + 60 * np.sin(x / 9 + c) * np.cos(y / 7) + 50 * (x > y) for c in range(channels)]
    noisy = np.stack(planes, axis=2) + rng.normal(0, 3, (height, width, channels))
    return np.clip(noisy, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def fitted() -> tuple[Samples, Fit, Encoded]:
    samples = picture(64, 48)
    fit = overfit(samples, replace(LOP, steps=150))
    return samples, fit, encode_fit(fit, samples)


def test_report_says_what_the_file_is(fitted: tuple[Samples, Fit, Encoded]) -> None:
    samples, _, encoded = fitted
    report, data = encoded.report, encoded.data
    decoded = decode_samples(data)
    assert report.bytes == len(data)
    assert report.bpp == 8 * len(data) / (64 * 48)
    assert report.psnr_db == psnr_db(mean_squared_error(samples, decoded))
    sections = report.header_bytes + report.parameter_bytes + report.latent_bytes
    assert sections == len(data)
    assert report.header_bytes <= 28
    assert report.psnr_db > 26


def test_coded_size_of_the_latents_is_the_models_estimate(
    fitted: tuple[Samples, Fit, Encoded],
) -> None:
    """Within 1 % or 16 bytes of the entropy model in floating point, its parameters quantised."""
    _, fit, encoded = fitted
    container = unpack(encoded.data)
    arch = container.header.architecture
    model = CodecModel(arch, fit.width, fit.height)
    prior = load_prior(arch, container.header.prior)
    values = read_parameters(arch, container.parameters(0), prior).values(arch)
    model.load_state_dict({name: torch.from_numpy(v).float() for name, v in values.items()})
    with torch.no_grad():
        bits = float(model.rate([latent.float() for latent in fit.latents]))
    coded = len(container.tiles[0].latents)
    assert abs(coded - bits / 8) <= max(0.01 * coded, 16)


@pytest.mark.slow
def test_quantising_the_parameters_costs_little() -> None:
    """Means over six seeds: a single one may trade 0.5 dB for bits, or gain on both."""
    samples = picture(64, 48)
    falls, latents, losses = [], [], []
    for seed in range(6):
        fit = overfit(samples, replace(LOP, steps=150, seed=seed))
        report = encode_fit(fit, samples).report
        bpp = 8 * report.latent_bytes / (64 * 48)
        falls.append(fit.psnr_db - report.psnr_db)
        latents.append(bpp / fit.bpp)
        before = 10 ** (-fit.psnr_db / 10) + LOP.lmbda * fit.bpp
        losses.append((10 ** (-report.psnr_db / 10) + LOP.lmbda * bpp) / before)
    assert np.mean(falls) < 0.3
    assert np.mean(latents) < 1.1
    assert np.mean(losses) < 1.05


def test_same_seed_same_bytes_other_seed_other_bytes() -> None:
    samples = picture(31, 22)
    first = encode_samples(samples, replace(LOP, steps=12)).data
    assert encode_samples(samples, replace(LOP, steps=12)).data == first
    assert encode_samples(samples, replace(LOP, steps=12, seed=1)).data != first


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2), (17, 33), (63, 65)])
@pytest.mark.parametrize("steps", [1, 3])
def test_odd_sizes_and_any_number_of_steps(size: tuple[int, int], steps: int) -> None:
    samples = picture(*size)
    encoded = encode_samples(samples, replace(LOP, steps=steps))
    decoded = decode_samples(encoded.data)
    assert decoded.shape == samples.shape
    assert encoded.report.steps == steps
    # even one step starts from the mean colour, not from black
    assert encoded.report.psnr_db > 9


@pytest.mark.parametrize(
    ("channels", "complexity"),
    [
        (1, "lop"),
        (2, "lop"),
        (3, "lop"),
        (4, "lop"),
        pytest.param(1, "hop", marks=pytest.mark.slow),
        pytest.param(4, "hop", marks=pytest.mark.slow),
    ],
)
def test_channel_counts(channels: int, complexity: str) -> None:
    samples = picture(40, 24, channels)
    settings = replace(LOP, steps=60, complexity=complexity)
    encoded = encode_samples(samples, settings)
    assert decode_samples(encoded.data).shape == samples.shape
    assert encoded.report.psnr_db > 17
    info = file_info(encoded.data)
    assert (info["channels"], info["complexity"], info["crc_ok"]) == (channels, complexity, True)


def test_constant_images_are_exact() -> None:
    samples = np.full((20, 30, 3), (12, 200, 255), np.uint8)
    encoded = encode_samples(samples, replace(LOP, steps=2))
    np.testing.assert_array_equal(decode_samples(encoded.data), samples)


@pytest.mark.slow
def test_a_bright_page_does_not_collapse() -> None:
    """White paper with black lines, where a hard clamp in the loss ends in plain white."""
    samples = np.full((64, 96, 3), 255, np.uint8)
    samples[8::12, 8:88] = 0
    samples[9:60:12, 20:40] = (200, 30, 30)
    encoded = encode_samples(samples, replace(LOP, lmbda=4e-4, steps=150))
    constant = np.broadcast_to(np.round(samples.mean((0, 1))), samples.shape).astype(np.uint8)
    assert encoded.report.psnr_db > psnr_db(mean_squared_error(samples, constant)) + 6


def test_a_collapse_is_not_called_a_success(fitted: tuple[Samples, Fit, Encoded]) -> None:
    samples, fit, _ = fitted
    specs = tensor_specs(fit.architecture)
    zeros = {spec.name: np.zeros(spec.shape, np.int32) for spec in specs}
    dead = QuantisedParameters(zeros, {spec.group: 0 for spec in specs})
    with pytest.raises(CollapseError, match="no better than a constant image"):
        check_collapse(write_fit(fit, context_of(fit, samples), dead).report, plain(samples))


def test_a_resumed_fit_ends_where_an_uninterrupted_one_does(tmp_path) -> None:
    samples = picture(24, 20)
    settings = replace(LOP, steps=30)
    whole = overfit(samples, settings)
    path = tmp_path / "half.fit"

    def stop(progress) -> None:
        if progress.step >= 13:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("givre.coder.fitting.progress._INTERVAL_SECONDS", -1.0)
        with pytest.raises(KeyboardInterrupt):
            overfit(samples, settings, on_progress=stop, checkpoint=path)
    half = Fit.load(path)
    assert (half.steps, half.finished) == (13, False)
    resumed = overfit(samples, settings, resume=half)
    assert encode_fit(resumed, samples).data == encode_fit(whole, samples).data


@pytest.mark.parametrize("name", [None, "bilinear", "kaiser"])
def test_a_fit_starts_from_the_named_filters(name: str | None) -> None:
    _, trainer = start_fit(picture(24, 20), replace(LOP, prior=0, ups_init=name))
    for layer in trainer.model.upsampling.transposed:
        assert layer.weight.tolist() == pytest.approx(initial_half(name, 8), abs=1e-7)


@pytest.mark.slow
def test_initial_filters_change_the_fit_and_none_means_bicubic() -> None:
    samples, settings = picture(24, 20), replace(LOP, steps=12, prior=0)
    data = {
        name: encode_samples(samples, replace(settings, ups_init=name)).data
        for name in (None, "bilinear", "bicubic", "kaiser")
    }
    assert data[None] == data["bicubic"]
    assert len(set(data.values())) == 3


def test_a_checkpoint_without_the_newer_settings_loads(
    tmp_path, fitted: tuple[Samples, Fit, Encoded]
) -> None:
    path = tmp_path / "x.fit"
    fitted[1].save(path)
    with safetensors.safe_open(str(path), framework="pt") as file:
        header = json.loads(file.metadata()["givre"])
    del header["settings"]["ups_init"]
    tensors = safetensors.torch.load_file(path)
    path.write_bytes(safetensors.torch.save(tensors, {"givre": json.dumps(header)}))
    loaded = Fit.load(path)
    assert loaded.settings == fitted[1].settings
    assert encode_fit(loaded, fitted[0]).data == fitted[2].data


def test_a_checkpoint_of_another_image_is_refused(fitted: tuple[Samples, Fit, Encoded]) -> None:
    _, fit, _ = fitted
    with pytest.raises(CheckpointError, match="another image"):
        encode_fit(fit, picture(64, 48, seed=1))


def test_a_loaded_fit_needs_the_image(tmp_path, fitted: tuple[Samples, Fit, Encoded]) -> None:
    samples, fit, encoded = fitted
    fit.save(tmp_path / "x.fit")
    loaded = Fit.load(tmp_path / "x.fit")
    with pytest.raises(GivreError, match="give the picture"):
        encode_saved_fit(loaded)
    assert encode_fit(loaded, samples).data == encoded.data


def test_damaged_checkpoints_are_refused(tmp_path, fitted: tuple[Samples, Fit, Encoded]) -> None:
    path = tmp_path / "x.fit"
    fitted[1].save(path)
    data = path.read_bytes()
    for damaged in (b"", data[:100], data[:-7], b"x" * 200, data[:40] + b"\xff" + data[41:]):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            Fit.load(path)


@pytest.mark.slow
def test_more_steps_cost_less() -> None:
    samples, settings = picture(48, 48), replace(LOP, prior=0)
    losses = [encode_samples(samples, replace(settings, steps=n)).report.loss for n in (1, 25, 200)]
    assert all(after < 0.8 * before for before, after in pairwise(losses))


@pytest.mark.slow
def test_a_larger_lambda_gives_a_smaller_file() -> None:
    samples = picture(48, 48)
    sizes = [
        encode_samples(samples, replace(LOP, steps=80, lmbda=lmbda)).report.bytes
        for lmbda in (1e-1, 3e-3, 1e-4)
    ]
    assert sizes[0] < sizes[1] < sizes[2]


def test_every_flipped_bit_and_every_missing_byte_is_an_error() -> None:
    data = encode_samples(picture(16, 12), replace(LOP, steps=5)).data
    rng = np.random.default_rng(0)
    for bit in rng.choice(8 * len(data), 300, replace=False).tolist():
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BitstreamError):
            decode_samples(bytes(damaged))
    for length in range(len(data)):
        with pytest.raises(BitstreamError):
            decode_samples(data[:length])
    for foreign in (data + b"\0", b"\x89PNG\r\n\x1a\n" + data, b"", b"\0" * 100):
        with pytest.raises(BitstreamError):
            decode_samples(foreign)


def test_damage_that_a_new_checksum_hides_is_found_in_the_pixels() -> None:
    """A file whose sections were altered and whose CRC was made anew: error or wrong pixels."""
    import zlib

    samples = picture(16, 12)
    data = encode_samples(samples, replace(LOP, steps=60)).data
    container = unpack(data)
    start = len(data) - 4 - container.header.latent_bytes
    rng = np.random.default_rng(1)
    for _ in range(40):
        damaged = bytearray(data[:-4])
        damaged[int(rng.integers(start, len(damaged)))] ^= int(rng.integers(1, 256))
        damaged += zlib.crc32(damaged).to_bytes(4, "little")
        with pytest.raises(BitstreamError):
            decode_samples(bytes(damaged))


def test_samples_of_another_kind_are_refused() -> None:
    for bad in (
        np.zeros((4, 4, 3), np.uint16),
        np.zeros((4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ):
        with pytest.raises(ImageError):
            target_of(bad)


def test_python_interface_round_trip() -> None:
    samples = picture(20, 16)
    data = givre.encode(samples, lmbda=1e-3, steps=4, complexity="lop", threads=1)
    image = givre.decode(data)
    assert (image.mode, image.size) == ("RGB", (20, 16))
    np.testing.assert_array_equal(np.asarray(image), decode_samples(data))
    assert givre.info(data)["bytes"] == len(data)
    fit = givre.overfit(samples, lmbda=1e-3, steps=4, complexity="lop", threads=1)
    assert fit.to_bytes() == data
    assert fit.psnr == fit.psnr_db


@pytest.mark.parametrize(
    "bad",
    [{"lmbda": 0.0}, {"lmbda": float("nan")}, {"steps": 0}, {"complexity": "max"}, {"seed": -1},
     {"threads": -1}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(GivreError, match="must be"):
        FitSettings(**bad)  # type: ignore[arg-type]


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(GivreError, match="try cpu"):
        overfit(picture(8, 8), replace(LOP, device="abacus"))
