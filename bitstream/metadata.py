"""What belongs to a picture besides its samples: how its colours are meant, and who made it how."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metadata:
    """Blocks of bytes as image files carry them; an empty one means that there is none.

    Attributes:
        icc: an ICC profile, for the channels that the samples have without alpha.
        exif: a TIFF block, from its "II" or "MM" on, without the prefix "Exif" that JPEG has.
        xmp: an XMP packet.
        cicp: colour primaries, transfer function, matrix and full range, 0 to 255 each, as
            ITU-T H.273 numbers them; None if they are not given.
    """

    icc: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    cicp: tuple[int, int, int, int] | None = None
