"""Pictures as Pillow's images, for those who go on with them in Python."""

from __future__ import annotations

import numpy as np
from PIL import Image

from givre.bitstream.metadata import Metadata
from givre.coder.files.picture import AnySamples, widen
from givre.errors import ImageError

EXIF_PREFIX = b"Exif\0\0"
"""What Pillow and JPEG have before an EXIF block."""

CHANNEL_NAMES = {1: "grey", 2: "grey with alpha", 3: "RGB", 4: "RGB with alpha"}
"""Number of channels to what a picture with them is called."""


def to_image(
    samples: AnySamples, bit_depth: int = 8, metadata: Metadata | None = None
) -> Image.Image:
    """Pillow image of samples, with the metadata in its `info`, where Pillow looks on saving.

    Args:
        samples: uint8 or uint16 (H, W, C), C 1 to 4.
        bit_depth: 8 gives L, LA, RGB or RGBA; 9 to 16 gives I;16, over its full range.
        metadata: what belongs to it.

    Raises:
        ImageError: the samples are of another kind, or have more than 8 bits and are not grey,
            which Pillow has no image for.
    """
    if samples.ndim != 3 or not 1 <= samples.shape[2] <= 4 or samples.size == 0:
        raise ImageError(f"the samples have shape {samples.shape}, it must be (H, W, 1 to 4)")
    if samples.dtype != (np.uint8 if bit_depth == 8 else np.uint16):
        raise ImageError(f"the samples hold {samples.dtype}, which are not {bit_depth} bits")
    channels = samples.shape[2]
    if bit_depth > 8:
        if channels > 1:
            raise ImageError(
                f"Pillow has no image for {CHANNEL_NAMES[channels]} of {bit_depth} bits, take"
                " the samples as an array or write a .png or .tif"
            )
        samples = widen(samples, bit_depth)
    image = Image.fromarray(samples[:, :, 0] if channels == 1 else samples)
    if metadata is not None:
        blocks = {
            "icc_profile": _profile(metadata, channels),
            "exif": metadata.exif and EXIF_PREFIX + metadata.exif,
            "xmp": metadata.xmp,
        }
        image.info.update({kind: block for kind, block in blocks.items() if block})
    return image


def _profile(metadata: Metadata, channels: int) -> bytes:
    if metadata.icc or not metadata.cicp:
        return metadata.icc
    from givre.coder.files.profiles import profile_of_code  # seldom needed, and slow to load

    return profile_of_code(metadata.cicp, channels)
