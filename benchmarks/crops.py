"""The parts of photographs that quick benchmarks work on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def central_square(path: Path, size: int) -> NDArray[np.uint8]:
    """The central square of an image file, (size, size, 3), as RGB.

    Raises ValueError for an image that is smaller than that.
    """
    picture = np.asarray(Image.open(path).convert("RGB"))
    height, width, _ = picture.shape
    if min(height, width) < size:
        raise ValueError(f"{path} is {width}x{height}, it must be {size}x{size} at least")
    return _centre(picture, size, size)


def thumbnail(path: Path, width: int, height: int) -> NDArray[np.uint8]:
    """The centre of an image file made smaller until it just covers that, (height, width, 3), RGB.

    Raises ValueError for an image that would have to be made larger.
    """
    with Image.open(path) as image:
        scale = max(width / image.width, height / image.height)
        if scale > 1:
            raise ValueError(f"{path} is smaller than {width}x{height} pixels")
        size = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
        small = np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS))
    return _centre(small, width, height)


def _centre(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return np.ascontiguousarray(picture[top : top + height, left : left + width])
