"""BMP files whose header says which bits of a pixel are alpha; Pillow reads but some of them."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from givre.coder.files.picture import Samples, bands, check_size
from givre.errors import ImageError

_BIT_FIELDS = 3


@dataclass(frozen=True)
class _Layout:
    width: int
    height: int
    bottom_up: bool
    bytes_per_pixel: int
    start: int
    masks: tuple[int, int, int, int]


def has_alpha_mask(data: bytes) -> bool:
    """Whether it is a BMP file with pixels of 16 or 32 bits, some of which are alpha."""
    return _layout(data) is not None


def read_masked_bmp(data: bytes, name: str) -> Samples:
    """Samples (H, W, 4) of such a file.

    Raises:
        ImageError: it is cut or too large.
    """
    layout = _layout(data)
    assert layout is not None, "has_alpha_mask has found one"
    check_size(layout.width, layout.height, name)
    stride = (layout.width * layout.bytes_per_pixel + 3) // 4 * 4
    if len(data) < layout.start + stride * layout.height:
        raise ImageError(f"cannot read {name}: it is truncated")
    samples = np.empty((layout.height, layout.width, 4), np.uint8)
    stored = np.frombuffer(data, np.uint8, stride * layout.height, layout.start)
    stored = stored.reshape(layout.height, stride)[:, : layout.width * layout.bytes_per_pixel]
    if layout.bottom_up:
        stored = stored[::-1]
    for rows in bands(layout.height, layout.width):
        pixels = np.ascontiguousarray(stored[rows]).view(f"<u{layout.bytes_per_pixel}")
        for channel, mask in enumerate(layout.masks):
            samples[rows, :, channel] = _field(pixels.astype(np.uint64), mask)
    return samples


def _field(pixels: np.ndarray, mask: int) -> np.ndarray:
    """One channel, stretched to 0 to 255."""
    if mask == 0:
        return np.zeros(pixels.shape, np.uint8)
    shift = (mask & -mask).bit_length() - 1
    most = mask >> shift
    values = (pixels & np.uint64(mask)) >> np.uint64(shift)
    return ((values * np.uint64(255) + np.uint64(most // 2)) // np.uint64(most)).astype(np.uint8)


def _layout(data: bytes) -> _Layout | None:
    if data[:2] != b"BM" or len(data) < 70:
        return None
    (start,) = struct.unpack_from("<I", data, 10)
    size, width, height, _, bits, compression = struct.unpack_from("<IiiHHI", data, 14)
    masks = struct.unpack_from("<4I", data, 54)
    if size < 56 or compression != _BIT_FIELDS or bits not in (16, 32) or not masks[3]:
        return None
    return _Layout(width, abs(height), height > 0, bits // 8, start, masks)
