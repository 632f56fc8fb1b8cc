"""A picture in memory: its samples, their depth, and what belongs to them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.metadata import Metadata


@dataclass(frozen=True)
class Picture:
    """Samples as they are shown, upright, with their metadata.

    Attributes:
        samples: (H, W, C), C 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha); uint8 if
            `bit_depth` is 8, otherwise uint16. Alpha is not multiplied in.
        bit_depth: 8 to 16; samples are 0 to 2^bit_depth - 1.
        metadata: profile, EXIF, XMP and colour code; an orientation in the EXIF is 1.
    """

    samples: NDArray[np.uint8] | NDArray[np.uint16]
    bit_depth: int = 8
    metadata: Metadata = field(default_factory=Metadata)
