"""The header: everything that a decoder must know before it reads the two coded sections."""

from __future__ import annotations

from dataclasses import dataclass

from givre.bitstream.sample_range import range_code, read_range, write_range
from givre.bitstream.varint import MAX_VARINT, ByteReader, encode_varint
from givre.errors import CorruptError, NotGivreError, UnsupportedError, UsageError
from givre.models.architecture import (
    NAMED_POINTS,
    Architecture,
    architecture_name,
    default_grids,
)

MAGIC = b"\x9dGV"
"""First three bytes of every file; the first is not ASCII, so that no text file matches."""

VERSION = 3
"""The format version that this module writes and reads."""

MAX_SIDE = 1 << 20
"""Largest width and height, in pixels."""

MAX_PRIOR = 15
"""Largest number of a prior that a header can name."""

# The decoder byte: three bits of architecture, then these.
_GRIDS_FOLLOW, _TILED, _METADATA = 1 << 3, 1 << 6, 1 << 7
_RANGE_SHIFT = 4

_DEPTH_CODES = {8: 0, 16: 1}
_ARCHITECTURE_CODES = {"lop": 0, "mop": 1, "hop": 2, "vhop": 3}
_CUSTOM = 7
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
        tile_size: side of independent tiles in pixels, None for one piece (all of version 3).
        has_metadata: sections of metadata follow the pixels (never in version 3).
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


def _decoder_bytes(header: Header) -> bytes:
    arch = header.architecture
    name = architecture_name(arch)
    code = _CUSTOM if name is None else _ARCHITECTURE_CODES[name]
    ranges = range_code(header.sample_low, header.sample_high, header.bit_depth)
    code |= ranges << _RANGE_SHIFT
    code |= _GRIDS_FOLLOW * (not _has_usual_grids(header))
    code |= _TILED * (header.tile_size is not None) | _METADATA * header.has_metadata
    return bytes([code, *(getattr(arch, field) for field in _CUSTOM_FIELDS if name is None)])


def _has_usual_grids(header: Header) -> bool:
    """Whether the numbers of grids are those of the picture's size, and left out."""
    arch = header.architecture
    return (arch.n_levels, arch.n_hyper) == default_grids(header.width, header.height)


def write_header(header: Header) -> bytes:
    """Serialise a header; `docs/FORMAT.md` gives the layout."""
    arch, depth_code = header.architecture, _DEPTH_CODES[header.bit_depth]
    parts = [
        MAGIC,
        bytes([VERSION]),
        _decoder_bytes(header),
        bytes([(arch.n_channels - 1) | depth_code << 2 | header.prior << 4]),
        encode_varint(header.width - 1),
        encode_varint(header.height - 1),
    ]
    if not _has_usual_grids(header):
        parts.append(bytes([arch.n_levels | arch.n_hyper << 4]))
    parts.append(write_range(header.sample_low, header.sample_high, header.bit_depth))
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


def _check_version(reader: ByteReader) -> None:
    version = reader.u8("version")
    if version != VERSION:
        raise UnsupportedError(f"format version {version}; this decoder reads version {VERSION}")


@dataclass(frozen=True)
class _Decoder:
    """What the decoder byte says, and the custom architecture that may follow it.

    Attributes:
        offset: of the decoder byte.
        custom: whether the architecture's fields are spelt out.
        fields: of the architecture, those that depend neither on the picture nor on its size.
        grids_follow: the numbers of grids are not those of the picture's size.
        range_code: 0 to 3, see `givre.bitstream.sample_range`.
    """

    offset: int
    custom: bool
    fields: dict[str, int]
    grids_follow: bool
    range_code: int


