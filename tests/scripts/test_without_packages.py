"""The command where a package that only a part of it needs is not installed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from child_processes import run_python
from PIL import Image
from places import CONFORMANCE

import givre

COMPILER = ("numba", "llvmlite")
ENCODING = (*COMPILER, "torch", "safetensors", "filelock", "platformdirs")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    y, x = np.mgrid[:16, :24]
    path = tmp_path / "photo.png"
    Image.fromarray(np.stack([8 * x, 12 * y, 5 * (x + y)], axis=-1).astype(np.uint8)).save(path)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "coded.givre"
    path.write_bytes((CONFORMANCE / "fitted-hop-32x24x3.givre").read_bytes())
    return path


def givre_without(
    packages: tuple[str, ...], folder: Path, *words: str | Path
) -> subprocess.CompletedProcess[str]:
    """Run the command where some packages cannot be imported."""
    program = (
        "import sys\n"
        f"sys.modules |= dict.fromkeys({packages})\n"
        "from givre.scripts.main import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    return run_python("-c", program, *words, cwd=folder)


def same_pixels(picture: Path, file: Path) -> bool:
    return np.array_equal(np.asarray(Image.open(picture)), np.asarray(givre.decode(file)))


@pytest.mark.slow
@pytest.mark.parametrize("kernels", ["reference", "auto"])
def test_all_works_without_a_compiler(image: Path, tmp_path: Path, kernels: str) -> None:
    coded, decoded = tmp_path / "photo.givre", tmp_path / "decoded.png"
    options = ["--steps", "2", "--complexity", "lop", "--threads", "1"]
    for words in (["encode", image, coded, *options], ["decode", coded, decoded]):
        found = givre_without(COMPILER, tmp_path, *words, "--kernels", kernels)
        assert found.returncode == 0, found.stderr
    assert same_pixels(decoded, coded)


@pytest.mark.slow
def test_compiled_kernels_without_a_compiler_are_an_error(image: Path, tmp_path: Path) -> None:
    for words in (["encode", image], ["decode", CONFORMANCE / "constant-11x9.givre", "out.png"]):
        found = givre_without(COMPILER, tmp_path, *words, "--kernels", "fused")
        assert found.returncode == 2
        assert len(found.stderr.splitlines()) == 1
        assert "numba" in found.stderr


def test_decoding_and_describing_need_no_package_of_encoding(file: Path, tmp_path: Path) -> None:
    picture = tmp_path / "decoded.png"
    decoded = givre_without(ENCODING, tmp_path, "decode", file, picture)
    assert decoded.returncode == 0, decoded.stderr
    assert same_pixels(picture, file)
    described = givre_without(ENCODING, tmp_path, "info", file, "--json")
    assert described.returncode == 0, described.stderr
    assert json.loads(described.stdout) == json.loads(json.dumps(givre.info(file)))
    inspected = givre_without(ENCODING, tmp_path, "inspect", file, "--json")
    assert inspected.returncode == 0, inspected.stderr
    assert json.loads(inspected.stdout)["width"] == 32


@pytest.mark.parametrize(
    "words", [["encode", "photo.png"], ["overfit", "photo.png", "photo.fit"]], ids=lambda w: w[0]
)
def test_a_fit_without_its_packages_says_what_to_install(
    image: Path, tmp_path: Path, words: list[str]
) -> None:
    found = givre_without(ENCODING, tmp_path, *words)
    assert (found.returncode, found.stdout) == (2, "")
    (line,) = found.stderr.splitlines()
    assert line.startswith("givre: error: ")
    assert "torch" in line
    assert "pip install 'givre[encode]'" in line
    assert list(tmp_path.iterdir()) == [image]
