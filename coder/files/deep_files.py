"""Reads and writes with 9 to 16 bits a sample what Pillow would cut to 8 bits.

The libraries for it are an extra. Grey pictures of 16 bits do without: Pillow holds those.
"""

from __future__ import annotations

import io
import struct
from importlib.util import find_spec

import numpy as np

from givre.coder.files.picture import AnySamples, DeepSamples, bands, check_size
from givre.coder.files.tiff_directory import Directory, numbers
from givre.errors import GivreError, ImageError, OutputError

_BITS, _COMPRESSION, _PHOTOMETRIC, _CHANNELS, _EXTRA, _FORMAT = 258, 259, 262, 277, 338, 339
_WIDTH, _HEIGHT = 256, 257
_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB = 0, 1, 2
_NOT_SAID, _MULTIPLIED_IN = 0, 1

_PNG_LEVEL = 3  # of 9; more takes several times as long and saves 3% at most


def check_deep_is_installed(error: type[GivreError], subject: str) -> None:
    """Raise `error`, with the command that installs them, if the libraries are missing.

    Args:
        error: the class of the error.
        subject: what needs them, as "a.png: 16-bit colour PNG".
    """
    if find_spec("imagecodecs") is None or find_spec("tifffile") is None:
        raise error(f"{subject} needs more libraries: pip install 'givre[deep]'")


def read_deep_png(data: bytes, name: str) -> DeepSamples:
    """Samples (H, W, C) of a PNG file with 16 bits a sample, its transparent colour as alpha.

    Raises:
        ImageError: it is damaged or too large, or the libraries are missing.
    """
    check_deep_is_installed(ImageError, f"{name}: 16-bit colour PNG")
    import imagecodecs

    width, height = struct.unpack_from(">II", data, 16)
    check_size(width, height, name)
    return _deep(_channels_last(imagecodecs.png_decode(data)))


def write_deep_png(samples: DeepSamples) -> bytes:
    """A PNG file of 16-bit samples (H, W, C).

    Raises:
        OutputError: the libraries are missing.
    """
    check_deep_is_installed(OutputError, "16-bit colour PNG")
    import imagecodecs

    flat = samples[:, :, 0] if samples.shape[2] == 1 else samples
    return bytes(imagecodecs.png_encode(flat, level=_PNG_LEVEL))


def is_deep_tiff(data: bytes, directory: Directory) -> bool:
    """Whether a TIFF file has more than 8 bits a sample and is no plain grey, as Pillow reads."""
    bits = max(numbers(data, directory, _BITS, (1,)))
    channels = numbers(data, directory, _CHANNELS, (1,))[0]
    photometric = numbers(data, directory, _PHOTOMETRIC, (_MIN_IS_BLACK,))[0]
    return bits > 8 and (channels, photometric, bits) != (1, _MIN_IS_BLACK, 16)


def check_tiff_kind(data: bytes, directory: Directory, name: str) -> None:
    """Refuse samples that are no whole numbers from 0 on, which Pillow may take for such.

    Raises:
        ImageError: samples are signed, floats, or have more than 16 bits.
    """
    formats = set(numbers(data, directory, _FORMAT, (1,)))
    bits = set(numbers(data, directory, _BITS, (1,)))
    if 2 in formats:
        raise ImageError(f"{name} has signed samples, convert it to unsigned ones first")
    if formats - {1, 4} or max(bits) > 16:
        raise ImageError(
            f"{name} has {max(bits)}-bit samples{' that are floats' if 3 in formats else ''},"
            " convert it to 16 bits first"
        )
    if len(bits) > 1 and max(bits) > 8:
        raise ImageError(f"{name} has channels of different depths, convert it to 16 bits first")


def read_deep_tiff(data: bytes, directory: Directory, name: str) -> tuple[AnySamples, int]:
    """Samples (H, W, C) of a TIFF file's first page, and their depth in bits.

    Args:
        data: the file.
        directory: its first one.
        name: what to call it in messages.

    Raises:
        ImageError: it is damaged, too large or of a kind that is not taken, or the libraries are
            missing.
    """
    photometric = numbers(data, directory, _PHOTOMETRIC, (_MIN_IS_BLACK,))[0]
    channels = numbers(data, directory, _CHANNELS, (1,))[0]
    bit_depth = numbers(data, directory, _BITS, (1,))[0]
    colours = {_MIN_IS_WHITE: 1, _MIN_IS_BLACK: 1, _RGB: 3}.get(photometric)
    if colours is None or channels < colours:
        raise ImageError(
            f"{name} is a deep TIFF file of a colour space that is not taken, convert it to RGB"
        )
    check_size(
        numbers(data, directory, _WIDTH, (0,))[0], numbers(data, directory, _HEIGHT, (0,))[0], name
    )
    check_deep_is_installed(ImageError, f"{name}: 16-bit colour TIFF")
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        if page.size != page.imagewidth * page.imagelength * channels:
            raise ValueError("it is no flat picture")
        samples = page.asarray()
        if page.planarconfig == 2 and channels > 1:  # one plane a channel
            samples = np.moveaxis(samples, 0, -1)
    samples = _channels_last(samples)
    if photometric == _MIN_IS_WHITE:
        samples[:, :, 0] = (1 << bit_depth) - 1 - samples[:, :, 0]
    extra = numbers(data, directory, _EXTRA, (_NOT_SAID,))[0]
    with_alpha = channels > colours and extra != _NOT_SAID
    samples = np.ascontiguousarray(samples[:, :, : colours + with_alpha])
    if with_alpha and extra == _MULTIPLIED_IN:
        samples = _divided_by_alpha(samples, (1 << bit_depth) - 1)
    return samples, bit_depth


