"""Streams that must decode to the same pixels as long as the format version lives."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
from places import CONFORMANCE
from torch_backend import TorchBackend

from givre.coder import decoder
from givre.coder.decoder import decode_samples

PIXELS = json.loads((CONFORMANCE / "pixels.json").read_text())

# torch takes half a minute for a million pixels, and the smaller streams have all of its paths.
LARGE_PIXELS = 500_000


def case(name: str, kernels: str, large: bool) -> object:
    slow = kernels == "torch" or (kernels == "reference" and large)
    return pytest.param(name, kernels, marks=[pytest.mark.slow] if slow else [])


CASES = [
    case(name, kernels, large)
    for name, pixels in PIXELS.items()
    for large in [pixels["shape"][0] * pixels["shape"][1] >= LARGE_PIXELS]
    for kernels in ("fused", "reference", "torch")
    if not (kernels == "torch" and large)
]


def test_every_stream_is_listed_with_what_it_is_for() -> None:
    assert {path.stem for path in CONFORMANCE.glob("*.givre")} == set(PIXELS)
    assert all(entry["purpose"] for entry in PIXELS.values())


@pytest.mark.parametrize(("name", "kernels"), CASES)
def test_pixels(name: str, kernels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kernels == "torch":
        monkeypatch.setattr(decoder, "make_backend", lambda _, *parts: TorchBackend(*parts))
        kernels = "reference"
    data = (CONFORMANCE / f"{name}.givre").read_bytes()
    for threads in (1, 2):
        samples = decode_samples(data, threads=threads, kernels=kernels)
        assert list(samples.shape) == PIXELS[name]["shape"]
        assert sha256(samples.tobytes()).hexdigest() == PIXELS[name]["sha256"]
