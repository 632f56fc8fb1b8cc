from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from places import CONFORMANCE

import givre
from givre.coder import whole_encode
from givre.coder.fitting.trainer import Trainer
from givre.scripts import encode as encode_command
from givre.scripts.main import main

WIDTH, HEIGHT = 24, 16
FAST = ["--complexity", "lop", "--threads", "1"]


class Outcome:
    """Exit code, standard output (bytes) and stderr (text) of a command."""

    def __init__(self, code: int, out: bytes, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> dict[str, object]:
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The only line on stderr, which must be an error."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("givre: error: ")
        assert self.out == b""
        return lines[0].removeprefix("givre: error: ")


Givre = Callable[..., Outcome]


@pytest.fixture
def run(capsysbinary: pytest.CaptureFixture[bytes]) -> Givre:
    def call(*words: object) -> Outcome:
        capsysbinary.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as refused:
            code = int(refused.code or 0)
        captured = capsysbinary.readouterr()
        return Outcome(code, captured.out, captured.err.decode())

    return call


def picture() -> Image.Image:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return Image.fromarray(np.stack([8 * x, 12 * y, 5 * (x + y)], axis=-1).astype(np.uint8))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    picture().save(path)
    return path


@pytest.fixture(scope="session")
def coded(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file, made once for the tests that read one."""
    return givre.encode(picture(), steps=3, complexity="lop", threads=1)


@pytest.fixture
def file(tmp_path: Path, coded: bytes) -> Path:
    path = tmp_path / "coded.givre"
    path.write_bytes(coded)
    return path


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    def put(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return put


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Press Ctrl-C before a step, once."""
    original = Trainer.step

    def step_or_stop(self: Trainer, number: int, *rest: object) -> object:
        if number == step:
            monkeypatch.setattr(Trainer, "step", original)
            raise KeyboardInterrupt
        return original(self, number, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "step", step_or_stop)


# --- encode, decode, info -----------------------------------------------------------------------


def test_encode_and_decode_report_what_they_did(run: Givre, image: Path, tmp_path: Path) -> None:
    output, decoded = tmp_path / "a.givre", tmp_path / "a.png"
    words = (
        "--lambda 0.001 --steps 4 --complexity lop --prior 0 --seed 1 --threads 1 --force --json"
    )
    encoded = run("encode", image, output, *words.split())
    assert encoded.code == 0
    report = encoded.json
    data = output.read_bytes()
    assert report["bytes"] == len(data)
    assert report["bpp"] == pytest.approx(8 * len(data) / (WIDTH * HEIGHT))
    assert report["steps"] == 4
    assert report["seconds_per_step"] > 0
    assert report["mac_per_pixel"] > 0
    parts = [report[name] for name in ("header_bytes", "parameter_bytes", "latent_bytes")]
    assert all(part > 0 for part in parts[:2])
    assert sum(parts) == len(data)

    found = run("decode", output, decoded, "--threads", "1", "--json")
    assert found.code == 0
    pixels = np.asarray(Image.open(decoded))
    assert found.json["sha256"] == sha256(pixels.tobytes()).hexdigest()
    assert (found.json["width"], found.json["height"]) == (WIDTH, HEIGHT)
    assert found.json["seconds"] >= 0
    error = pixels.astype(float) - np.asarray(picture())
    psnr = 10 * np.log10(255**2 / np.mean(error**2))
    assert report["psnr_db"] == pytest.approx(psnr, abs=1e-6)


def test_reports_go_to_stderr_and_descriptions_to_standard_output(run: Givre, image: Path) -> None:
    encoded = run("encode", image, "--steps", 2, *FAST)
    assert (encoded.code, encoded.out) == (0, b"")
    assert "photo.png -> " in encoded.err
    assert " bpp  " in encoded.err
    decoded = run("decode", image.with_suffix(".givre"), image.with_name("d.png"))
    assert decoded.out == b""
    assert "24x16, 3 channels" in decoded.err
    described = run("info", image.with_suffix(".givre"))
    assert described.err == ""
    assert b"width" in described.out


def test_quiet_says_nothing(run: Givre, image: Path) -> None:
    for words in (
        ["encode", image, "--steps", 2, *FAST],
        ["decode", image.with_suffix(".givre"), image.with_name("d.png")],
        ["info", image.with_suffix(".givre")],
    ):
        found = run(*words, "--quiet")
        assert (found.code, found.out, found.err) == (0, b"", "")


def test_default_names_have_the_right_suffix(run: Givre, image: Path, tmp_path: Path) -> None:
    assert run("encode", image, "--steps", 2, *FAST).code == 0
    image.unlink()
    assert run("decode", tmp_path / "photo.givre").code == 0
    assert Image.open(image).size == (WIDTH, HEIGHT)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["photo.givre", "photo.png"]


def test_same_seed_gives_the_same_file_as_the_api(run: Givre, image: Path) -> None:
    run("encode", image, "--steps", 3, "--seed", 5, "-q", 40, *FAST)
    expected = givre.encode(image, quality=40, steps=3, seed=5, complexity="lop", threads=1)
    assert image.with_suffix(".givre").read_bytes() == expected


def test_info_describes_the_file(run: Givre, file: Path, coded: bytes) -> None:
    found = run("info", file, "--json")
    assert found.code == 0
    assert found.json == json.loads(json.dumps(givre.info(coded)))
    assert (found.json["width"], found.json["height"]) == (WIDTH, HEIGHT)
    assert found.json["bytes"] == len(coded)
    assert found.json["complexity"] == "lop"
    assert found.json["crc_ok"] is True


@pytest.mark.parametrize(("words", "number"), [([], 3), (["--prior", 0], 0), (["--prior", 1], 1)])
def test_prior_is_chosen_and_described(
    run: Givre, image: Path, words: list[object], number: int
) -> None:
    fast = ["--steps", 1, "--complexity", "lop", "--threads", 1, "--lambda", 0.001]
    assert run("encode", image, *fast, *words).code == 0
    file = image.with_suffix(".givre")
    assert run("info", file, "--json").json["prior"] == number
    assert ["prior", str(number)] in [
        line.split() for line in run("info", file).out.decode().splitlines()
    ]
    expected = givre.encode(
        picture(), lmbda=0.001, steps=1, complexity="lop", threads=1, prior=number
    )
    assert file.read_bytes() == expected


def test_unknown_prior_exits_2(run: Givre, image: Path) -> None:
    found = run("encode", image, "--complexity", "hop", "--prior", 15)
    assert found.code == 2
    assert "prior is 15, those of this decoder are 1, 2, 3, 4" in found.error


def test_info_of_a_damaged_file_is_printed_and_exits_4(
    run: Givre, file: Path, coded: bytes
) -> None:
    file.write_bytes(coded[:-1] + bytes([coded[-1] ^ 1]))
    found = run("info", file, "--json")
    assert found.code == 4
    assert found.json["crc_ok"] is False
    assert found.err.startswith("givre: error: the checksum of ")
    assert run("decode", file).code == 4


@pytest.mark.parametrize("data", [b"", b"hello", picture().tobytes()])
def test_other_files_exit_4(run: Givre, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.givre"
    path.write_bytes(data)
    for command in ("decode", "info"):
        found = run(command, path)
        assert found.code == 4
        assert found.error
    assert not path.with_suffix(".png").exists()


def test_pixel_limit(run: Givre, file: Path) -> None:
    found = run("decode", file, "--max-pixels", WIDTH * HEIGHT - 1)
    assert found.code == 4
    assert found.error
    assert run("decode", file, "--max-pixels", WIDTH * HEIGHT).code == 0


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_grey_and_alpha_survive(run: Givre, tmp_path: Path, channels: int) -> None:
    mode = {1: "L", 2: "LA", 4: "RGBA"}[channels]
    source = tmp_path / "in.png"
    image = picture().convert(mode)
    if channels % 2 == 0:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(source)
    assert run("encode", source, "--steps", 2, *FAST).code == 0
    assert run("decode", tmp_path / "in.givre", tmp_path / "out.png").code == 0
    decoded = Image.open(tmp_path / "out.png")
    assert decoded.mode == mode
    if channels % 2 == 0:
        before, after = (np.asarray(i.getchannel("A")) for i in (image, decoded))
        for end in (0, 255):
            assert ((before == end) == (after == end)).all()


def test_alpha_that_is_opaque_throughout_is_left_out(run: Givre, tmp_path: Path) -> None:
    picture().convert("RGBA").save(tmp_path / "in.png")
    assert run("encode", tmp_path / "in.png", "--steps", 2, *FAST).code == 0
    assert run("info", tmp_path / "in.givre", "--json").json["channels"] == 3


# --- streams ------------------------------------------------------------------------------------


def test_streams(run: Givre, image: Path, tmp_path: Path, stdin: Callable[[bytes], None]) -> None:
    stdin(image.read_bytes())
    encoded = run("encode", "-", "-", "--steps", 3, *FAST)
    assert encoded.code == 0
    stdin(encoded.out)
    decoded = run("decode", "-")
    assert decoded.code == 0
    pixels = np.asarray(Image.open(io.BytesIO(decoded.out)))
    np.testing.assert_array_equal(pixels, np.asarray(givre.decode(encoded.out)))
    stdin(encoded.out)
    assert run("info", "-", "--json").json["bytes"] == len(encoded.out)
    assert list(tmp_path.iterdir()) == [image]


def test_binary_is_not_written_to_a_terminal(
    run: Givre, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    found = run("decode", file, "-")
    assert found.code == 5
    assert "terminal" in found.error


def test_binary_is_not_read_from_a_terminal(
    run: Givre, stdin: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin(b"")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    found = run("info", "-")
    assert found.code == 2
    assert "terminal" in found.error


def test_report_and_data_do_not_share_standard_output(run: Givre, file: Path) -> None:
    found = run("decode", file, "-", "--json")
    assert found.code == 2
    assert "standard output" in found.error


# --- outputs ------------------------------------------------------------------------------------


def test_existing_output_is_kept_and_the_fit_does_not_start(
    run: Givre, image: Path, file: Path, coded: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = image.with_name("old.givre")
    output.write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(whole_encode, "fit_whole", None)
        refused = run("encode", image, output)
    assert refused.code == 5
    assert "--force" in refused.error
    assert output.read_bytes() == b"old"
    before = image.read_bytes()
    assert run("decode", file, image).code == 5
    assert image.read_bytes() == before
    assert run("encode", image, output, "--steps", 3, "--force", *FAST).code == 0
    assert output.read_bytes() == coded


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["encode", "{image}", "{image}", "--force"], "is the input"),
        (["decode", "{file}", "{file}", "--force"], "unknown suffix"),
        (["overfit", "{image}", "-"], "a fit goes to a file"),
        (["overfit", "{image}", "{image}", "--force"], "is the input"),
    ],
)
def test_input_is_never_replaced(
    run: Givre, image: Path, file: Path, words: list[str], message: str
) -> None:
    before = image.read_bytes(), file.read_bytes()
    found = run(*(word.format(image=image, file=file) for word in words))
    assert found.code in (2, 5)
    assert message in found.error
    assert (image.read_bytes(), file.read_bytes()) == before


@pytest.mark.parametrize("name", ["out.xyz", "missing/out.png"])
def test_output_that_cannot_be_written_exits_5(run: Givre, file: Path, name: str) -> None:
    found = run("decode", file, file.parent / name)
    assert found.code == 5
    assert found.error
    assert list(file.parent.iterdir()) == [file]


# --- fits ---------------------------------------------------------------------------------------


def test_fit_is_written_by_from_as_if_in_one_go(run: Givre, image: Path, tmp_path: Path) -> None:
    fit = tmp_path / "photo.fit"
    fitted = run("overfit", image, fit, "--steps", 4, "--json", *FAST)
    assert fitted.code == 0
    assert fitted.json["steps"] == 4
    assert fitted.json["psnr_db"] > 0
    assert run("encode", image, tmp_path / "a.givre", "--from", fit).code == 0
    assert run("encode", image, tmp_path / "b.givre", "--steps", 4, *FAST).code == 0
    assert (tmp_path / "a.givre").read_bytes() == (tmp_path / "b.givre").read_bytes()
    assert fit.is_file()


def test_fit_is_lengthened(run: Givre, image: Path, tmp_path: Path) -> None:
    fit, output = tmp_path / "photo.fit", tmp_path / "photo.givre"
    run("overfit", image, fit, "--steps", 3, *FAST)
    resumed = run("overfit", image, fit, "--steps", 5, "--resume", "--json")
    assert (resumed.code, resumed.json["steps"]) == (0, 5)
    encoded = run("encode", image, output, "--from", fit, "--steps", 6, "--json")
    assert (encoded.code, encoded.json["steps"]) == (0, 6)
    assert encoded.json["complexity"] == "lop"


@pytest.mark.slow
def test_initial_filters_start_a_fit_and_do_not_change_it_later(
    run: Givre, image: Path, tmp_path: Path
) -> None:
    written = []
    for number, later in enumerate(([], ["--ups-init", "bilinear"])):
        fit, output = tmp_path / f"{number}.fit", tmp_path / f"{number}.givre"
        assert run("overfit", image, fit, "--ups-init", "kaiser", "--steps", 3, *FAST).code == 0
        assert run("overfit", image, fit, "--resume", "--steps", 6, *later).code == 0
        assert run("encode", image, output, "--from", fit).code == 0
        written.append(output.read_bytes())
    assert written[0] == written[1]
    kaiser = givre.encode(picture(), steps=6, complexity="lop", threads=1, ups_init="kaiser")
    plain = givre.encode(picture(), steps=6, complexity="lop", threads=1)
    assert kaiser != plain


def test_interrupted_encode_says_how_to_go_on(
    run: Givre, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, checkpoint = tmp_path / "photo.givre", tmp_path / "photo.givre.fit"
    interrupt_at(monkeypatch, 3)
    stopped = run("encode", image, output, "--steps", 5, *FAST)
    assert stopped.code == 130
    assert stopped.out == b""
    assert not output.exists()
    assert checkpoint.is_file()
    command = shlex.split(stopped.err.splitlines()[-1].partition("go on with: ")[2])
    assert command == ["givre", "encode", str(image), str(output), "--from", str(checkpoint)]

    assert run("encode", image, output, "--steps", 5, *FAST).code == 5  # would lose the fit
    went_on = run(*command[1:], "--json")
    assert went_on.code == 0
    assert went_on.json["steps"] == 5
    assert output.is_file()
    assert not checkpoint.exists()


def test_interrupted_overfit_is_resumed(
    run: Givre, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = tmp_path / "photo.fit"
    interrupt_at(monkeypatch, 2)
    stopped = run("overfit", image, fit, "--steps", 4, *FAST)
    assert stopped.code == 130
    assert f"givre overfit {image} {fit} --resume" in stopped.err
    resumed = run("overfit", image, fit, "--resume", "--json")
    assert (resumed.code, resumed.json["steps"]) == (0, 4)


def test_interrupt_before_the_first_step_keeps_nothing(
    run: Givre, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, 0)
    stopped = run("encode", image, "--steps", 2, *FAST)
    assert stopped.code == 130
    assert stopped.err.splitlines()[-1] == "givre: interrupted; nothing was kept"
    assert list(image.parent.iterdir()) == [image]


def test_interrupt_while_the_file_is_written_keeps_the_fit(
    run: Givre, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(encode_command.streams, "write_output", interrupt)
        assert run("encode", image, "--steps", 2, *FAST).code == 130
    kept = image.with_name("photo.givre.fit")
    assert run("encode", image, "--from", kept).code == 0
    assert not kept.exists()


@pytest.mark.parametrize(
    "words",
    [["--lambda", "0.5"], ["--complexity", "hop"], ["--seed", "9"], ["--prior", "0"]],
)
def test_fit_is_not_carried_on_with_other_settings(
    run: Givre, image: Path, tmp_path: Path, words: list[str]
) -> None:
    fit = tmp_path / "photo.fit"
    run("overfit", image, fit, "--steps", 2, *FAST)
    found = run("encode", image, "--from", fit, *words)
    assert found.code == 2
    assert "contradicts the fit" in found.error


def test_fit_that_cannot_be_used_exits_7(run: Givre, image: Path, tmp_path: Path) -> None:
    fit, other = tmp_path / "photo.fit", tmp_path / "other.png"
    run("overfit", image, fit, "--steps", 2, *FAST)
    Image.new("RGB", (WIDTH, HEIGHT)).save(other)
    for source, start in ((image, image), (image, tmp_path / "none"), (other, fit)):
        found = run("encode", source, tmp_path / "a.givre", "--from", start)
        assert found.code == 7
        assert found.error
    assert not (tmp_path / "a.givre").exists()


# --- arguments and errors -----------------------------------------------------------------------


def test_help_begins_with_examples_and_ends_with_exit_codes(run: Givre) -> None:
    found = run("--help")
    lines = found.out.decode().splitlines()
    assert found.code == 0
    assert lines[0] == "examples:"
    assert all(line.startswith("  givre ") for line in lines[1:4])
    assert lines[-1].split() == ["130", "interrupted"]


def test_version(run: Givre) -> None:
    for word in ("-V", "--version"):
        assert run(word).out.decode().startswith(f"givre {givre.__version__} (Python ")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["polish", "x"],
        ["encode"],
        ["encode", "x", "-q", "5", "--lambda", "0.1"],
        ["encode", "x", "--effort", "5", "--steps", "3"],
        ["encode", "x", "--complexity", "huge"],
        ["encode", "x", "--steps", "many"],
        ["encode", "x", "--step", "3"],
        ["decode", "x", "--max-pixels", "0"],
    ],
)
def test_words_that_argparse_refuses_exit_2(run: Givre, words: list[str]) -> None:
    found = run(*words)
    assert found.code == 2
    assert "error: " in found.err


@pytest.mark.parametrize(
    "words",
    [
        ["--steps", "0"],
        ["--effort", "10"],
        ["--effort", "-1"],
        ["-q", "101"],
        ["--lambda", "0"],
        ["--lambda", "nan"],
        ["--threads", "-1"],
        ["--seed", "-1"],
        ["--prior", "-1"],
        ["--prior", "16"],
    ],
)
def test_numbers_out_of_range_exit_2(run: Givre, image: Path, words: list[str]) -> None:
    found = run("encode", image, *words)
    assert found.code == 2
    assert " must be " in found.error


def test_unreadable_images_exit_3(run: Givre, tmp_path: Path) -> None:
    real, text = tmp_path / "real.tif", tmp_path / "text.png"
    Image.new("F", (4, 4)).save(real)
    text.write_text("hello")
    for path in (real, text, tmp_path / "missing.png", tmp_path):
        found = run("encode", path, tmp_path / "out.givre")
        assert found.code == 3
        assert found.error


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (MemoryError(), "not enough memory"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (RuntimeError("two\nlines"), "unexpected RuntimeError: two lines"),
    ],
)
def test_unexpected_errors_are_one_line(
    run: Givre,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
    message: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr("givre.coder.decoder.decode_picture", fail)
    found = run("decode", file)
    assert found.code == 1
    assert message in found.error
    assert "Traceback" in run("decode", file, "-v", "-v").err
    assert "Traceback" not in run("decode", file, "-v").err


# --- processes ----------------------------------------------------------------------------------


def python(*words: str, cwd: Path, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, input=data, capture_output=True, check=False
    )


def test_decoding_and_describing_load_no_torch(file: Path) -> None:
    lines = """
        import sys
        import givre
        print("torch" in sys.modules or "numba" in sys.modules)
        givre.info("coded.givre")
        givre.decode("coded.givre")
        from givre.scripts.main import main
        assert main(["decode", "coded.givre", "--quiet"]) == 0
        assert main(["info", "coded.givre", "--quiet"]) == 0
        print("torch" in sys.modules)
    """
    program = "\n".join(line.strip() for line in lines.splitlines())
    found = python("-c", program, cwd=file.parent)
    assert found.returncode == 0, found.stderr.decode()
    assert found.stdout.split() == [b"False", b"False"]


def test_module_runs_as_a_process_with_streams(file: Path, coded: bytes) -> None:
    found = python("-m", "givre", "decode", "-", "--quiet", cwd=file.parent, data=coded)
    assert (found.returncode, found.stderr) == (0, b"")
    pixels = np.asarray(Image.open(io.BytesIO(found.stdout)))
    np.testing.assert_array_equal(pixels, np.asarray(givre.decode(file)))
    refused = python("-m", "givre", "info", "-", cwd=file.parent, data=b"junk")
    assert refused.returncode == 4
    assert refused.stderr.startswith(b"givre: error: ")
    assert refused.stderr.count(b"\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break otherwise there")
def test_reader_that_goes_away_leaves_no_traceback(file: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    found = subprocess.run(
        [sys.executable, "-m", "givre", "decode", str(file), "-", "--quiet"],
        stdout=write_end,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write_end)
    assert (found.returncode, found.stderr) == (5, b"")


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "first.png", tmp_path / "second.png", tmp_path / "third.jpg"]
    for path in paths:
        picture().save(path)
    return paths


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_several_pictures_are_several_outputs_and_none_is_lost(
    run: Givre, pictures: list[Path], count: int
) -> None:
    before = [path.read_bytes() for path in pictures]
    assert run("encode", *pictures[:count], "-f", "--steps", 1, *FAST).code == 0
    assert [path.read_bytes() for path in pictures] == before
    coded = [path.with_suffix(".givre") for path in pictures]
    assert [path.exists() for path in coded] == [i < count for i in range(3)]
    outcome = run("decode", *coded[:count], "-f", "--json", "--quiet")
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) == count
    assert all(path.read_bytes()[:3] == coded[0].read_bytes()[:3] for path in coded[:count])


@pytest.mark.parametrize("option", [True, False])
def test_an_image_is_no_output_even_by_force(
    run: Givre, pictures: list[Path], tmp_path: Path, option: bool
) -> None:
    first, second, _ = pictures
    before = second.read_bytes()
    words = ["--output", second] if option else [tmp_path / "new.png"]
    assert "image" in run("encode", first, *words, "-f", "--steps", 1, *FAST).error
    assert "image" in run("overfit", first, second, "-f", "--steps", 1, *FAST).error
    assert second.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == pictures


def test_a_picture_with_a_strange_name_is_no_output(
    run: Givre, pictures: list[Path], tmp_path: Path
) -> None:
    strange = pictures[1].rename(tmp_path / "second.data")
    before = strange.read_bytes()
    assert run("encode", pictures[0], strange, "-f", "--steps", 1, *FAST).code == 0
    assert strange.read_bytes() == before
    assert (tmp_path / "second.givre").exists()


def test_pictures_that_would_share_an_output_are_refused(run: Givre, tmp_path: Path) -> None:
    for name in ("photo.png", "photo.jpg"):
        picture().save(tmp_path / name)
    outcome = run("encode", tmp_path / "photo.png", tmp_path / "photo.jpg", *FAST)
    assert outcome.code == 2
    assert "apart" in outcome.error


@pytest.mark.parametrize("words", [["-o", "out.givre"], ["--from", "photo.fit"]])
def test_what_is_for_one_picture_is_refused_for_several(
    run: Givre, pictures: list[Path], words: list[str]
) -> None:
    outcome = run("encode", *pictures, *words, "--steps", 1, *FAST)
    assert outcome.code == 2
    assert "3" in outcome.error


def test_a_bad_picture_does_not_keep_the_others_from_being_done(
    run: Givre, pictures: list[Path]
) -> None:
    pictures[0].write_bytes(b"no image")
    outcome = run("encode", *pictures, "-f", "--steps", 1, *FAST)
    assert outcome.code == 3
    assert "first.png" in outcome.err
    assert pictures[2].with_suffix(".givre").exists()


def test_options_stand_anywhere(run: Givre, image: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.givre"
    assert run("encode", image, "-q", 60, out, "--steps", 1, *FAST).code == 0
    assert run("decode", "--quiet", out, "-f", tmp_path / "out.png").code == 0


def test_summary_names_standard_output(run: Givre, image: Path) -> None:
    assert "photo.png -> standard output" in run("encode", image, "-", "--steps", 1, *FAST).err


# --- parts, tiles and metadata ------------------------------------------------------------------


TILES = CONFORMANCE / "tiles-16-bits-metadata.givre"


def test_a_region_and_a_smaller_size(run: Givre, tmp_path: Path) -> None:
    out = tmp_path / "part.png"
    found = run("decode", CONFORMANCE / "tiles.givre", out, "--region", "10,20,60,50", "--json")
    assert (found.json["width"], found.json["height"]) == (60, 50)
    assert Image.open(out).size == (60, 50)
    found = run("decode", CONFORMANCE / "tiles.givre", out, "--scale", "1/4", "-f", "--json")
    assert (found.json["width"], found.json["height"]) == (38, 23)


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "-1,0,5,5", "0,0,0,5", "149,0,9,9"])
def test_a_region_that_is_none_exits_2(run: Givre, tmp_path: Path, text: str) -> None:
    found = run("decode", CONFORMANCE / "tiles.givre", tmp_path / "x.png", f"--region={text}")
    assert found.code == 2
    assert not list(tmp_path.iterdir())


def test_a_cut_file_exits_9_if_a_part_will_do(run: Givre, tmp_path: Path) -> None:
    cut, out = tmp_path / "cut.givre", tmp_path / "out.png"
    cut.write_bytes((CONFORMANCE / "tiles.givre").read_bytes()[:-900])
    assert run("decode", cut, out).code == 4
    assert not out.exists()
    found = run("decode", cut, out, "--partial", "--quiet")
    assert found.code == 9
    assert "the file is cut: 5 of 6 tiles" in found.error
    assert Image.open(out).size == (150, 90)
    assert run("decode", CONFORMANCE / "tiles.givre", out, "--partial", "-f").code == 0


def test_metadata_is_listed(run: Givre) -> None:
    found = run("info", TILES, "--json").json
    assert found["metadata"] == {"icc": 440, "exif": 14, "cicp": 4, "kind 99": 18}
    assert found["bit_depth"] == 16
    assert found["tiles"] == 6


def test_metadata_comes_back_unless_it_is_stripped(run: Givre, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture().save(tmp_path / "in.png", exif=exif, icc_profile=profile)
    for words, described in (((), "a description"), (("--strip",), None)):
        assert run("encode", tmp_path / "in.png", "--steps", 2, "-f", *words, *FAST).code == 0
        assert run("decode", tmp_path / "in.givre", tmp_path / "out.png", "-f").code == 0
        found = Image.open(tmp_path / "out.png")
        assert found.info["icc_profile"] == profile
        assert found.getexif().get(0x010E) == described


def test_tiles_by_the_command(run: Givre, tmp_path: Path) -> None:
    Image.linear_gradient("L").resize((130, 64)).save(tmp_path / "in.png")
    assert run("encode", tmp_path / "in.png", "--steps", 2, "--tile", 64, *FAST).code == 0
    assert run("info", tmp_path / "in.givre", "--json").json["tiles"] == 3
    found = run("encode", tmp_path / "in.png", "-f", "--steps", 2, "--tile", 65, *FAST)
    assert found.code == 2
    assert "multiple of 64" in found.error


def test_deep_grey_comes_back_deep(run: Givre, tmp_path: Path) -> None:
    samples = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)
    Image.fromarray(samples).save(tmp_path / "in.png")
    assert run("encode", tmp_path / "in.png", "--steps", 2, *FAST).code == 0
    assert run("decode", tmp_path / "in.givre", tmp_path / "out.png").code == 0
    assert np.asarray(Image.open(tmp_path / "out.png")).max() > 255
    assert run("info", tmp_path / "in.givre", "--json").json["bit_depth"] == 16