def _read_decoder(reader: ByteReader) -> _Decoder:
    start = reader.position
    value = reader.u8("decoder byte")
    if value & _TILED:
        raise UnsupportedError(f"the picture is tiled, which version {VERSION} does not decode")
    if value & _METADATA:
        raise UnsupportedError(
            f"the file has metadata sections, which version {VERSION} does not read"
        )
    code = value & 7
    if code == _CUSTOM:
        custom = reader.take(len(_CUSTOM_FIELDS), "custom architecture")
        fields = dict(zip(_CUSTOM_FIELDS, custom, strict=True))
    else:
        name = next((name for name, known in _ARCHITECTURE_CODES.items() if known == code), None)
        if name is None:
            raise UnsupportedError(
                f"architecture code {code} at offset {start}; "
                f"version {VERSION} knows 0 to 3 and {_CUSTOM}"
            )
        fields = {field: getattr(NAMED_POINTS[name], field) for field in _CUSTOM_FIELDS}
    range_bits = value >> _RANGE_SHIFT & 3
    return _Decoder(start, code == _CUSTOM, fields, bool(value & _GRIDS_FOLLOW), range_bits)


def _read_pixel_format(reader: ByteReader) -> tuple[int, int]:
    """Number of channels and of the prior; every depth but 8 bits is for later versions."""
    value = reader.u8("pixel format")
    depth_code = value >> 2 & 3
    if depth_code == _DEPTH_CODES[16]:
        raise UnsupportedError(f"samples have 16 bits, which version {VERSION} does not decode")
    if depth_code:
        raise UnsupportedError(f"depth code is {depth_code}; it must be 0 (8 bits)")
    return (value & 3) + 1, value >> 4


def _read_grids(reader: ByteReader, follow: bool, width: int, height: int) -> tuple[int, int]:
    """Numbers of main and hyper grids, from the file or by the picture's size."""
    default = default_grids(width, height)
    if not follow:
        return default
    start = reader.position
    value = reader.u8("grid counts")
    found = value & 15, value >> 4
    if found == default:
        raise CorruptError(
            f"the grid counts at offset {start} are those of the picture's size, "
            "they must be left out"
        )
    return found


def _architecture(decoder: _Decoder, grids: tuple[int, int], n_channels: int) -> Architecture:
    n_levels, n_hyper = grids
    try:
        arch = Architecture(
            **decoder.fields, n_levels=n_levels, n_hyper=n_hyper, n_channels=n_channels
        )
    except ValueError as error:
        raise CorruptError(f"impossible architecture at offset {decoder.offset}: {error}") from None
    shorter = architecture_name(arch)
    if decoder.custom and shorter is not None:
        raise CorruptError(
            f"the custom architecture at offset {decoder.offset} must be coded as {shorter}"
        )
    return arch


def read_header(reader: ByteReader) -> Header:
    """Read a header and leave the reader at the first byte after it.

    Raises NotGivreError for foreign bytes, TruncatedError if the header is not whole,
    UnsupportedError for other versions, tiles, metadata, 16-bit samples and reserved codes, and
    CorruptError for values that no encoder writes. Allocates nothing that depends on a field.
    """
    start = reader.position
    _check_magic(reader)
    _check_version(reader)
    decoder = _read_decoder(reader)
    n_channels, prior = _read_pixel_format(reader)
    width = reader.varint("width") + 1
    height = reader.varint("height") + 1
    grids = _read_grids(reader, decoder.grids_follow, width, height)
    arch = _architecture(decoder, grids, n_channels)
    low, high = read_range(reader, decoder.range_code, n_channels)
    parameter_bytes = reader.varint("length of the parameter section")
    latent_bytes = reader.varint("length of the latent section")
    pixel_crc = reader.u32("checksum of the samples")
    try:
        return Header(
            width=width,
            height=height,
            bit_depth=8,
            architecture=arch,
            sample_low=low,
            sample_high=high,
            parameter_bytes=parameter_bytes,
            latent_bytes=latent_bytes,
            pixel_crc=pixel_crc,
            prior=prior,
        )
    except UsageError as error:
        raise CorruptError(
            f"impossible header, bytes {start} to {reader.position - 1}: {error}"
        ) from None
