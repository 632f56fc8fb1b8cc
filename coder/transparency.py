"""Transparency: what of a picture's samples the synthesis makes, and what the mask says.

Alpha that is 0 or at its largest is kept exactly, by a mask that is coded without loss. What lies
in between is an output of the synthesis, which then never reaches either end. A picture whose
pixels are all at an end has the mask alone, and one that is opaque throughout has neither.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.alpha_mask import BETWEEN, OPAQUE, TRANSPARENT
from givre.bitstream.header import Alpha
from givre.coder.files.picture import AnySamples

Classes = NDArray[np.uint8]


def has_alpha(channels: int) -> bool:
    """Whether pictures with so many samples a pixel, 1 to 4, have alpha."""
    return channels % 2 == 0


def alpha_classes(alpha: AnySamples, bit_depth: int) -> Classes:
    """Class of every pixel: BETWEEN, TRANSPARENT or OPAQUE.

    Args:
        alpha: (H, W), 0 to 2^bit_depth - 1.
        bit_depth: 8 to 16.

    Returns:
        uint8 (H, W).
    """
    classes = np.full(alpha.shape, BETWEEN, np.uint8)
    classes[alpha == 0] = TRANSPARENT
    classes[alpha == (1 << bit_depth) - 1] = OPAQUE
    return classes


def alpha_kind(classes: Classes) -> Alpha:
    """What a picture with these classes of pixels has to say of transparency."""
    if (classes == OPAQUE).all():
        return Alpha.NONE
    return Alpha.SOFT if (classes == BETWEEN).any() else Alpha.MASK


def with_mask(outputs: AnySamples, classes: Classes, alpha: Alpha, bit_depth: int) -> AnySamples:
    """The picture's samples from those that the synthesis made and the mask.

    Args:
        outputs: (H, W, C), the last channel being alpha if that is SOFT.
        classes: uint8 (H, W) of BETWEEN, TRANSPARENT and OPAQUE.
        alpha: MASK or SOFT.
        bit_depth: 8 to 16.

    Returns:
        (H, W, 2 or 4) of the type of `outputs`. Alpha is 0 where the class is TRANSPARENT, the
        largest sample where it is OPAQUE, and elsewhere from 1 to one below the largest.
    """
    largest = (1 << bit_depth) - 1
    if alpha is Alpha.MASK:
        ends = np.where(classes == OPAQUE, largest, 0).astype(outputs.dtype)
        return np.concatenate([outputs, ends[:, :, None]], axis=2)
    found = outputs.copy()
    soft = found[:, :, -1]
    np.clip(soft, 1, largest - 1, out=soft)
    soft[classes == TRANSPARENT] = 0
    soft[classes == OPAQUE] = largest
    return found
