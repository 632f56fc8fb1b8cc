"""The header: everything that a decoder must know before it reads the two coded sections."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace

from givre.bitstream.varint import MAX_VARINT, ByteReader, encode_varint
from givre.errors import CorruptError, NotGivreError, UnsupportedError, UsageError
from givre.models.architecture import NAMED_POINTS, Architecture

MAGIC = b"\x9dGVR"
"""First four bytes of every file; the first is not ASCII, so that no text file matches."""

VERSION = 2
"""The format version that this module writes and reads."""

MAX_SIDE = 1 << 20
"""Largest width and height, in pixels."""

MAX_PRIOR = 15
"""Largest number of a prior that a header can name."""

_FLAG_TILED, _FLAG_METADATA = 1, 2
_DEPTH_CODES = {8: 0, 16: 1}
_ARCHITECTURE_CODES = {"lop": 0, "mop": 1, "hop": 2, "vhop": 3}
_CUSTOM = 255
_CUSTOM_FIELDS = (
    "n_spatial",
    "n_features",
    "n_arm_hidden",
    "synthesis_hidden",
    "n_residual",
    "ups_k_size",
    "ups_preconcat_k_size",
)


@dataclass(frozen=True)
class Header:
    """What the header of a file says; UsageError if no file can say it.

    Attributes:
        width: columns of pixels, 1 to 2^20.
        height: rows of pixels, 1 to 2^20.
        bit_depth: bits a sample, 8 or 16.
        architecture: of the decoder; its n_channels is the number of samples a pixel.
        sample_low: per channel, the sample that the synthesis' output 0 stands for.
        sample_high: per channel, the sample of output 1; sample_low to 2^bit_depth - 1.
        parameter_bytes: length of the parameter section, 0 to 2^32 - 1.
        latent_bytes: length of the latent section, 0 to 2^32 - 1.
        pixel_crc: CRC-32 of the decoded samples, see `givre.bitstream.container.samples_crc`.
        tile_size: side of independent tiles in pixels, None for one piece (all of version 2).
        has_metadata: sections of metadata follow the pixels (never in version 2).
        prior: number of the prior that the parameters are differences from, 0 (none) to 15. Which
            ones there are is for `givre.bitstream.priors` to say.
    """

    width: int
    height: int
    bit_depth: int
    architecture: Architecture
    sample_low: tuple[int, ...]
    sample_high: tuple[int, ...]
    parameter_bytes: int
    latent_bytes: int
    pixel_crc: int
    tile_size: int | None = None
    has_metadata: bool = False
    prior: int = 0

    def __post_init__(self) -> None:
        if self.bit_depth not in _DEPTH_CODES:
            raise UsageError(f"bit depth is {self.bit_depth}, it must be 8 or 16")
        largest = {
            "width": MAX_SIDE,
            "height": MAX_SIDE,
            "parameter_bytes": MAX_VARINT,
            "latent_bytes": MAX_VARINT,
            "pixel_crc": MAX_VARINT,
            "prior": MAX_PRIOR,
        }
        for name, high in largest.items():
            value, low = getattr(self, name), 1 if high == MAX_SIDE else 0
            if not low <= value <= high:
                raise UsageError(f"{name} is {value}, it must be {low} to {high}")
        if self.tile_size is not None and not 1 <= self.tile_size <= MAX_SIDE:
            raise UsageError(f"tile size is {self.tile_size}, it must be 1 to {MAX_SIDE}")
        n_channels = self.architecture.n_channels
        if not len(self.sample_low) == len(self.sample_high) == n_channels:
            raise UsageError(f"the sample range must have {n_channels} channels")
        for low, high in zip(self.sample_low, self.sample_high, strict=True):
            if not 0 <= low <= high < 1 << self.bit_depth:
                raise UsageError(
                    f"the sample range is {low} to {high}, it must lie within "
                    f"0 to {(1 << self.bit_depth) - 1}"
                )


def _with_picture(point: Architecture, arch: Architecture) -> Architecture:
    """Give a named point the fields that the header holds apart from the architecture code."""
    return replace(point, n_levels=arch.n_levels, n_hyper=arch.n_hyper, n_channels=arch.n_channels)


def architecture_name(arch: Architecture) -> str | None:
    """Name of the complexity point that `arch` is, grids and channels apart; None for custom."""
    for name, point in NAMED_POINTS.items():
        if astuple(_with_picture(point, arch)) == astuple(arch):
            return name
    return None


def _architecture_bytes(arch: Architecture) -> bytes:
    name = architecture_name(arch)
    if name is not None:
        return bytes([_ARCHITECTURE_CODES[name]])
    return bytes([_CUSTOM, *(getattr(arch, field) for field in _CUSTOM_FIELDS)])


def write_header(header: Header) -> bytes:
    """Serialise a header; `docs/FORMAT.md` gives the layout."""
    arch = header.architecture
    flags = _FLAG_TILED * (header.tile_size is not None) | _FLAG_METADATA * header.has_metadata
    sample_bytes = header.bit_depth // 8
    parts = [
        MAGIC,
        bytes([VERSION, flags]),
        encode_varint(header.width),
        encode_varint(header.height),
        bytes([(arch.n_channels - 1) | _DEPTH_CODES[header.bit_depth] << 2 | header.prior << 4]),
        _architecture_bytes(arch),
        bytes([arch.n_levels | arch.n_hyper << 4]),
    ]
    for low, high in zip(header.sample_low, header.sample_high, strict=True):
        parts += [low.to_bytes(sample_bytes, "little"), high.to_bytes(sample_bytes, "little")]
    if header.tile_size is not None:
        parts.append(encode_varint(header.tile_size))
    parts += [
        encode_varint(header.parameter_bytes),
        encode_varint(header.latent_bytes),
        header.pixel_crc.to_bytes(4, "little"),
    ]
    return b"".join(parts)


def _check_magic(reader: ByteReader) -> None:
    found = reader.data[reader.position : reader.position + len(MAGIC)]
    if not found or not MAGIC.startswith(found):
        raise NotGivreError(f"not a givre file: it must start with the bytes {MAGIC.hex(' ')}")
    reader.take(len(MAGIC), "magic number")


def _check_features(reader: ByteReader) -> None:
    version = reader.u8("version")
    if version != VERSION:
        raise UnsupportedError(f"format version {version}; this decoder reads version {VERSION}")
    flags = reader.u8("flags")
    if flags & _FLAG_TILED:
        raise UnsupportedError("the picture is tiled, which format version 2 does not decode")
    if flags & _FLAG_METADATA:
        raise UnsupportedError("the file has metadata sections, which version 2 does not read")
    if flags:
        raise UnsupportedError(f"flags are {flags:#04x}; version 2 knows bits 0 and 1 only")


def _read_pixel_format(reader: ByteReader) -> tuple[int, int]:
    """Number of channels and of the prior; every depth but 8 bits is for later versions."""
    value = reader.u8("pixel format")
    depth_code = value >> 2 & 3
    if depth_code == _DEPTH_CODES[16]:
        raise UnsupportedError("samples have 16 bits, which format version 2 does not decode")
    if depth_code:
        raise UnsupportedError(f"depth code is {depth_code}; it must be 0 (8 bits)")
    return (value & 3) + 1, value >> 4


def _read_architecture(reader: ByteReader, n_channels: int) -> Architecture:
    start = reader.position
    code = reader.u8("architecture")
    custom = reader.take(len(_CUSTOM_FIELDS), "custom architecture") if code == _CUSTOM else b""
    grids = reader.u8("grid counts")
    picture = {"n_levels": grids & 15, "n_hyper": grids >> 4, "n_channels": n_channels}
    try:
        if code == _CUSTOM:
            arch = Architecture(**dict(zip(_CUSTOM_FIELDS, custom, strict=True)), **picture)
        else:
            for name, known in _ARCHITECTURE_CODES.items():
                if code == known:
                    return replace(NAMED_POINTS[name], **picture)
            raise UnsupportedError(
                f"architecture code {code} at offset {start}; version 2 knows 0 to 3 and 255"
            )
    except ValueError as error:
        raise CorruptError(f"impossible architecture at offset {start}: {error}") from None
    shorter = architecture_name(arch)
    if shorter is not None:
        raise CorruptError(f"the custom architecture at offset {start} must be coded as {shorter}")
    return arch


def read_header(reader: ByteReader) -> Header:
    """Read a header and leave the reader at the first byte after it.

    Raises NotGivreError for foreign bytes, TruncatedError if the header is not whole,
    UnsupportedError for other versions, tiles, metadata, 16-bit samples and reserved bits, and
    CorruptError for values that no encoder writes. Allocates nothing that depends on a field.
    """
    start = reader.position
    _check_magic(reader)
    _check_features(reader)
    width = reader.varint("width")
    height = reader.varint("height")
    n_channels, prior = _read_pixel_format(reader)
    arch = _read_architecture(reader, n_channels)
    samples = reader.take(2 * n_channels, "sample range")
    parameter_bytes = reader.varint("length of the parameter section")
    latent_bytes = reader.varint("length of the latent section")
    pixel_crc = reader.u32("checksum of the samples")
    try:
        return Header(
            width=width,
            height=height,
            bit_depth=8,
            architecture=arch,
            sample_low=tuple(samples[0::2]),
            sample_high=tuple(samples[1::2]),
            parameter_bytes=parameter_bytes,
            latent_bytes=latent_bytes,
            pixel_crc=pixel_crc,
            prior=prior,
        )
    except UsageError as error:
        raise CorruptError(
            f"impossible header, bytes {start} to {reader.position - 1}: {error}"
        ) from None
