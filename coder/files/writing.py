"""Pictures to image files and Pillow images, with all that the format has a place for.

A format that would lose colours, alpha, depth or size is refused. What it has no place for beside
the pixels is left out, with a line in the log.
"""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass, field, replace
from typing import Any

from givre.bitstream.metadata import Metadata
from givre.coder.files import png_chunks
from givre.coder.files.deep_files import write_deep_png
from givre.coder.files.netpbm import write_netpbm
from givre.coder.files.picture import AnySamples, Picture, widen
from givre.coder.files.pillow_output import CHANNEL_NAMES, EXIF_PREFIX, to_image
from givre.coder.files.profiles import profile_of_code
from givre.coder.files.quiet import quiet_libraries
from givre.coder.files.tiff_writing import write_tiff
from givre.errors import OutputError

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Format:
    """What a format can hold.

    Attributes:
        channels: the numbers of channels that come back as they were.
        options: what keeps Pillow from spoiling a picture more than the format must.
        metadata: the most bytes of each kind of metadata.
        is_deep: whether it holds more than 8 bits a sample.
    """

    channels: frozenset[int]
    options: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, int] = field(default_factory=dict)
    is_deep: bool = False


_ALL = frozenset((1, 2, 3, 4))
_OPAQUE = frozenset((1, 3))
_ANY_LENGTH = {"icc": 1 << 30, "exif": 1 << 30, "xmp": 1 << 30}
_JPEG_LENGTHS = {"icc": 255 * 65519, "exif": 65533 - len(EXIF_PREFIX), "xmp": 65504}

_FORMATS = {
    "PNG": _Format(_ALL, {}, _ANY_LENGTH | {"cicp": 4}, is_deep=True),
    "TIFF": _Format(_ALL, {}, _ANY_LENGTH, is_deep=True),
    "WEBP": _Format(_ALL, {"lossless": True, "exact": True}, _ANY_LENGTH),
    "JPEG": _Format(_OPAQUE, {"quality": 97, "subsampling": 0}, _JPEG_LENGTHS),
    "AVIF": _Format(_ALL, {"quality": 95, "subsampling": "4:4:4"}, _ANY_LENGTH),
    "JPEG2000": _Format(_ALL),
    "PPM": _Format(_OPAQUE, is_deep=True),
    "BMP": _Format(_OPAQUE),
    "DIB": _Format(_OPAQUE),
    "TGA": _Format(_ALL),
    "QOI": _Format(_ALL),
    "PCX": _Format(_OPAQUE),
    "SGI": _Format(frozenset((1, 3, 4))),
    "DDS": _Format(_ALL),
    "GIF": _Format(frozenset((1,))),
}
"""By Pillow's names. All are lossless but JPEG and AVIF, whose errors cannot be seen."""

_WITHOUT_GREY = {"WEBP": {1: "RGB", 2: "RGBA"}, "QOI": {1: "RGB", 2: "RGBA"}}
_KINDS = {"icc": "colour profile", "exif": "EXIF", "xmp": "XMP", "cicp": "colour code"}


def can_write(format_name: str) -> bool:
    """Whether pictures are written in one of Pillow's formats, at least grey ones."""
    return format_name in _FORMATS


def encode_picture(picture: Picture, format_name: str) -> bytes:
    """Content of an image file.

    Args:
        picture: to be written.
        format_name: Pillow's name of the format, as `image_format` gives it.

    Raises:
        OutputError: the format cannot hold the picture's channels, depth or size, or needs
            libraries that are missing.
    """
    check_format_holds(format_name, picture.samples.shape[2], picture.bit_depth)
    samples, bit_depth = picture.samples, picture.bit_depth
    metadata = _held(picture.metadata, samples.shape[2], format_name)
    try:
        with quiet_libraries():
            if format_name == "TIFF":
                deep = samples if bit_depth == 8 else widen(samples, bit_depth)
                return write_tiff(deep, metadata)
            if format_name == "PPM":
                return write_netpbm(samples, bit_depth)
            if format_name == "PNG":
                return _png(samples, bit_depth, metadata)
            return _with_pillow(samples, metadata, format_name)
    except (OutputError, MemoryError):
        raise
    except Exception as error:  # each of Pillow's writers has its own way to refuse
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's, as a full disk
        height, width, _ = samples.shape
        reason = " ".join(str(error).split()) or type(error).__name__
        raise OutputError(
            f"cannot write {width}x{height} as {format_name}, use .png: {reason}"
        ) from error


