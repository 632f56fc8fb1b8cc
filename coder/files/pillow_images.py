"""Pillow images to samples: colours, alpha, frames, and what is known beside the pixels.

Pixels are converted a band of rows at a time, so that a large picture is not held many times.
"""

from __future__ import annotations

import io
import logging
import re
import struct
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageCms, ImageFile

from givre.bitstream.metadata import Metadata
from givre.coder.files.picture import MAX_PIXELS, AnySamples, bands, check_size
from givre.errors import ImageError

_LOG = logging.getLogger(__name__)

_OPAQUE_MODE = {
    "1": "L",
    "L": "L",
    "P": "RGB",
    "RGB": "RGB",
    "RGBX": "RGB",
    "CMYK": "RGB",
    "YCbCr": "RGB",
    "LAB": "RGB",
    "HSV": "RGB",
}
"""Pillow's modes without an alpha channel, and the mode in which the codec takes them."""

_ALPHA_MODE = {"LA": "LA", "La": "LA", "RGBA": "RGBA", "RGBa": "RGBA", "PA": "RGBA"}
_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
_CUT_BY_PILLOW = re.compile(r"[A-Za-z]+;16[BLNS]")  # BGR;16 is 5, 6 and 5 bits
_SCALE_OF_RAW_MODE = {"L;2": 85, "L;4": 17}
_PIXELS_PER_BYTE = {"raw": 8, "zip": 8 * 1040, "gif": 4096}
"""Most pixels that a byte of a file can stand for, by the name of Pillow's decoder."""
_HARMLESS_PIXELS = 1 << 24
_UNPACKED_AT_ONCE = ("AVIF", "WEBP")  # their pixels are "raw" only once a library has unpacked them


def open_image(data: bytes, name: str) -> ImageFile.ImageFile:
    """A Pillow image of a file, its pixels not yet read.

    Pillow's own limit of pixels is a setting of the whole process, so it is not used and not set.

    Raises:
        ImageError: it is no image, is damaged, or has too many pixels.
    """
    begins_as = ""
    for kind, by_its_start in _formats(data):
        try:
            image = Image.OPEN[kind][0](io.BytesIO(data), "")
        except (SyntaxError, IndexError, TypeError, struct.error):  # not of this format
            begins_as = begins_as or (kind if by_its_start else "")
            continue
        check_size(*image.size, name)
        _check_length(image, len(data), name)
        return image
    if begins_as:
        raise ImageError(f"cannot read {name}: it is {begins_as}, damaged or of a kind not taken")
    raise ImageError(f"{name} is not an image of a known format, as PNG or JPEG")


def samples_of(image: Image.Image, name: str) -> tuple[AnySamples, int]:
    """Samples (H, W, C) of a Pillow image as they are stored, and their depth in bits, 8 or 16.

    A palette becomes RGB; 1 bit a pixel becomes grey; CMYK, YCbCr, HSV and LAB become sRGB. One
    transparent colour becomes alpha.

    Raises:
        ImageError: the image is of a mode that is not taken, or Pillow would cut its samples.
    """
    if is_cut(image):
        raise ImageError(
            f"{name} has more than 8 bits a sample, which Pillow cuts; give the path of a PNG or"
            " TIFF file"
        )
    scale = _scale_of_transparent_grey(image)
    uncovered = _uncovered(image)
    image.load()
    if image.mode in _DEEP_MODES:
        return _deep_samples(image, name)
    if image.mode not in _OPAQUE_MODE and image.mode not in _ALPHA_MODE:
        wanted = "16 bits" if image.mode.startswith(("I", "F")) else "RGB"
        raise ImageError(f"{name} has the mode {image.mode}, convert it to {wanted} first")
    mode = _ALPHA_MODE.get(image.mode) or _OPAQUE_MODE[image.mode]
    transparent = image.info.get("transparency") if image.mode in ("1", "L", "RGB") else None
    with_alpha = bool(uncovered) or transparent is not None
    if image.mode == "P" and image.has_transparency_data:
        mode = "RGBA"
    elif with_alpha and mode in ("L", "RGB"):
        mode += "A"
    if transparent is not None:
        transparent = np.multiply(transparent, scale)
        if image.mode == "1":  # some versions of Pillow count to 1 here, some to 255
            transparent = np.where(transparent > 0, 255, 0)
    samples = np.empty((image.height, image.width, _CHANNELS[mode]), np.uint8)
    convert = _converter(image, mode, name)
    for top, band in _bands(image):
        rows = samples[top : top + band.height]
        converted = np.asarray(convert(band))
        if converted.ndim == 2:
            converted = converted[:, :, np.newaxis]
        rows[:, :, : converted.shape[2]] = converted
        if converted.shape[2] < rows.shape[2]:
            rows[:, :, -1] = 255
        if transparent is not None:
            rows[:, :, -1] = np.where((converted == transparent).all(axis=2), 0, 255)
    for side in uncovered:
        samples[(*side, -1)] = 0
    return samples, 8


def metadata_of(image: Image.Image) -> Metadata:
    """Profile, EXIF and XMP as Pillow has found them, unchecked."""
    icc, exif, xmp = (image.info.get(kind) for kind in ("icc_profile", "exif", "xmp"))
    if isinstance(xmp, str):
        xmp = xmp.encode()
    blocks = [bytes(v) if isinstance(v, bytes | bytearray) else b"" for v in (icc, exif, xmp)]
    return Metadata(blocks[0], blocks[1].removeprefix(b"Exif\0\0"), blocks[2])


