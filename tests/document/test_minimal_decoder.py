"""docs/minimal_decoder.py decodes every conformance stream, so docs/FORMAT.md says enough."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from minimal import SCRIPT, minimal_decoder
from PIL import Image
from places import CONFORMANCE, ROOT

PIXELS = json.loads((CONFORMANCE / "pixels.json").read_text())
LARGE_PIXELS = 500_000
MAX_LINES = 500

CASES = [
    pytest.param(
        name, marks=[pytest.mark.slow] * (entry["shape"][0] * entry["shape"][1] > LARGE_PIXELS)
    )
    for name, entry in PIXELS.items()
]

DECODER = minimal_decoder()


def stream(name: str) -> bytes:
    return (CONFORMANCE / f"{name}.givre").read_bytes()


@pytest.mark.parametrize("name", CASES)
def test_pixels(name: str) -> None:
    samples, _ = DECODER.decode(stream(name))
    assert list(samples.shape) == PIXELS[name]["shape"]
    assert sha256(samples.tobytes()).hexdigest() == PIXELS[name]["sha256"]


def test_it_imports_numpy_and_the_standard_library_alone() -> None:
    imported = "import sys; before = set(sys.modules); sys.path.insert(0, sys.argv[1])\n"
    imported += "import minimal_decoder\n"
    imported += "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    command = [sys.executable, "-c", imported, str(SCRIPT.parent)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    others = set(printed.split()) - sys.stdlib_module_names
    assert {"minimal_decoder", "numpy"} <= others
    assert {"givre", "constriction", "numba", "torch", "PIL"}.isdisjoint(others)


def test_it_stays_short() -> None:
    assert len(SCRIPT.read_text(encoding="utf-8").splitlines()) < MAX_LINES


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("range-code-0", "RGB"),
        ("worked-12x9", "LA"),
        ("alpha-mask-3-outputs-8-bits", "RGBA"),
        ("depth-9-range-code-0", None),
    ],
)
def test_files_that_it_writes(tmp_path: Path, name: str, mode: str | None) -> None:
    source, npy, png = CONFORMANCE / f"{name}.givre", tmp_path / "x.npy", tmp_path / "x.png"
    for target in (npy, png):
        subprocess.run([sys.executable, str(SCRIPT), str(source), str(target)], check=True)
    samples = np.load(npy)
    assert sha256(samples.tobytes()).hexdigest() == PIXELS[name]["sha256"]
    with Image.open(png) as image:
        image.load()
        assert image.size == samples.shape[1::-1]
        if mode is not None:
            assert image.mode == mode
            assert np.array_equal(np.asarray(image), samples)


def test_samples_of_nine_bits_are_spread_over_sixteen() -> None:
    samples = np.array([[[0], [1], [256], [511]]], np.uint16)
    png = DECODER.png(samples, 9)
    start = png.index(b"IDAT") + 4
    length = int.from_bytes(png[start - 8 : start - 4], "big")
    (filter_, *row) = zlib.decompress(png[start : start + length])
    assert filter_ == 0
    assert np.frombuffer(bytes(row), ">u2").tolist() == [0, 128, 32832, 65535]


def test_priors_of_another_folder(tmp_path: Path) -> None:
    name = "prior1-lop-40x24x3"
    with pytest.raises(FileNotFoundError):
        DECODER.decode(stream(name), tmp_path)
    folder = ROOT / "bitstream" / "priors"
    (tmp_path / "lop-1.bin").write_bytes((folder / "lop-1.bin").read_bytes())
    samples, _ = DECODER.decode(stream(name), tmp_path)
    assert sha256(samples.tobytes()).hexdigest() == PIXELS[name]["sha256"]


def with_checksum(body: bytes) -> bytes:
    return body + zlib.crc32(body).to_bytes(4, "little")


def test_damage_is_noticed() -> None:
    data = stream("metadata")
    for place in (1, 30, len(data) - 30, len(data) - 2):
        damaged = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(ValueError, match=r"damaged|does not match|not a givre file"):
            DECODER.decode(damaged)
    for wrong in (data[:-1], data[:9], data + b"\0"):
        with pytest.raises(ValueError, match=r"cut short|does not match"):
            DECODER.decode(wrong)
    # Both checksums of the file are right, that of a section after the pixels or of the samples
    # is not.
    last = len(data) - 10
    with pytest.raises(ValueError, match="section after the pixels is damaged"):
        DECODER.decode(with_checksum(data[:last] + bytes([data[last] ^ 1]) + data[last + 1 : -4]))
    plain = stream("range-code-0")
    with pytest.raises(ValueError, match=r"the samples do not match|a message is damaged"):
        DECODER.decode(with_checksum(plain[:-5] + bytes([plain[-5] ^ 64])))


def test_large_pictures_are_refused() -> None:
    side = b"\xff\xff\x3f"  # 2^20 less 1
    with pytest.raises(ValueError, match="too large"):
        DECODER.decode(b"\x8fGV\x04\x01\x02" + side + side + bytes(20))


@pytest.mark.parametrize("code", [0, 5, 6])
def test_reserved_architectures_are_refused(code: int) -> None:
    with pytest.raises(ValueError, match=f"the code {code} of the architecture is reserved"):
        DECODER.decode(b"\x8fGV\x04" + bytes([code]) + bytes(20))


@pytest.mark.parametrize(
    "rest",
    [
        "07 29 01 01 04 01 04 03 02 1f 17",  # 41 neighbours
        "07 03 01 01 04 01 04 10 02 1f 17",  # 16 taps before the concatenation
        "09 02 1f 17 11",  # one main grid
        "09 02 1f 17 35",  # three hyper grids of five
    ],
)
def test_impossible_architectures_are_refused(rest: str) -> None:
    with pytest.raises(ValueError, match="the sizes of the architecture are not allowed"):
        DECODER.decode(b"\x8fGV\x04" + bytes.fromhex(rest) + bytes(40))


def test_a_number_that_does_not_end_is_refused() -> None:
    with pytest.raises(ValueError, match="a number of the file is damaged"):
        DECODER.decode(b"\x8fGV\x04\x01\x02" + b"\xff" * 1000)
