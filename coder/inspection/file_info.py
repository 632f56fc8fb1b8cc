"""What a file says of itself, without decoding its pixels. No torch."""

from __future__ import annotations

import zlib

from givre.bitstream.container import read_prefix
from givre.bitstream.header import VERSION
from givre.models.architecture import architecture_name
from givre.models.complexity import mac_per_pixel


def file_info(data: bytes) -> dict[str, object]:
    """Describe a file from its header and its length.

    A damaged or cut file is described as far as its header goes: `crc_ok` says whether the whole
    is intact.

    Args:
        data: the file, or as much of it as there is.

    Returns:
        version, width, height, channels, bit_depth, complexity, n_levels, n_hyper, prior, bytes,
        bpp, header_bytes, parameter_bytes, latent_bytes, header_percent, parameter_percent,
        latent_percent, mac_per_pixel (total), macs (per part), crc_ok.

    Raises:
        BitstreamError: there is no readable header.
    """
    header = read_prefix(data)
    arch = header.architecture
    sections = header.parameter_bytes + header.latent_bytes
    macs = mac_per_pixel(arch, header.width, header.height)
    total = macs.pop("total")
    size = len(data)
    header_bytes = max(size - sections, 0)
    intact = size > 4 and zlib.crc32(memoryview(data)[:-4]) == int.from_bytes(data[-4:], "little")

    def percent(part: int) -> float:
        return round(100 * part / size, 2)

    return {
        "version": VERSION,
        "width": header.width,
        "height": header.height,
        "channels": arch.n_channels,
        "bit_depth": header.bit_depth,
        "complexity": architecture_name(arch) or "custom",
        "n_levels": arch.n_levels,
        "n_hyper": arch.n_hyper,
        "prior": header.prior,
        "bytes": size,
        "bpp": 8 * size / (header.width * header.height),
        "header_bytes": header_bytes,
        "parameter_bytes": header.parameter_bytes,
        "latent_bytes": header.latent_bytes,
        "header_percent": percent(header_bytes),
        "parameter_percent": percent(header.parameter_bytes),
        "latent_percent": percent(header.latent_bytes),
        "mac_per_pixel": total,
        "macs": macs,
        "crc_ok": intact,
    }
