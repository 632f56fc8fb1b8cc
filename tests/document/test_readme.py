"""What the README shows runs, and what it names is there."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from picture_files import load_samples
from PIL import Image
from places import DEMO_IMAGE, ROOT

import givre
from givre.coder.psnr import mean_squared_error, psnr_db
from givre.errors import PartialError
from givre.scripts.main import build_parser, main

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROSE = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
SIZE = (96, 64)
SHORT_FIT = ("--complexity", "lop", "--effort", "3")
"""Added to every `givre encode`: a short fit of the small decoder, which is quantised quickly."""


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def command_lines() -> list[str]:
    return re.findall(r"^ {4}(givre .*)$", README, re.MULTILINE)


def words(line: str) -> list[str]:
    """Arguments of a command as a shell gives them: no comment, and patterns as names of files."""
    found: list[str] = []
    for word in shlex.split(line, comments=True)[1:]:
        found += sorted(map(str, Path().glob(word))) if "*" in word else [word]
    return found


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (action,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


@cache
def small_photograph() -> Image.Image:
    with Image.open(DEMO_IMAGE) as image:
        return image.convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the pictures that the README speaks of."""
    (tmp_path / "holiday").mkdir()
    small_photograph().save(tmp_path / "photo.png")
    for name in ("beach", "sea"):
        small_photograph().crop((0, 0, 24, 16)).save(tmp_path / "holiday" / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_python_blocks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One after the other, with the names of the earlier ones. The first one prints a rate."""
    small_photograph().convert("L").save("photo.png")  # one channel is quantised in half the time
    blocks = python_blocks()
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert 0 < float(capsys.readouterr().out.split()[0]) < 8
    with Image.open(folder / "decoded.png") as decoded:
        assert (decoded.size, decoded.mode) == (SIZE, "L")


@pytest.mark.slow
def test_commands(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One after the other, as a reader types them: later ones find the files of earlier ones."""
    lines = command_lines()
    assert len(lines) == 10
    for line in lines:
        arguments = words(line)
        added = SHORT_FIT if arguments[0] == "encode" else ()
        expected = 0
        if "--partial" in arguments:
            Path("cut.givre").write_bytes(Path("photo.givre").read_bytes()[:-20])
            expected = PartialError.exit_code
        assert main([*arguments, *added]) == expected, line
    assert "bpp" in capsys.readouterr().out
    made = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    named = {word for line in lines for word in words(line) if re.search(r"\.[a-z]+$", word)}
    assert made == named | {"holiday/beach.givre", "holiday/sea.givre"}
    assert load_samples("decoded.png").shape == (SIZE[1], SIZE[0], 3)
    check_targets()


def check_targets() -> None:
    """The files of a size, a rate and a quality are what the comments beside the commands say."""
    comments = dict(re.findall(r"--target-(\w+) [\d.]+ +# (.*)", README))
    assert comments.keys() == {"size", "bpp", "psnr"}
    goals = {kind: float(x) for kind, x in re.findall(r"--target-(\w+) ([\d.]+) +#", README)}
    assert "never more" in comments["size"]
    assert Path("small.givre").stat().st_size <= goals["size"]
    assert "within 2 %" in comments["bpp"]
    bpp = givre.info("even.givre")["bpp"]
    assert isinstance(bpp, float)
    assert bpp == pytest.approx(goals["bpp"], rel=0.02)
    assert "within 0.1" in comments["psnr"]
    decoded = np.asarray(givre.decode("fine.givre"))
    psnr = psnr_db(mean_squared_error(load_samples("photo.png"), decoded))
    assert psnr == pytest.approx(goals["psnr"], abs=0.1)


def test_what_is_named_exists() -> None:
    named = re.findall(r"`((?:\.?\w+/)[\w./-]*)`", PROSE) + re.findall(r"\]\(([\w./-]+)\)", PROSE)
    assert len(named) > 30
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_commands_and_options_that_prose_names_exist() -> None:
    parser = build_parser()
    commands = subparsers(parser)
    options = {o for p in (parser, *commands.values()) for o in p._option_string_actions}
    code = re.findall(r"`([^`\n]+)`", PROSE)
    named = {m[1] for text in code if (m := re.match(r"givre (\w+)", text))}
    assert named >= {"encode"}
    assert named <= commands.keys()
    ours = [text for text in code if text.startswith(("givre ", "--"))]
    flags = {flag for text in ours for flag in re.findall(r"(?<!\S)--[a-z-]+", text)}
    assert flags >= {"--quality", "--effort"}
    assert flags <= options


def test_folders_of_the_package_are_all_described() -> None:
    rows = re.findall(r"^\| (`\w+/.*?) \|", README, re.MULTILINE)
    described = {folder for row in rows for folder in re.findall(r"`([\w/]+)/`", row)}
    tops = ("api", "bitstream", "coder", "models", "scripts")
    folders = {p.parent for top in tops for p in (ROOT / top).rglob("*.py")}
    near = {Path(*p.relative_to(ROOT).parts[:2]) for p in folders}
    assert {str(p) for p in near} <= described


def test_results_are_those_of_the_benchmark() -> None:
    report = json.loads((ROOT / "results" / "rd" / "auto-2000.json").read_text(encoding="utf-8"))
    measured = [f"{row['per_image']:+.1f} %" for row in report["bd_rates"] if row["images"] == 8]
    table = README[README.index("| against |") :].split("\n\n")[0]
    assert re.findall(r"[-+][\d.]+ %", table) == measured


def test_efforts_are_those_of_the_benchmark() -> None:
    report = json.loads((ROOT / "results" / "effort.json").read_text(encoding="utf-8"))
    rows = {row[0]: row[1:] for row in map(cells, README.splitlines()) if len(row) == 11}
    for label, key in (("steps", "steps"), ("bits more than at effort 9", "bd_rate_percent")):
        stated = [float(cell.rstrip(" %").replace(",", "")) for cell in rows[label]]
        measured = [row[key] for row in report["rows"]]
        assert stated == [round(value, 1) for value in measured]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]
