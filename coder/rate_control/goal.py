"""A size, a rate or a quality that a file shall meet, and how far a file is from it.

Everything is judged by one number, the *excess*, which is above zero where the file is too large or
too good, so that lambda has to rise. A rate's excess is the logarithm of the latents' bits over
those that may be spent; a quality's is the difference in dB.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, log

from givre.coder.fitting.choices import FitChoices
from givre.coder.rate_control.lmbda_response import FitResponse, QualityResponse, RateResponse
from givre.errors import UsageError

BPP_TOLERANCE = 0.02
"""Largest relative error of a rate, and how far below its limit a size should stay at most."""

PSNR_TOLERANCE = 0.1
"""Largest error of a quality, in dB."""

_SIZE_AIM = 0.99
"""A size may not be exceeded, so the aim lies below it."""

_PERFECT_DB = 120.0
"""Stands for an infinite PSNR."""

_LEAST_SHARE_FOR_LATENTS = 0.05
"""Part of the bits that are thought to be left for latents, however large all else is."""


def goal_of(choices: FitChoices) -> Goal | None:
    """The target among what was asked for, if there is one."""
    for kind in ("bpp", "psnr", "size"):
        value = getattr(choices, f"target_{kind}")
        if value is not None:
            return Goal(kind, value)
    return None


@dataclass(frozen=True)
class Goal:
    """What the file shall meet.

    Attributes:
        kind: `bpp` (bits a pixel of the whole file), `psnr` (dB) or `size` (bytes, not exceeded).
        value: above 0.

    Raises:
        UsageError: the kind is unknown or the value out of range.
    """

    kind: str
    value: float

    def __post_init__(self) -> None:
        if self.kind not in ("bpp", "psnr", "size"):
            raise UsageError(f"the target is {self.kind!r}, it must be bpp, psnr or size")
        if not (isfinite(self.value) and self.value > 0):
            raise UsageError(f"the target {self.kind} is {self.value}, it must be above 0")

    def __str__(self) -> str:
        unit = {"bpp": "bpp", "psnr": "dB", "size": "bytes"}[self.kind]
        return f"{self.value:g} {unit}" if self.kind != "size" else f"{self.value:.0f} {unit}"

    @property
    def is_quality(self) -> bool:
        """Whether it is a PSNR and not a rate."""
        return self.kind == "psnr"

    def admits(self, size: int, psnr_db: float, pixels: int) -> bool:
        """Whether a file of `size` bytes and this quality may be the result."""
        if self.kind == "size":
            return size <= self.value
        if self.kind == "bpp":
            return abs(8 * size / pixels / self.value - 1) <= BPP_TOLERANCE
        return abs(psnr_db - self.value) <= PSNR_TOLERANCE

    def meets(self, size: int, psnr_db: float, pixels: int) -> bool:
        """Whether such a file is as close as it shall be; never without `admits`."""
        close = self.kind != "size" or size >= (1 - BPP_TOLERANCE) * self.value
        return close and self.admits(size, psnr_db, pixels)

    def excess(self, latent_bits: float, other_bits: float, psnr_db: float, pixels: int) -> float:
        """How much too large or too good, of log(bits) or in dB.

        Args:
            latent_bits: of the latents.
            other_bits: of everything else in the file.
            psnr_db: of the decoded image.
            pixels: of the image.
        """
        if self.is_quality:
            return min(psnr_db, _PERFECT_DB) - self.value
        total = self.value * pixels if self.kind == "bpp" else _SIZE_AIM * 8 * self.value
        spendable = max(total - other_bits, _LEAST_SHARE_FOR_LATENTS * total)
        return log(max(latent_bits, 1.0) / spendable)

    def miss(self, size: int, psnr_db: float, pixels: int) -> float:
        """How far a file is from the goal, of the rate or in dB; above 0: too large or too good."""
        if self.is_quality:
            return min(psnr_db, _PERFECT_DB) - self.value
        return 8 * size / pixels / self.value - 1 if self.kind == "bpp" else size / self.value - 1

    @property
    def response(self) -> FitResponse:
        """How the excess answers to lambda."""
        return QualityResponse() if self.is_quality else RateResponse()
