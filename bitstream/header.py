"""The header: everything that a decoder must know before it reads the coded sections."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from givre.bitstream.sample_range import range_code
from givre.bitstream.tiling import Tiling, check_tiling, n_tiles
from givre.bitstream.varint import MAX_VARINT
from givre.errors import UsageError
from givre.models.architecture import Architecture

MAGIC = b"\x8fGV"
"""First three bytes of every file. The first is a control character in every 8-bit text, and no
format that `file` or the desktop's databases know begins with it."""

MIME_TYPE = "image/x-givre"
"""Media type of a file."""

VERSION = 4
"""The format version that this module writes and reads."""

MAX_SIDE = 1 << 20
"""Largest width and height, in pixels."""

MAX_PRIOR = 15
"""Largest number of a prior that a header can name."""

MIN_DEPTH, MAX_DEPTH = 8, 16
"""Fewest and most bits a sample."""


class Alpha(Enum):
    """What a picture knows of transparency.

    NONE: it is opaque.
    MASK: every pixel is transparent or opaque, as the mask section says.
    SOFT: the last output of the synthesis is alpha; the mask section says which pixels are wholly
        transparent or opaque.
    """

    NONE = "none"
    MASK = "mask"
    SOFT = "soft"


@dataclass(frozen=True)
class TileEntry:
    """What the header says of one tile, or of the whole picture where there are no tiles.

    Attributes:
        sample_low: per output of the synthesis, the sample that 0 stands for.
        sample_high: per output, the sample that 1 stands for; sample_low to 2^bit_depth - 1.
        parameter_bytes: length of the parameter section, 0 to 2^32 - 1. 0 where all tiles share
            the picture's parameters.
        latent_bytes: length of the latent section, 0 to 2^32 - 1.
        mask_bytes: length of the mask section, 0 to 2^32 - 1; 0 for opaque pictures.
        pixel_crc: CRC-32 of the decoded samples, see `givre.bitstream.container.samples_crc`.
    """

    sample_low: tuple[int, ...]
    sample_high: tuple[int, ...]
    parameter_bytes: int
    latent_bytes: int
    pixel_crc: int
    mask_bytes: int = 0


@dataclass(frozen=True)
class Header:
    """What the header of a file says; UsageError if no file can say it.

    Attributes:
        width: columns of pixels, 1 to 2^20.
        height: rows of pixels, 1 to 2^20.
        bit_depth: bits a sample, 8 to 16.
        architecture: of the decoder. Its n_channels is the number of outputs of the synthesis:
            1 or 3 for grey or colours, one more if alpha is SOFT.
        tiles: an entry for each tile, row by row; one for a picture without tiles.
        alpha: what there is of transparency.
        tiling: sides of the tiles; None for one piece.
        shared_parameter_bytes: length of the parameter section of all tiles; 0 if each has its own.
        has_metadata: sections of metadata follow the pixels.
        prior: number of the prior that the parameters are differences from, 0 (none) to 15. Which
            ones there are is for `givre.bitstream.priors` to say.
    """

    width: int
    height: int
    bit_depth: int
    architecture: Architecture
    tiles: tuple[TileEntry, ...]
    alpha: Alpha = Alpha.NONE
    tiling: Tiling | None = None
    shared_parameter_bytes: int = 0
    has_metadata: bool = False
    prior: int = 0

    def __post_init__(self) -> None:
        if not MIN_DEPTH <= self.bit_depth <= MAX_DEPTH:
            raise UsageError(
                f"bit depth is {self.bit_depth}, it must be {MIN_DEPTH} to {MAX_DEPTH}"
            )
        _check_ranges(self, {"width": (1, MAX_SIDE), "height": (1, MAX_SIDE)})
        _check_ranges(self, {"prior": (0, MAX_PRIOR), "shared_parameter_bytes": (0, MAX_VARINT)})
        if (self.alpha is Alpha.SOFT) != (self.architecture.n_channels % 2 == 0):
            raise UsageError(
                f"the synthesis has {self.architecture.n_channels} outputs, it must have 1 or 3,"
                " and one more for alpha"
            )
        if self.tiling is not None:
            check_tiling(self.width, self.height, self.tiling)
        expected = n_tiles(self.width, self.height, self.tiling)
        if len(self.tiles) != expected:
            raise UsageError(f"there are {len(self.tiles)} tiles, there must be {expected}")
        if self.shared_parameter_bytes and not self.shares_parameters:
            raise UsageError("tiles do not share parameters, so there are none of all")
        for tile in self.tiles:
            _check_tile(self, tile)

    @property
    def channels(self) -> int:
        """Samples a pixel of the picture: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha."""
        return self.architecture.n_channels + (self.alpha is Alpha.MASK)

    @property
    def pixels(self) -> int:
        """Pixels of the picture."""
        return self.width * self.height

    @property
    def range_code(self) -> int:
        """How all sample ranges are coded: the least code that holds every tile's."""
        return max(range_code(t.sample_low, t.sample_high, self.bit_depth) for t in self.tiles)

    @property
    def shares_parameters(self) -> bool:
        """Whether all tiles have the same parameters, held once."""
        return self.tiling is not None and self.tiling.shared

    @property
    def parameter_bytes(self) -> int:
        """Bytes of all parameter sections."""
        return self.shared_parameter_bytes + sum(tile.parameter_bytes for tile in self.tiles)

    @property
    def latent_bytes(self) -> int:
        """Bytes of all latent sections."""
        return sum(tile.latent_bytes for tile in self.tiles)

    @property
    def mask_bytes(self) -> int:
        """Bytes of all mask sections."""
        return sum(tile.mask_bytes for tile in self.tiles)


def _check_ranges(value: object, ranges: dict[str, tuple[int, int]]) -> None:
    for name, (low, high) in ranges.items():
        found = getattr(value, name)
        if not low <= found <= high:
            raise UsageError(f"{name} is {found}, it must be {low} to {high}")


def _check_tile(header: Header, tile: TileEntry) -> None:
    names = ("parameter_bytes", "latent_bytes", "mask_bytes", "pixel_crc")
    _check_ranges(tile, dict.fromkeys(names, (0, MAX_VARINT)))
    if tile.mask_bytes and header.alpha is Alpha.NONE:
        raise UsageError("an opaque picture has no mask section")
    if tile.parameter_bytes and header.shares_parameters:
        raise UsageError("a tile has parameters of its own although all share the picture's")
    n_channels, largest = header.architecture.n_channels, (1 << header.bit_depth) - 1
    if not len(tile.sample_low) == len(tile.sample_high) == n_channels:
        raise UsageError(f"the sample range must have {n_channels} channels")
    for low, high in zip(tile.sample_low, tile.sample_high, strict=True):
        if not 0 <= low <= high <= largest:
            raise UsageError(
                f"the sample range is {low} to {high}, it must lie within 0 to {largest}"
            )
