"""The header as bytes, and back. Every header has one code: readers refuse all others."""

from __future__ import annotations

from dataclasses import dataclass

from givre.bitstream.header import (
    MAGIC,
    MAX_DEPTH,
    MAX_SIDE,
    MIN_DEPTH,
    VERSION,
    Alpha,
    Header,
    TileEntry,
)
from givre.bitstream.sample_range import read_range, write_range
from givre.bitstream.tiling import Tiling, n_tiles, read_tiling, write_tiling
from givre.bitstream.varint import ByteReader, encode_varint
from givre.errors import CorruptError, NotGivreError, UnsupportedError, UsageError
from givre.models.architecture import (
    NAMED_POINTS,
    Architecture,
    architecture_name,
    default_grids,
)

# The decoder byte: three bits of architecture, then these.
_GRIDS_FOLLOW, _TILED, _METADATA = 1 << 3, 1 << 6, 1 << 7
_RANGE_SHIFT = 4
# The format byte: two bits of channels, these, then four bits of the prior.
_DEPTH_FOLLOWS, _MASK_ALONE, _PRIOR_SHIFT = 1 << 2, 1 << 3, 4

# Code 0 is left out: with it, files could begin as those of a sonar do (GeoSwath, for `file`).
_ARCHITECTURE_CODES = {"lop": 1, "mop": 2, "hop": 3, "vhop": 4}
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


def _decoder_bytes(header: Header) -> bytes:
    arch = header.architecture
    name = architecture_name(arch)
    code = _CUSTOM if name is None else _ARCHITECTURE_CODES[name]
    code |= header.range_code << _RANGE_SHIFT
    code |= _GRIDS_FOLLOW * (not _has_usual_grids(header))
    code |= _TILED * (header.tiling is not None) | _METADATA * header.has_metadata
    return bytes([code, *(getattr(arch, field) for field in _CUSTOM_FIELDS if name is None)])


def _usual_grids(width: int, height: int, tiling: Tiling | None) -> tuple[int, int]:
    """The usual numbers of grids: those of the size of the largest tile."""
    if tiling is not None:
        width, height = min(width, tiling.width), min(height, tiling.height)
    return default_grids(width, height)


def _has_usual_grids(header: Header) -> bool:
    """Whether the numbers of grids are the usual ones, and left out."""
    arch = header.architecture
    usual = _usual_grids(header.width, header.height, header.tiling)
    return (arch.n_levels, arch.n_hyper) == usual


def write_header(header: Header) -> bytes:
    """Serialise a header; `docs/FORMAT.md` gives the layout."""
    arch, deep = header.architecture, header.bit_depth > MIN_DEPTH
    pixel_format = header.channels - 1 | header.prior << _PRIOR_SHIFT
    pixel_format |= _DEPTH_FOLLOWS * deep | _MASK_ALONE * (header.alpha is Alpha.MASK)
    parts = [
        MAGIC,
        bytes([VERSION]),
        _decoder_bytes(header),
        bytes([pixel_format]),
        encode_varint(header.width - 1),
        encode_varint(header.height - 1),
    ]
    if deep:
        parts.append(bytes([header.bit_depth]))
    if header.tiling is not None:
        parts.append(write_tiling(header.tiling))
    if not _has_usual_grids(header):
        parts.append(bytes([arch.n_levels | arch.n_hyper << 4]))
    if header.shares_parameters:
        parts.append(encode_varint(header.shared_parameter_bytes))
    code = header.range_code
    parts += [_tile_bytes(header, tile, code) for tile in header.tiles]
    return b"".join(parts)


