"""PGM and PPM files with more than 8 bits a sample, which Pillow cuts."""

from __future__ import annotations

import re

import numpy as np

from givre.coder.files.picture import AnySamples, DeepSamples, bands, check_size
from givre.errors import ImageError

_GAP = rb"(?:\s|#[^\n]*\n)+"
_HEADER = re.compile(
    rb"P([56])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,5})\s"
)


def is_deep_netpbm(data: bytes) -> bool:
    """Whether it is a binary PGM or PPM file with samples of two bytes."""
    match = _HEADER.match(data[:4096])
    return match is not None and 255 < int(match[4]) < 65536


def read_deep_netpbm(data: bytes, name: str) -> tuple[DeepSamples, int]:
    """Samples (H, W, C) of such a file, and their depth in bits.

    A largest value that is not 2^n - 1 is stretched to 65535.

    Raises:
        ImageError: it is cut or too large, or a sample is above the largest value.
    """
    match = _HEADER.match(data[:4096])
    assert match is not None, "is_deep_netpbm has found one"
    channels = 1 if match[1] == b"5" else 3
    width, height, largest = (int(match[i]) for i in (2, 3, 4))
    check_size(width, height, name)
    count = width * height * channels
    if len(data) - match.end() < 2 * count:
        raise ImageError(f"cannot read {name}: it is truncated")
    stored = np.frombuffer(data, ">u2", count, match.end()).reshape(height, width, channels)
    if stored.max() > largest:
        raise ImageError(f"cannot read {name}: a sample is above {largest}, its largest value")
    samples = stored.astype(np.uint16)
    bit_depth = largest.bit_length()
    if largest == (1 << bit_depth) - 1:
        return samples, bit_depth
    for rows in bands(height, width):
        samples[rows] = (samples[rows].astype(np.uint32) * 65535 + largest // 2) // largest
    return samples, 16


def write_netpbm(samples: AnySamples, bit_depth: int) -> bytes:
    """A PGM or PPM file of samples (H, W, 1 or 3) of 8 to 16 bits."""
    height, width, channels = samples.shape
    header = f"P{5 if channels == 1 else 6}\n{width} {height}\n{(1 << bit_depth) - 1}\n"
    return header.encode() + samples.astype("u1" if bit_depth == 8 else ">u2").tobytes()
