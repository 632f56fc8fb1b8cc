"""What a fit aims at: the samples that the synthesis has to make, and how much each counts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from givre.bitstream.alpha_mask import BETWEEN
from givre.bitstream.header import Alpha
from givre.coder.files.picture import AnySamples, Picture
from givre.coder.transparency import Classes, alpha_classes, alpha_kind, has_alpha
from givre.errors import ImageError

_COLOURS_OF = {1: 1, 2: 1, 3: 3, 4: 3}


@dataclass(frozen=True)
class Source:
    """A picture, taken apart.

    Attributes:
        samples: (H, W, C), what the synthesis has to make: grey or colours, then alpha if that is
            SOFT. uint8 if `bit_depth` is 8, else uint16.
        bit_depth: bits a sample, 8 to 16.
        alpha: what the picture has to say of transparency.
        opacity: (H, W) float32 in [0, 1], alpha as a part of its largest value; None if the picture
            is opaque.
        classes: uint8 (H, W), the mask; None if the picture is opaque.
        shares: (H, W) float32 above 0 and up to 1, how much of each pixel a tile makes where others
            cover it too; None where it makes all.
    """

    samples: AnySamples
    bit_depth: int = 8
    alpha: Alpha = Alpha.NONE
    opacity: NDArray[np.float32] | None = None
    classes: Classes | None = None
    shares: NDArray[np.float32] | None = None

    @property
    def colours(self) -> int:
        """Channels without alpha, 1 or 3."""
        return int(self.samples.shape[2]) - (self.alpha is Alpha.SOFT)

    @property
    def colour_samples(self) -> AnySamples:
        """Samples (H, W, 1 or 3) without alpha."""
        return self.samples[:, :, : self.colours]

    @property
    def largest(self) -> int:
        """The largest sample of this depth."""
        return (1 << self.bit_depth) - 1

    @cached_property
    def seen(self) -> float:
        """Part of the picture that is seen, above 0 and at most 1: the mean opacity."""
        if self.opacity is None:
            return 1.0
        return max(float(self.opacity.mean(dtype=np.float64)), 1 / self.opacity.size)

    @cached_property
    def factors(self) -> NDArray[np.float32] | None:
        """Weights of squared errors, float32 (H, W, C); None where all count alike.

        Colours count by their opacity. Alpha counts where the mask leaves it open, and a third as
        much as the colours together. Where tiles overlap each counts by its share: what they leave
        out is nearly the same.
        """
        found = None
        if self.opacity is not None and self.classes is not None:
            found = np.repeat(self.opacity[:, :, None], self.samples.shape[2], axis=2)
            if self.alpha is Alpha.SOFT:
                found[:, :, -1] = self.classes == BETWEEN
        if self.shares is None:
            return found
        shares = self.shares[:, :, None]
        if found is None:
            return np.repeat(shares, self.samples.shape[2], axis=2)
        return found * shares

    @cached_property
    def digest(self) -> str:
        """SHA-256 of shape, depth, samples and mask, in hexadecimal."""
        found = sha256(f"{self.samples.shape} {self.bit_depth} {self.alpha.value}".encode())
        found.update(self.samples.tobytes())
        if self.opacity is not None:
            found.update(self.opacity.tobytes())
        return found.hexdigest()


def source_of(picture: Picture, alpha: Alpha | None = None) -> Source:
    """Take a picture apart. Alpha that is opaque throughout is dropped.

    Args:
        picture: samples and their depth.
        alpha: what it has to say of transparency, as it is part of a larger picture; None for what
            its own pixels need.

    Raises:
        ImageError: the samples are of a kind that the codec does not take.
    """
    samples, depth = picture.samples, picture.bit_depth
    check_samples(samples, depth)
    channels = int(samples.shape[2])
    if not has_alpha(channels):
        return Source(samples, depth)
    classes = alpha_classes(samples[:, :, -1], depth)
    alpha = alpha_kind(classes) if alpha is None else alpha
    opacity = samples[:, :, -1].astype(np.float32) / np.float32((1 << depth) - 1)
    if alpha is not Alpha.SOFT:
        samples = samples[:, :, : _COLOURS_OF[channels]].copy()
    if alpha is Alpha.NONE:
        return Source(samples, depth)
    return Source(samples, depth, alpha, opacity, classes)


def check_samples(samples: AnySamples, bit_depth: int) -> None:
    """Check the type, the shape and the values of a picture's samples.

    Args:
        samples: should be uint8 (H, W, 1 to 4) for 8 bits, uint16 for more, with no side 0.
        bit_depth: should be 8 to 16.

    Raises:
        ImageError: they are something else.
    """
    if not 8 <= bit_depth <= 16:
        raise ImageError(f"samples have {bit_depth} bits, they must have 8 to 16")
    wanted = np.dtype(np.uint8 if bit_depth == 8 else np.uint16)
    if samples.dtype != wanted:
        raise ImageError(f"samples are of type {samples.dtype}, they must be {wanted}")
    if samples.ndim != 3 or not 1 <= samples.shape[2] <= 4 or 0 in samples.shape:
        raise ImageError(f"samples have shape {samples.shape}, it must be (H, W, 1 to 4)")
    if bit_depth % 8 and int(samples.max()) >> bit_depth:
        raise ImageError(f"a sample is {samples.max()}, which is more than {bit_depth} bits")