def check_format_holds(format_name: str, channels: int, bit_depth: int) -> None:
    """Refuse a format that would lose a picture's colours, alpha or depth.

    Args:
        format_name: Pillow's name of the format.
        channels: 1 to 4.
        bit_depth: 8 to 16.

    Raises:
        OutputError: it would.
    """
    form = _FORMATS.get(format_name)
    if form is None:
        raise OutputError(f"{format_name} changes a picture's size or colours, use .png")
    if channels not in form.channels:
        other = ".png, .tif or .webp" if bit_depth == 8 else ".png or .tif"
        lost = "alpha" if channels in (2, 4) else "colours"
        raise OutputError(
            f"{format_name} cannot hold the {lost} of {CHANNEL_NAMES[channels]}, use {other}"
        )
    if bit_depth > 8 and not form.is_deep:
        raise OutputError(f"{format_name} has 8 bits a sample, not {bit_depth}; use .png or .tif")


def _held(metadata: Metadata, channels: int, format_name: str) -> Metadata:
    """What of the metadata the format has a place for; a line in the log says what it has not."""
    limits = _FORMATS[format_name].metadata
    if metadata.cicp and not metadata.icc and "icc" in limits and "cicp" not in limits:
        icc = profile_of_code(metadata.cicp, channels)
        if icc:
            metadata = replace(metadata, icc=icc, cicp=None)
    elif metadata.icc and "cicp" not in limits:
        metadata = replace(metadata, cicp=None)  # the profile says it better
    left_out = [
        kind
        for kind in _KINDS
        if (block := getattr(metadata, kind)) and len(block) > limits.get(kind, 0)
    ]
    if left_out:
        subject = " and ".join(_KINDS[kind] for kind in left_out)
        _LOG.warning("%s has no place for the %s, use .png to keep it", format_name, subject)
    empty = Metadata()
    return replace(metadata, **{kind: getattr(empty, kind) for kind in left_out})


def _png(samples: AnySamples, bit_depth: int, metadata: Metadata) -> bytes:
    if bit_depth > 8 and samples.shape[2] > 1:
        content = write_deep_png(widen(samples, bit_depth))
    else:
        stream = io.BytesIO()
        to_image(samples, bit_depth).save(stream, "PNG")
        content = stream.getvalue()
    chunks = []
    if metadata.cicp:
        chunks.append((b"cICP", bytes(metadata.cicp)))
    if metadata.icc:
        chunks.append(png_chunks.profile_chunk(metadata.icc))
    if 8 < bit_depth < 16:
        chunks.append((b"sBIT", bytes([bit_depth] * samples.shape[2])))
    if metadata.exif:
        chunks.append((b"eXIf", metadata.exif))
    if metadata.xmp:
        chunks.append(png_chunks.xmp_chunk(metadata.xmp))
    return png_chunks.with_chunks(content, chunks)


def _with_pillow(samples: AnySamples, metadata: Metadata, format_name: str) -> bytes:
    image = to_image(samples)
    mode = _WITHOUT_GREY.get(format_name, {}).get(samples.shape[2])
    if mode:
        image = image.convert(mode)
    options = dict(_FORMATS[format_name].options)
    if metadata.icc:
        options["icc_profile"] = metadata.icc
    if metadata.exif:
        options["exif"] = EXIF_PREFIX + metadata.exif
    if metadata.xmp:
        options["xmp"] = metadata.xmp
    stream = io.BytesIO()
    image.save(stream, format_name, **options)
    return stream.getvalue()
