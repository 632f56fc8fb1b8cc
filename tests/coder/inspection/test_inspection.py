"""The insides of files: bits of each latent, filters, upsampled stack, numbers and pictures."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from places import CONFORMANCE
from torch_backend import TorchBackend

import givre
from givre.bitstream.container import unpack
from givre.bitstream.latent_cost import latent_bits
from givre.bitstream.latents import write_latents
from givre.bitstream.parameters import read_parameters
from givre.bitstream.scales import LATENT_SCALES
from givre.bitstream.tiling import Rectangle
from givre.coder.coded_tile import coded_latents
from givre.coder.decoder import decode_samples, plan_of
from givre.coder.inspection.inspection import Inspection, inspect_file
from givre.coder.inspection.learned_filters import InspectedStage, classical_kernels
from givre.coder.inspection.plots import filters_figure, latents_figure, reduced
from givre.errors import CorruptError, LimitError, OutputError, UnsupportedError, UsageError
from givre.inspected_file import InspectedFile
from givre.models.context import wavefront_step
from givre.models.exact.numpy_backend import NumpyBackend, preconcat_pass
from givre.models.exact.wavefront import waves
from givre.scripts.main import main


def stream(name: str) -> bytes:
    return (CONFORMANCE / f"{name}.givre").read_bytes()


ALL_STREAMS = sorted(path.stem for path in CONFORMANCE.glob("*.givre"))
TILED = [name for name in ALL_STREAMS if unpack(stream(name)).header.tiling is not None]
STREAMS = [name for name in ALL_STREAMS if name not in TILED]
SOME_STREAMS = ["custom-30x22", "fitted-hop-32x24x3", "random-vhop-25x25x4", "random-hop-1x5x1"]
FITTED = "fitted-lop-32x24x4"


def inspect(name: str) -> Inspection:
    return inspect_file(stream(name), threads=1)


@pytest.fixture(scope="module")
def fitted() -> Inspection:
    return inspect(FITTED)


# --- bits ---------------------------------------------------------------------------------------


@given(st.integers(-64 * 256, 64 * 256 - 1), st.integers(0, len(LATENT_SCALES) - 1))
def test_the_symbols_of_a_model_share_all_counts(mean_steps: int, scale_index: int) -> None:
    symbols = np.arange(-64, 64)
    mean = np.full(128, mean_steps / 256)
    bits = latent_bits(symbols, mean, np.full(128, scale_index))
    counts = np.exp2(24 - bits)
    assert np.allclose(counts, np.rint(counts), rtol=1e-12, atol=0)
    assert np.rint(counts).min() >= 1
    assert np.rint(counts).sum() == 1 << 24


@pytest.mark.parametrize(
    ("symbol", "mean", "scale_index"),
    [(0, 0.0, 160), (1, 0.25, 100), (-64, -63.5, 40), (63, 63.0, 200), (5, -7.0, 90), (0, 9.0, 0)],
)
def test_the_range_coder_spends_these_bits(symbol: int, mean: float, scale_index: int) -> None:
    # The last latent makes the message end where the others narrowed it down to, instead of at
    # the short fraction 0 that lies in every interval of lowest symbols.
    symbols = np.array([symbol] * 4000 + [1], np.int32)
    means = np.array([mean] * 4000 + [0.25])
    scale_indices = np.array([scale_index] * 4000 + [100])
    data = write_latents([(symbols, means, scale_indices)])
    bits = latent_bits(symbols, means, scale_indices)
    assert 8 * len(data) == pytest.approx(bits.sum(), abs=16)


UNREAD_BYTES = {"unread-bytes": 11}
"""Of messages that go on after what a decoder reads."""


@pytest.mark.parametrize("name", STREAMS)
def test_the_bits_add_up_to_the_latent_section(name: str) -> None:
    found = inspect(name)
    size = found.header.latent_bytes - UNREAD_BYTES.get(name, 0)
    assert found.latent_bits / 8 == pytest.approx(size, rel=1e-3, abs=4)
    assert found.bits_per_pixel.shape == found.samples.shape[:2]
    assert found.bits_per_pixel.sum() == pytest.approx(found.latent_bits, rel=1e-12)
    assert (found.samples == decode_samples(stream(name), threads=1)).all()


@pytest.mark.parametrize("name", TILED)
def test_pictures_in_tiles_are_refused(name: str) -> None:
    with pytest.raises(UnsupportedError, match="only pictures of one piece"):
        inspect(name)


@pytest.mark.parametrize("name", SOME_STREAMS)
def test_each_latent_has_the_bits_of_the_coded_model(name: str) -> None:
    found = inspect(name)
    header = found.header
    container = unpack(stream(name))
    values = read_parameters(header.architecture, container.parameters(0)).values(
        header.architecture
    )
    backend = NumpyBackend(header.architecture, values)
    coded = coded_latents(
        backend,
        plan_of(header, 0, Rectangle(0, 0, header.width, header.height)),
        [g.values.astype(np.float64) for g in found.grids],
    )
    step = wavefront_step(header.architecture.n_spatial)
    for inspected in reversed(found.grids):
        for t, first, last in waves(inspected.grid.height, inspected.grid.width, step):
            rows = np.arange(first, last)
            symbols, mean, scale_index = next(coded)
            wave = rows, t - step * rows
            assert (inspected.values[wave] == symbols).all()
            assert (inspected.bits[wave] == latent_bits(symbols, mean, scale_index)).all()
    assert next(coded, None) is None


def test_a_latent_is_paid_by_the_pixels_that_it_covers(fitted: Inspection) -> None:
    expected = np.zeros((24, 32))
    for found in fitted.grids:
        side = 1 << found.grid.level
        for (y, x), bits in np.ndenumerate(found.bits):
            covered = expected[y * side : (y + 1) * side, x * side : (x + 1) * side]
            covered += bits / covered.size
    np.testing.assert_allclose(fitted.bits_per_pixel, expected, rtol=1e-12)


# --- stack and filters --------------------------------------------------------------------------


class DenseBackend(TorchBackend):
    """Stops before the synthesis."""

    def _synthesise(self, dense):  # type: ignore[no-untyped-def]
        return dense


@pytest.mark.parametrize("name", SOME_STREAMS)
def test_the_stack_is_what_the_synthesis_sees(name: str) -> None:
    found = inspect(name)
    arch = found.header.architecture
    values = read_parameters(arch, unpack(stream(name)).parameters(0)).values(arch)
    main_grids = [g.values.astype(np.float64) for g in found.grids if not g.grid.hyper]
    backend = DenseBackend(arch, values)
    stack = backend.stack(main_grids)
    expected = backend.normalised_rows(main_grids[0], stack, 0, found.header.height)
    assert (found.stack == expected).all()


def test_stages_hold_the_coded_filters(fitted: Inspection) -> None:
    arch = fitted.header.architecture
    parameters = read_parameters(arch, unpack(stream(FITTED)).parameters(0)).values(arch)
    assert [stage.level for stage in fitted.stages] == [5, 4, 3, 2, 1, 0]
    for stage in fitted.stages:
        left = parameters[f"upsampling.transposed.{stage.stage}.weight"]
        assert (stage.transposed == [*left, *left[::-1]]).all()
        left = parameters[f"upsampling.preconcat.{stage.stage}.weight"]
        assert (stage.preconcat == [*left, *left[-2::-1]]).all()


def test_preconcatenation_of_a_pattern_along_one_axis() -> None:
    half = np.array([0.125, -0.25, 0.5, 0.75])
    kernel = np.concatenate([half, half[-2::-1]])
    stage = InspectedStage(0, 0, np.ones(4), kernel)
    line = np.random.default_rng(1).integers(-8, 9, 40).astype(np.float64)
    plane = np.tile(line, (9, 1))
    filtered = plane + preconcat_pass(preconcat_pass(plane, half, 0), half, 1)
    expected = np.convolve(line, stage.preconcat_with_residual, "valid")
    np.testing.assert_allclose(filtered[4, 3:-3], expected, rtol=1e-12)


def test_measures_of_known_filters() -> None:
    bilinear, bicubic, kaiser = classical_kernels(8).values()
    assert bilinear.tolist() == [0, 0, 0.25, 0.75, 0.75, 0.25, 0, 0]
    assert bicubic.sum() == pytest.approx(2)
    assert kaiser.sum() == pytest.approx(2)
    assert list(classical_kernels(6)) == ["bilinear", "kaiser"]
    # Energy of 1.25, of which 5/8 + 2/pi (15/16 - 1/48) lies below the old Nyquist frequency.
    low = 0.625 + 2 / np.pi * (0.9375 - 0.0625 / 3)
    stage = InspectedStage(0, 0, bilinear, np.ones(1))
    assert stage.image_rejection_db == pytest.approx(10 * np.log10(low / (1.25 - low)))
    assert stage.checkerboard_energy == 0
    uneven = InspectedStage(0, 0, np.array([1.0, 0.5, 0.5, 0.5]), np.ones(1))
    # Phases of 1.5 and 1 along either axis: products 2.25, 1.5, 1.5, 1.
    products = np.array([2.25, 1.5, 1.5, 1])
    expected = products.var() / products.mean() ** 2
    assert uneven.checkerboard_energy == pytest.approx(expected)


def test_filters_of_zeros_have_no_measures() -> None:
    found = inspect("constant-11x9")
    for stage in found.stages:
        assert not stage.transposed.any()
        assert np.isnan(stage.image_rejection_db)
        assert np.isnan(stage.checkerboard_energy)


# --- Python -------------------------------------------------------------------------------------


def test_numbers(fitted: Inspection) -> None:
    numbers = fitted.numbers()
    info = givre.info(stream(FITTED))
    for name in ("width", "height", "channels", "complexity", "bytes"):
        assert numbers[name] == info[name]
    for name in ("header_bytes", "parameter_bytes", "latent_bytes"):
        assert numbers[name] == info[name]
    grids = numbers["grids"]
    assert [grid["grid"] for grid in grids[:6]] == ["y0", "y1", "y2", "y3", "y4", "h4"]
    assert sum(grid["percent"] for grid in grids) == pytest.approx(100)
    assert sum(grid["bits"] for grid in grids) == pytest.approx(numbers["latent_bits"])
    assert grids[0]["bpp"] == pytest.approx(grids[0]["bits"] / (32 * 24))
    finest = fitted.grids[0].values
    assert (grids[0]["smallest"], grids[0]["largest"]) == (finest.min(), finest.max())
    assert grids[0]["nonzero_percent"] == pytest.approx(100 * np.mean(finest != 0))
    assert len(numbers["stages"]) == 6
    assert json.loads(json.dumps(numbers)) == numbers


def test_the_public_function_takes_bytes_and_paths(tmp_path: Path) -> None:
    from_path = givre.inspect(CONFORMANCE / f"{FITTED}.givre")
    assert from_path.numbers() == givre.inspect(bytearray(stream(FITTED)), threads=1).numbers()
    with pytest.raises(LimitError):
        givre.inspect(stream(FITTED), max_pixels=32 * 24 - 1)
    with pytest.raises(UsageError):
        givre.inspect(stream(FITTED), threads=-1)
    damaged = bytearray(stream(FITTED))
    damaged[60] ^= 1
    with pytest.raises(CorruptError):
        givre.inspect(damaged)


def test_neither_torch_nor_matplotlib_is_loaded(tmp_path: Path) -> None:
    path = str(CONFORMANCE / f"{FITTED}.givre")
    lines = (
        "import givre, sys",
        f"givre.inspect({path!r}).numbers()",
        "print({'torch', 'matplotlib'} & set(sys.modules))",
    )
    command = [sys.executable, "-c", "\n".join(lines)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


# --- pictures -----------------------------------------------------------------------------------


def test_the_picture_of_the_latents_shows_the_arrays(fitted: Inspection) -> None:
    figure = latents_figure(fitted)
    shown = [axis.images[0].get_array() for axis in figure.axes if axis.images]
    titles = "\n".join(axis.get_title() for axis in figure.axes)
    expected = [fitted.samples / 255, fitted.bits_per_pixel]
    expected += [found.values for found in fitted.grids]
    expected += list(fitted.stack)
    assert len(shown) == len(expected)
    for array in expected:
        assert any(array.shape == s.shape and np.allclose(array, s, atol=1e-12) for s in shown)
    for grid in fitted.numbers()["grids"]:
        assert f"{grid['bits']:,.0f} bits, {grid['percent']:.1f} %" in titles


def test_the_picture_of_the_filters_shows_the_taps_and_measures(fitted: Inspection) -> None:
    figure = filters_figure(fitted)
    assert len(figure.axes) == 4 * len(fitted.stages)
    for stage, row in zip(fitted.stages, np.reshape(figure.axes, (-1, 4)), strict=True):
        drawn = [line.get_ydata() for line in row[0].lines]
        for kernel in (stage.transposed, *classical_kernels(8).values()):
            assert any(np.array_equal(kernel, y) for y in drawn)
        assert any(
            np.array_equal(stage.preconcat_with_residual, line.get_ydata()) for line in row[2].lines
        )
        # The gain at frequency 0 is what a constant is multiplied by.
        learned = next(line for line in row[1].lines if line.get_color() == "black")
        constant = abs(stage.transposed.sum()) / 2
        assert learned.get_ydata()[0] == pytest.approx(20 * np.log10(constant))
        gain = abs(stage.preconcat_with_residual.sum())
        assert row[3].lines[0].get_ydata()[0] == pytest.approx(gain)
        assert f"image rejection {stage.image_rejection_db:.1f} dB" in row[1].texts[1].get_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["constant-11x9", "random-hop-1x1x3", "random-lop-7x1x2"])
def test_odd_files_can_be_drawn(name: str, tmp_path: Path) -> None:
    found = InspectedFile.of(inspect(name))
    found.plot_filters(tmp_path / "filters.png")
    found.plot_latents(str(tmp_path / "latents"))
    for file in ("filters.png", "latents"):
        with Image.open(tmp_path / file) as image:
            assert image.format == "PNG"
            assert len(image.convert("L").getcolors()) > 10


def test_pictures_replace_nothing_unasked(fitted: Inspection, tmp_path: Path) -> None:
    drawn, path = InspectedFile.of(fitted), tmp_path / "taken.png"
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        drawn.plot_latents(path)
    with pytest.raises(OutputError, match=r"\.png"):
        drawn.plot_filters(tmp_path / "filters.jpg")
    assert path.read_bytes() == b"mine"
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken.png"]
    drawn.plot_filters(path, force=True)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_reduction_keeps_the_mean() -> None:
    plane = np.random.default_rng(2).random((3, 2050, 2))
    small = reduced(plane)
    assert small.shape == (1, 684, 2)
    assert small[0, 0] == pytest.approx(plane[:, :3].mean(axis=(0, 1)))
    assert small[0, -1] == pytest.approx(plane[:, -1].mean(axis=0))
    assert reduced(plane[:, :1024]) is not None
    assert (reduced(plane[:, :1024]) == plane[:, :1024]).all()


# --- command ------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "coded.givre"
    path.write_bytes(stream(FITTED))
    return path


@pytest.mark.slow
def test_command_writes_the_pictures_asked_for(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filters, latents = file.with_name("filters.png"), file.with_name("latents.png")
    words = ["inspect", str(file), "--filters", str(filters), "--latents", str(latents)]
    assert main([*words, "--json", "--threads", "1"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == inspect(FITTED).numbers()
    assert str(filters) in captured.err
    for path in (filters, latents):
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert image.width > 1000
    assert main(words) == 5
    assert "exists already" in capsys.readouterr().err
    assert main([*words, "--force", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_command_prints_tables(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(file)]) == 0
    out = capsys.readouterr().out
    found = inspect(FITTED)
    for grid in found.grids:
        assert [grid.grid.label, f"{grid.grid.width}x{grid.grid.height}"] in [
            line.split()[:2] for line in out.splitlines()
        ]
    assert f"{found.stages[0].image_rejection_db:.1f} dB" in out


def test_command_writes_a_measure_that_there_is_none_of_as_null(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(CONFORMANCE / "constant-11x9.givre")
    assert main(["inspect", path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stages"][0]["image_rejection_db"] is None
    assert main(["inspect", path]) == 0
    assert "none dB" not in capsys.readouterr().out


def test_command_writes_a_picture_to_standard_output(
    file: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["inspect", str(file), "--filters", "-", "--quiet"]) == 0
    with Image.open(io.BytesIO(capsysbinary.readouterr().out)) as image:
        assert image.format == "PNG"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--filters", "-", "--latents", "-"], 2),
        (["--filters", "{folder}/a.png", "--latents", "{folder}/../{name}/a.png"], 2),
        (["--filters", "-", "--json"], 2),
        (["--latents", "{folder}/a.jpg"], 5),
        (["--latents", "{folder}/none/a.png"], 5),
        (["--max-pixels", "9"], 4),
    ],
)
def test_command_refuses(
    file: Path, words: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"folder": file.parent, "name": file.parent.name}
    assert main(["inspect", str(file), *(word.format(**names) for word in words)]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("givre: error: ")
    assert captured.err.count("\n") == 1
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_without_matplotlib_the_extra_is_named(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"givre\[plot\]"):
        InspectedFile.of(inspect(FITTED)).plot_filters(file.with_name("a.png"))
    assert main(["inspect", str(file), "--latents", str(file.with_name("a.png"))]) == 2
    assert "givre[plot]" in capsys.readouterr().err
    assert main(["inspect", str(file), "--json"]) == 0
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]