def read_deep_avif(data: bytes, name: str, size: tuple[int, int]) -> tuple[AnySamples, int]:
    """Samples (H, W, C) of an AVIF file, not yet turned upright, and their depth in bits.

    Raises:
        ImageError: it is damaged or too large, or the libraries are missing.
    """
    check_size(*size, name)
    check_deep_is_installed(ImageError, f"{name}: AVIF with more than 8 bits")
    import imagecodecs

    samples = imagecodecs.avif_decode(data, index=0, numthreads=1)
    return _channels_last(samples), avif_depth(data)


def read_deep_jpeg2000(
    data: bytes, name: str, size: tuple[int, int], bit_depth: int
) -> tuple[AnySamples, int]:
    """Samples (H, W, C) of a JPEG 2000 file, and their depth in bits.

    Raises:
        ImageError: it is damaged or too large, or the libraries are missing.
    """
    check_size(*size, name)
    check_deep_is_installed(ImageError, f"{name}: 16-bit colour JPEG 2000")
    import imagecodecs

    return _channels_last(imagecodecs.jpeg2k_decode(data)), bit_depth


def avif_depth(data: bytes) -> int:
    """Bits a sample of an AVIF file: 8, 10 or 12."""
    place = _avif_properties(data).find(b"av1C")
    flags = _avif_properties(data)[place + 6 : place + 7] if place >= 0 else b""
    if not flags or not flags[0] & 0x40:
        return 8
    return 12 if flags[0] & 0x20 else 10


def avif_colour_code(data: bytes) -> tuple[int, int, int, int] | None:
    """Colours of an AVIF file's RGB samples, as in `Metadata`; None if unsaid or plain sRGB."""
    place = _avif_properties(data).find(b"colrnclx")
    fields = _avif_properties(data)[place + 8 : place + 12]
    if place < 0 or len(fields) < 4:
        return None
    primaries, transfer = struct.unpack(">HH", fields)
    if primaries in (0, 2) or transfer in (0, 2) or (primaries, transfer) == (1, 13):
        return None
    if primaries > 255 or transfer > 255:
        return None
    return primaries, transfer, 0, 1  # samples are RGB now, over their full range


def jpeg2000_depth(data: bytes) -> tuple[int, int]:
    """Bits a sample, and channels, of a JPEG 2000 file; (8, 1) if it does not say.

    Raises:
        ValueError: its samples are signed.
    """
    place = data.find(b"\xff\x4f\xff\x51")
    fields = data[place + 40 : place + 43]
    if place < 0 or len(fields) < 3:
        return 8, 1
    channels, depth = struct.unpack(">HB", fields)
    if depth & 0x80:
        raise ValueError("its samples are signed, convert it to unsigned ones first")
    return depth + 1, channels


def _avif_properties(data: bytes) -> bytes:
    """The box with everything about the picture; it stands before its pixels or behind them."""
    start = 0
    for _ in range(100):
        length = int.from_bytes(data[start : start + 4], "big")
        if data[start + 4 : start + 8] == b"meta":
            return data[start : start + min(length, 1 << 20)]
        if length < 8:
            break
        start += length
    return b""


def _channels_last(samples: AnySamples) -> AnySamples:
    array: AnySamples = samples[:, :, np.newaxis] if samples.ndim == 2 else samples
    if array.ndim != 3 or not 1 <= array.shape[2] <= 4:
        raise ValueError(f"it has the shape {samples.shape} and is no flat picture")
    if array.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"its samples are {array.dtype}, they must have 8 to 16 bits")
    return array


def _deep(samples: AnySamples) -> DeepSamples:
    return samples.astype(np.uint16, copy=False)


def _divided_by_alpha(samples: AnySamples, most: int) -> AnySamples:
    for rows in bands(*samples.shape[:2]):
        band = samples[rows]
        alpha = np.maximum(band[:, :, -1:], 1).astype(np.uint32)
        divided = (band[:, :, :-1] * np.uint32(most) + alpha // 2) // alpha
        band[:, :, :-1] = np.minimum(divided, most)
    return samples