def _tile_bytes(header: Header, tile: TileEntry, code: int) -> bytes:
    parts = [write_range(tile.sample_low, tile.sample_high, header.bit_depth, code)]
    if not header.shares_parameters:
        parts.append(encode_varint(tile.parameter_bytes))
    parts.append(encode_varint(tile.latent_bytes))
    if header.alpha is not Alpha.NONE:
        parts.append(encode_varint(tile.mask_bytes))
    parts.append(tile.pixel_crc.to_bytes(4, "little"))
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
        grids_follow: the numbers of grids are not the usual ones.
        range_code: 0 to 3, see `givre.bitstream.sample_range`.
        tiled: a tiling follows.
        has_metadata: sections of metadata follow the pixels.
    """

    offset: int
    custom: bool
    fields: dict[str, int]
    grids_follow: bool
    range_code: int
    tiled: bool
    has_metadata: bool


def _read_decoder(reader: ByteReader) -> _Decoder:
    start = reader.position
    value = reader.u8("decoder byte")
    code = value & 7
    if code == _CUSTOM:
        custom = reader.take(len(_CUSTOM_FIELDS), "custom architecture")
        fields = dict(zip(_CUSTOM_FIELDS, custom, strict=True))
    else:
        name = next((name for name, known in _ARCHITECTURE_CODES.items() if known == code), None)
        if name is None:
            raise UnsupportedError(
                f"architecture code {code} at offset {start}; "
                f"version {VERSION} knows 1 to 4 and {_CUSTOM}"
            )
        fields = {field: getattr(NAMED_POINTS[name], field) for field in _CUSTOM_FIELDS}
    return _Decoder(
        offset=start,
        custom=code == _CUSTOM,
        fields=fields,
        grids_follow=bool(value & _GRIDS_FOLLOW),
        range_code=value >> _RANGE_SHIFT & 3,
        tiled=bool(value & _TILED),
        has_metadata=bool(value & _METADATA),
    )


@dataclass(frozen=True)
class _PixelFormat:
    """What the format byte says.

    Attributes:
        outputs: of the synthesis, 1 to 4.
        alpha: what there is of transparency.
        deep: whether the depth follows; else it is 8.
        prior: 0 to 15.
    """

    outputs: int
    alpha: Alpha
    deep: bool
    prior: int


def _read_pixel_format(reader: ByteReader) -> _PixelFormat:
    start = reader.position
    value = reader.u8("pixel format")
    channels, mask_alone = (value & 3) + 1, bool(value & _MASK_ALONE)
    if mask_alone and channels % 2:
        raise CorruptError(f"the pixel format at offset {start} has a mask for alpha, but no alpha")
    alpha = Alpha.NONE if channels % 2 else Alpha.MASK if mask_alone else Alpha.SOFT
    return _PixelFormat(
        channels - mask_alone, alpha, bool(value & _DEPTH_FOLLOWS), value >> _PRIOR_SHIFT
    )


def _read_depth(reader: ByteReader, deep: bool) -> int:
    if not deep:
        return MIN_DEPTH
    start = reader.position
    depth = reader.u8("bit depth")
    if not MIN_DEPTH < depth <= MAX_DEPTH:
        raise CorruptError(
            f"the bit depth at offset {start} is {depth}, it must be {MIN_DEPTH + 1} to {MAX_DEPTH}"
        )
    return depth


def _read_grids(reader: ByteReader, follow: bool, usual: tuple[int, int]) -> tuple[int, int]:
    """Numbers of main and hyper grids, from the file or the usual ones."""
    if not follow:
        return usual
    start = reader.position
    value = reader.u8("grid counts")
    found = value & 15, value >> 4
    if found == usual:
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
    except UsageError as error:
        raise CorruptError(f"impossible architecture at offset {decoder.offset}: {error}") from None
    shorter = architecture_name(arch)
    if decoder.custom and shorter is not None:
        raise CorruptError(
            f"the custom architecture at offset {decoder.offset} must be coded as {shorter}"
        )
    return arch


def _read_tile(
    reader: ByteReader, decoder: _Decoder, pixel_format: _PixelFormat, depth: int, shared: bool
) -> TileEntry:
    low, high = read_range(reader, decoder.range_code, pixel_format.outputs, depth)
    return TileEntry(
        sample_low=low,
        sample_high=high,
        parameter_bytes=0 if shared else reader.varint("length of a parameter section"),
        latent_bytes=reader.varint("length of a latent section"),
        mask_bytes=(
            0 if pixel_format.alpha is Alpha.NONE else reader.varint("length of a mask section")
        ),
        pixel_crc=reader.u32("checksum of the samples"),
    )


def read_header(reader: ByteReader) -> Header:
    """Read a header and leave the reader at the first byte after it.

    It allocates nothing that depends on the picture's size, and at most 2^12 entries of tiles.

    Raises:
        NotGivreError: the bytes are of another format.
        TruncatedError: the header is not whole.
        UnsupportedError: for other versions and reserved codes.
        CorruptError: a field has a value that no encoder writes.
    """
    start = reader.position
    _check_magic(reader)
    _check_version(reader)
    decoder = _read_decoder(reader)
    pixel_format = _read_pixel_format(reader)
    width = reader.varint("width") + 1
    height = reader.varint("height") + 1
    if max(width, height) > MAX_SIDE:
        raise CorruptError(
            f"the picture is {width} x {height}, its sides must be at most {MAX_SIDE}"
        )
    depth = _read_depth(reader, pixel_format.deep)
    tiling = read_tiling(reader, width, height) if decoder.tiled else None
    usual = _usual_grids(width, height, tiling)
    grids = _read_grids(reader, decoder.grids_follow, usual)
    arch = _architecture(decoder, grids, pixel_format.outputs)
    shared = tiling is not None and tiling.shared
    shared_bytes = reader.varint("length of the parameter section") if shared else 0
    tiles = tuple(
        _read_tile(reader, decoder, pixel_format, depth, shared)
        for _ in range(n_tiles(width, height, tiling))
    )
    try:
        header = Header(
            width=width,
            height=height,
            bit_depth=depth,
            architecture=arch,
            tiles=tiles,
            alpha=pixel_format.alpha,
            tiling=tiling,
            shared_parameter_bytes=shared_bytes,
            has_metadata=decoder.has_metadata,
            prior=pixel_format.prior,
        )
    except UsageError as error:
        raise CorruptError(
            f"impossible header, bytes {start} to {reader.position - 1}: {error}"
        ) from None
    if header.range_code != decoder.range_code:
        raise CorruptError(
            f"the sample range at offset {decoder.offset} has code {decoder.range_code}, "
            f"it must have {header.range_code}"
        )
    return header
