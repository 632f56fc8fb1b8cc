"""The part of a photograph that quick benchmarks work on."""

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
    top, left = (height - size) // 2, (width - size) // 2
    return np.ascontiguousarray(picture[top : top + size, left : left + size])
