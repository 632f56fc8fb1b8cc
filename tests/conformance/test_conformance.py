"""Streams that must decode to the same pixels as long as the format version lives."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
from places import CONFORMANCE

from givre.coder.decoder import decode_samples
from givre.coder.exact_backends import BACKENDS

PIXELS = json.loads((CONFORMANCE / "pixels.json").read_text())


def test_every_stream_is_listed() -> None:
    assert {path.stem for path in CONFORMANCE.glob("*.givre")} == set(PIXELS)


@pytest.mark.parametrize("kernels", BACKENDS)
@pytest.mark.parametrize("name", list(PIXELS))
def test_pixels(name: str, kernels: str) -> None:
    data = (CONFORMANCE / f"{name}.givre").read_bytes()
    for threads in (1, 2):
        samples = decode_samples(data, threads=threads, kernels=kernels)
        assert list(samples.shape) == PIXELS[name]["shape"]
        assert sha256(samples.tobytes()).hexdigest() == PIXELS[name]["sha256"]
