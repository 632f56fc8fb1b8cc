"""Decoding complexity: multiplications a pixel, from the architecture and the image size."""

from __future__ import annotations

from givre.models.architecture import Architecture
from givre.models.geometry import grids, level_size


def mac_per_pixel(arch: Architecture, width: int, height: int) -> dict[str, float]:
    """Multiplications a pixel of each part of the decoder, in its fast form.

    Upsampling is counted as two 1-D polyphase passes (half the taps for each output sample) and
    includes the pre-concatenation filters.

    Returns:
        `arm`, `ifce`, `upsampling`, `synthesis` and their sum `total`.
    """
    pixels = width * height
    d = arch.context_width
    per_latent = arch.n_arm_hidden * d * d + 2 * d + 2 * d
    arm = sum(grid.size for grid in grids(arch, width, height)) * per_latent

    ifce = 0
    for level in range(arch.n_ifce):
        half_height, half_width = level_size(width, height, level + 1)
        n_in = arch.n_levels - level - 1 + arch.n_hyper
        ifce += half_height * half_width * n_in * arch.n_features

    upsampling = 0
    taps = arch.ups_k_size // 2
    for level in range(arch.n_levels - 1):
        channels = arch.n_levels - 1 - level
        rows, columns = level_size(width, height, level)
        below_columns = level_size(width, height, level + 1)[1]
        upsampling += channels * taps * (rows * below_columns + rows * columns)
        upsampling += 2 * arch.ups_preconcat_k_size * rows * columns

    c = arch.n_channels
    synthesis = arch.n_levels * arch.synthesis_hidden + arch.synthesis_hidden * c
    synthesis += arch.n_residual * 9 * c * c + arch.n_levels * c

    parts = {
        "arm": arm / pixels,
        "ifce": ifce / pixels,
        "upsampling": upsampling / pixels,
        "synthesis": float(synthesis),
    }
    return {**parts, "total": sum(parts.values())}
