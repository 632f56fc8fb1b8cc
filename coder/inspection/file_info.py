"""What a file says of itself, without decoding its pixels. No torch."""

from __future__ import annotations

import zlib

from givre.bitstream.container import payload_bytes, section_bytes
from givre.bitstream.header import VERSION
from givre.bitstream.header_code import read_header
from givre.bitstream.metadata_sections import SECTION_NAMES
from givre.bitstream.sections import read_sections
from givre.bitstream.tiling import tile_rectangles
from givre.bitstream.varint import ByteReader
from givre.errors import BitstreamError
from givre.models.architecture import architecture_name
from givre.models.complexity import mac_per_pixel


def file_info(data: bytes) -> dict[str, object]:
    """Describe a file from its header, its sections after the pixels and its length.

    A damaged or cut file is described as far as its header goes: `crc_ok` says whether the whole
    is intact.

    Args:
        data: the file, or as much of it as there is.

    Returns:
        version, width, height, channels, bit_depth, alpha (none, mask, soft), complexity, n_levels,
        n_hyper, prior, tiles (their number), tile_width and tile_height (None without tiles),
        shared_parameters, bytes, bpp, header_bytes, parameter_bytes, latent_bytes, mask_bytes,
        metadata_bytes, header_percent, parameter_percent, latent_percent, mac_per_pixel (total),
        macs (per part), metadata (name to its bytes; None if they are not all there), crc_ok.

    Raises:
        BitstreamError: there is no readable header.
    """
    reader = ByteReader(data)
    header = read_header(reader)
    arch, tiling = header.architecture, header.tiling
    after = reader.position + payload_bytes(header)
    where = tile_rectangles(header.width, header.height, tiling)[0]
    macs = mac_per_pixel(arch, where.width, where.height)
    total = macs.pop("total")
    size = len(data)
    metadata_bytes = section_bytes(data)
    header_bytes = max(size - payload_bytes(header) - metadata_bytes, 0)
    intact = size > 4 and zlib.crc32(memoryview(data)[:-4]) == int.from_bytes(data[-4:], "little")

    def percent(part: int) -> float:
        return round(100 * part / size, 2)

    return {
        "version": VERSION,
        "width": header.width,
        "height": header.height,
        "channels": header.channels,
        "bit_depth": header.bit_depth,
        "alpha": header.alpha.value,
        "complexity": architecture_name(arch) or "custom",
        "n_levels": arch.n_levels,
        "n_hyper": arch.n_hyper,
        "prior": header.prior,
        "tiles": len(header.tiles),
        "tile_width": None if tiling is None else tiling.width,
        "tile_height": None if tiling is None else tiling.height,
        "shared_parameters": header.shares_parameters,
        "bytes": size,
        "bpp": 8 * size / header.pixels,
        "header_bytes": header_bytes,
        "parameter_bytes": header.parameter_bytes,
        "latent_bytes": header.latent_bytes,
        "mask_bytes": header.mask_bytes,
        "metadata_bytes": metadata_bytes,
        "header_percent": percent(header_bytes),
        "parameter_percent": percent(header.parameter_bytes),
        "latent_percent": percent(header.latent_bytes),
        "mac_per_pixel": total,
        "macs": macs,
        "metadata": _metadata(data, after, header.has_metadata),
        "crc_ok": intact,
    }


def _metadata(data: bytes, position: int, has_metadata: bool) -> dict[str, int] | None:
    """Name of each section to its bytes; None if a section is damaged or missing."""
    if not has_metadata:
        return {}
    reader = ByteReader(data)
    reader.position = position
    try:
        sections = read_sections(reader)
    except BitstreamError:
        return None
    return {
        SECTION_NAMES.get(section.kind, f"kind {section.kind}"): len(section.content)
        for section in sections
    }
