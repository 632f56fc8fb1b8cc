"""ICC profiles: whether one fits its picture, and new ones for colours given in numbers.

Samples are never changed for their gamma or primaries: a profile says the same and loses nothing.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

SRGB_CHROMATICITIES = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
"""x and y of white, red, green and blue."""

_SPACE_OF_CHANNELS = {1: b"GRAY", 2: b"GRAY", 3: b"RGB ", 4: b"RGB "}
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_GAMMA_TOLERANCE = 0.05  # what is closer cannot be told apart by eye
_CHROMATICITY_TOLERANCE = 0.01
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_BT709_CURVE = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_CURVE_OF_CODE: dict[int, tuple[int, tuple[float, ...]]] = {
    **dict.fromkeys((1, 6, 14, 15), (3, _BT709_CURVE)),
    4: (0, (2.2,)),
    5: (0, (2.8,)),
    8: (0, (1.0,)),
    13: (3, _SRGB_CURVE),
}
"""Kind and parameters of the curve, by the transfer function's number in ITU-T H.273."""

_PRIMARIES_OF_CODE = {
    1: SRGB_CHROMATICITIES,
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (0.3127, 0.3290, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (0.3127, 0.3290, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (0.3127, 0.3290, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (0.3127, 0.3290, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
"""x and y of white, red, green and blue, by the primaries' number in ITU-T H.273."""


def profile_fault(icc: bytes, channels: int) -> str | None:
    """Why a profile cannot belong to samples of that many channels; None if it can."""
    if len(icc) < 132 or icc[36:40] != b"acsp":
        return "is damaged"
    (size,) = struct.unpack_from(">I", icc, 0)
    (tags,) = struct.unpack_from(">I", icc, 128)
    if not 132 <= size <= len(icc) or 132 + 12 * tags > size:
        return "is damaged"
    for tag in range(tags):
        offset, length = struct.unpack_from(">II", icc, 132 + 12 * tag + 4)
        if offset + length > len(icc):
            return "is damaged"
    space = icc[16:20]
    if space != _SPACE_OF_CHANNELS[channels]:
        kind = "grey" if channels < 3 else "RGB"
        return f"is for {space.decode('ascii', 'replace').strip()} and not for {kind}"
    return None


def looks_like_srgb(gamma: float | None, chromaticities: tuple[float, ...] | None) -> bool:
    """Whether colours given so look as in sRGB, which is what a picture without both is.

    Args:
        gamma: the exponent with which samples were encoded, as 0.45455; None: sRGB's.
        chromaticities: x and y of white, red, green and blue; None: sRGB's.
    """
    same_gamma = gamma is None or abs(gamma * 2.2 - 1) <= _GAMMA_TOLERANCE
    return same_gamma and (
        chromaticities is None
        or max(abs(a - b) for a, b in zip(chromaticities, SRGB_CHROMATICITIES, strict=True))
        <= _CHROMATICITY_TOLERANCE
    )


def make_profile(
    gamma: float | None, chromaticities: tuple[float, ...] | None, channels: int
) -> bytes:
    """An ICC profile for colours given by a gamma and primaries.

    Args:
        gamma: the exponent with which samples were encoded; None, or one that looks like it: the
            curve of sRGB.
        chromaticities: x and y of white, red, green and blue; None: those of sRGB.
        channels: 1 or 2 for a grey profile, 3 or 4 for an RGB one.

    Raises:
        ValueError: no display could have such a gamma or such primaries.
    """
    if gamma is None or looks_like_srgb(gamma, None):
        curve = _parametric(3, _SRGB_CURVE)
    elif 0.1 <= gamma <= 10:
        curve = _parametric(0, (1 / gamma,))
    else:
        raise ValueError("a gamma out of range")
    return curve_profile(curve, chromaticities or SRGB_CHROMATICITIES, channels)


def profile_of_code(cicp: tuple[int, int, int, int], channels: int) -> bytes:
    """An ICC profile that means what a colour code means; empty if none can.

    None can for the curves of high dynamic range, and for samples that are not RGB or grey over
    their full range.

    Args:
        cicp: as in `Metadata`.
        channels: 1 or 2 for a grey profile, 3 or 4 for an RGB one.
    """
    primaries, transfer, matrix, full_range = cicp
    if matrix or not full_range:
        return b""
    if primaries not in _PRIMARIES_OF_CODE or transfer not in _CURVE_OF_CODE:
        return b""
    curve = _parametric(*_CURVE_OF_CODE[transfer])
    return curve_profile(curve, _PRIMARIES_OF_CODE[primaries], channels)


def curve_profile(curve: bytes, chromaticities: tuple[float, ...], channels: int) -> bytes:
    """An ICC profile of version 4 with one curve and three primaries.

    Args:
        curve: a `para` element.
        chromaticities: x and y of white, red, green and blue.
        channels: 1 or 2 for a grey profile, 3 or 4 for an RGB one.

    Raises:
        ValueError: no display could have such primaries.
    """
    columns, adaptation = _primaries_at_d50(chromaticities)
    tags = [
        (b"desc", _text("Colours of the picture's file")),
        (b"cprt", _text("No copyright, use freely")),
        (b"wtpt", _xyz(_D50)),
        (b"chad", b"sf32\0\0\0\0" + b"".join(map(_fixed, adaptation.ravel()))),
    ]
    if channels < 3:
        tags.append((b"kTRC", curve))
    else:
        tags += [(kind, _xyz(columns[:, i])) for i, kind in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))]
        tags += [(kind, curve) for kind in (b"rTRC", b"gTRC", b"bTRC")]
    return _assemble(tags, _SPACE_OF_CHANNELS[channels])


def _primaries_at_d50(
    chromaticities: tuple[float, ...],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """XYZ of red, green and blue as columns, seen from D50; and the matrix that took them there."""
    points = [_xyz_of(x, y) for x, y in zip(chromaticities[::2], chromaticities[1::2], strict=True)]
    white, primaries = points[0], np.column_stack(points[1:])
    if abs(np.linalg.det(primaries)) < 1e-4:
        raise ValueError("primaries on one line")
    shares = np.linalg.solve(primaries, white)
    if shares.min() <= 0:
        raise ValueError("a white outside of its primaries")
    cones = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    adaptation = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD
    columns = adaptation @ (primaries * shares)
    if not np.isfinite(columns).all() or np.abs(columns).max() > 8:
        raise ValueError("primaries out of range")
    return columns, adaptation


def _xyz_of(x: float, y: float) -> NDArray[np.float64]:
    if not (0 <= x <= 1 and 0.001 <= y <= 1):
        raise ValueError("a chromaticity out of range")
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _assemble(tags: list[tuple[bytes, bytes]], space: bytes) -> bytes:
    table, body = struct.pack(">I", len(tags)), b""
    start = 132 + 12 * len(tags)
    places: dict[bytes, int] = {}
    for kind, element in tags:
        if element not in places:  # tags with one content share it
            places[element] = start + len(body)
            body += element + bytes(-len(element) % 4)
        table += kind + struct.pack(">II", places[element], len(element))
    header = struct.pack(
        ">I4xI4s4s4s6H4s24xI3I48x",
        *(start + len(body), 0x04300000, b"mntr", space, b"XYZ "),
        *(2000, 1, 1, 0, 0, 0, b"acsp"),
        1,  # the intent: relative colorimetric
        *(round(v * 65536) for v in _D50),
    )
    return header + table + body


def _parametric(kind: int, values: tuple[float, ...]) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + b"".join(map(_fixed, values))


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, values))


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(float(value) * 65536))


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return (
        b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(encoded), 28) + encoded
    )