def is_cut(image: Image.Image) -> bool:
    """Whether Pillow would cut an open file's samples to 8 bits without a word."""
    for codec, _, _, args in getattr(image, "tile", None) or []:
        raw_mode, *rest = args if isinstance(args, tuple) else (args,)
        deep_raw = _CUT_BY_PILLOW.fullmatch(str(raw_mode)) and not str(raw_mode).startswith("I")
        if deep_raw or codec == "SGI16":
            return True
        if codec.startswith("ppm") and rest and rest[-1] > 255:
            return True
    return False


def tell_of_frames(image: Image.Image, name: str) -> None:
    """Log a line if a file holds more than the picture that is taken."""
    if image.format == "PSD" or not getattr(image, "is_animated", False):
        return  # the picture of a layered file is all its layers together
    kind = {"TIFF": "page", "MPO": "picture", "ICNS": "size"}.get(image.format or "", "frame")
    number = image.tell()
    which = "main" if image.format == "MPO" else "first"
    taken = f"the {which} one" if number == 0 else f"number {number + 1}"
    _LOG.warning("%s has several %ss, %s is taken", name, kind, taken)


def _formats(data: bytes) -> Iterator[tuple[str, bool]]:
    """Formats that the file may have, and whether its start says so; the usual ones come first."""
    tried: set[str] = set()
    for load_plugins in (Image.preinit, Image.init):
        load_plugins()
        for kind in [kind for kind in Image.ID if kind not in tried]:
            tried.add(kind)
            accept = Image.OPEN[kind][1]
            answer = accept(data[:16]) if accept else True
            if answer and not isinstance(answer, str):  # a text says why Pillow cannot read it
                yield kind, accept is not None


def _check_length(image: ImageFile.ImageFile, length: int, name: str) -> None:
    """Refuse a file that promises far more than it holds, before memory is taken for it."""
    pixels = image.width * image.height
    if pixels <= _HARMLESS_PIXELS or image.format in _UNPACKED_AT_ONCE:
        return
    for codec, *_ in image.tile:
        if pixels > length * _PIXELS_PER_BYTE.get(codec, MAX_PIXELS):
            raise ImageError(
                f"cannot read {name}: it is truncated, {length} bytes cannot hold"
                f" {image.width}x{image.height} pixels"
            )


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    for rows in bands(image.height, image.width):
        yield rows.start, image.crop((0, rows.start, image.width, rows.stop))


def _deep_samples(image: Image.Image, name: str) -> tuple[AnySamples, int]:
    transparent = image.info.get("transparency")
    channels = 1 if transparent is None else 2
    samples = np.empty((image.height, image.width, channels), np.uint16)
    for top, band in _bands(image):
        values = np.asarray(band)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError(f"{name} has samples out of 0 to 65535, convert it to 16 bits first")
        samples[top : top + band.height, :, 0] = values
    if transparent is not None:
        samples[:, :, 1] = np.where(samples[:, :, 0] == transparent, 0, 65535)
    return samples, 16


def _converter(image: Image.Image, mode: str, name: str) -> Callable[[Image.Image], Image.Image]:
    if image.mode in ("CMYK", "LAB"):
        return _through_profile(image, name)
    if image.mode in ("1", "L", "RGB"):
        opaque = _OPAQUE_MODE[image.mode]
        return lambda band: band if band.mode == opaque else _without_key(band).convert(opaque)
    return lambda band: band if band.mode == mode else band.convert(mode)


def _without_key(band: Image.Image) -> Image.Image:
    band.info.pop("transparency", None)
    return band


def _through_profile(image: Image.Image, name: str) -> Callable[[Image.Image], Image.Image]:
    profile = image.info.get("icc_profile")
    if not profile:
        if image.mode == "CMYK":
            _LOG.warning("%s is CMYK without a profile, its colours are a guess", name)
        return lambda band: band.convert("RGB")
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            image.mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        _LOG.warning("the profile of %s cannot be used, its colours are a guess", name)
        return lambda band: band.convert("RGB")

    def convert(band: Image.Image) -> Image.Image:
        converted = ImageCms.applyTransform(band, transform)
        assert converted is not None, "applyTransform gives None only in place"
        return converted

    return convert


def _scale_of_transparent_grey(image: Image.Image) -> int:
    """What the transparent colour is multiplied by: Pillow leaves it at the file's 1 to 4 bits."""
    for _, _, _, args in getattr(image, "tile", None) or []:
        raw_mode = args[0] if isinstance(args, tuple) else args
        if raw_mode in _SCALE_OF_RAW_MODE and image.format == "PNG":
            return _SCALE_OF_RAW_MODE[raw_mode]
    return 1


def _uncovered(image: Image.Image) -> list[tuple[slice, slice]]:
    """Rows and columns of a GIF file's canvas that its first frame does not reach."""
    extent = getattr(image, "dispose_extent", None)
    if image.format != "GIF" or extent is None or image.tell() > 0:
        return []
    left, top, right, bottom = extent
    whole = slice(None)
    sides = [
        (slice(0, top), whole),
        (slice(bottom, image.height), whole),
        (whole, slice(0, left)),
        (whole, slice(right, image.width)),
    ]
    lengths = (top, image.height - bottom, left, image.width - right)
    return [side for side, length in zip(sides, lengths, strict=True) if length > 0]
