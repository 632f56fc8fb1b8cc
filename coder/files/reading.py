"""Image files, Pillow images, arrays and file objects to pictures."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from givre.bitstream.metadata import Metadata
from givre.coder.files import deep_files, png_chunks, tiff_directory
from givre.coder.files.bmp_masks import has_alpha_mask, read_masked_bmp
from givre.coder.files.bounded import Readable, read_file, read_stream
from givre.coder.files.kept_metadata import LIMIT, file_profile, kept
from givre.coder.files.netpbm import is_deep_netpbm, read_deep_netpbm
from givre.coder.files.orientation import exif_orientation, upright, xmp_orientation
from givre.coder.files.picture import AnySamples, Picture, check_size, narrow
from givre.coder.files.pillow_images import (
    metadata_of,
    open_image,
    samples_of,
    tell_of_frames,
)
from givre.coder.files.quiet import quiet_libraries
from givre.coder.files.tiff_exif import exif_of_tiff
from givre.errors import ImageError

__all__ = ["PictureSource", "Readable", "load_picture", "read_picture"]

_LOG = logging.getLogger(__name__)
_ICC_TAG, _XMP_TAG = 34675, 700


PictureSource: TypeAlias = (
    "str | os.PathLike[str] | Image.Image | NDArray[np.uint8] | NDArray[np.uint16] | Readable"
)


def load_picture(source: PictureSource) -> Picture:
    """A picture given as a path, a file object, a Pillow image or an array.

    Of a file the orientation in its EXIF, or else in its XMP, is applied. So it is for an image
    that `Image.open` gave, which stands for its file. An image that came out of an operation, as
    `rotate`, `copy` or `convert`, is taken as Pillow shows it, for then its EXIF tells of pixels
    that it no longer has.

    Args:
        source: a path, an object with `read`, a Pillow image, or a uint8 or uint16 array of shape
            (H, W) or (H, W, C), C 1 to 4. A uint16 array has 16 bits a sample.

    Returns:
        A picture whose samples belong to the caller.

    Raises:
        ImageError: the image is unreadable, empty, truncated or larger than 2^28 pixels, or has
            samples that do not fit into 16 bits.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        check_size(*source.size, "the image")
        with _one_line_errors("the image"):
            return _from_pillow(source, "the image")
    if isinstance(source, str | os.PathLike):
        return read_picture(read_file(source), os.fspath(source))
    if hasattr(source, "read"):
        name = getattr(source, "name", None)
        name = name if isinstance(name, str) else "the stream"
        return read_picture(read_stream(source, name), name)
    raise ImageError(
        "an image is a path, a file object, a Pillow image or an array, not"
        f" {type(source).__name__}"
    )


def read_picture(data: bytes, name: str) -> Picture:
    """The picture in an image file's content, upright, with what belongs to it.

    A palette becomes RGB, or RGBA if it has transparency; 1 bit a pixel becomes grey; CMYK and
    LAB become sRGB through their profile; YCbCr and HSV become RGB. Of several frames the first
    is taken. What is damaged beside the pixels is left out, with a line in the log.

    Args:
        data: the content of a file in any format that Pillow reads.
        name: what to call the image in messages.

    Raises:
        ImageError: as in `load_picture`.
    """
    if not data:
        raise ImageError(f"{name} is empty, it must be an image file")
    with _one_line_errors(name):
        if data.startswith(png_chunks.SIGNATURE):
            return _read_png(data, name)
        if tiff_directory.is_tiff(data):
            return _read_tiff(data, name)
        if is_deep_netpbm(data):
            return Picture(*read_deep_netpbm(data, name))
        if has_alpha_mask(data):
            return Picture(read_masked_bmp(data, name))
        return _read_other(data, name)


def _read_other(data: bytes, name: str) -> Picture:
    with open_image(data, name) as image:
        if image.format == "AVIF":
            return _read_avif(image, data, name)
        if image.format == "JPEG2000":
            return _read_jpeg2000(image, data, name)
        return _from_pillow(image, name)


def _read_png(data: bytes, name: str) -> Picture:
    notes = png_chunks.read_notes(data, LIMIT)
    for fault in notes.faults:
        _LOG.warning("%s: %s is damaged or too large and left out", name, fault)
    if notes.frames:
        which = "first one" if notes.frames == "first" else "still picture"
        _LOG.warning("%s has several frames, the %s is taken", name, which)
    pixels = png_chunks.pixels_only(data)
    if notes.bit_depth == 16 and notes.colour_type != 0:
        _check_packed_size(pixels, name)
        samples: AnySamples = deep_files.read_deep_png(pixels, name)
        depth = 16
    else:
        with open_image(pixels, name) as image:
            samples, depth = samples_of(image, name)
    if samples.dtype == np.uint16 and notes.significant_bits:
        samples, depth = narrow(samples, max(notes.significant_bits))
    icc = notes.icc
    if not (icc or notes.is_srgb or notes.cicp):
        icc = file_profile(notes.gamma, notes.chromaticities, samples.shape[2], name)
    metadata = Metadata(icc, notes.exif.removeprefix(b"Exif\0\0"), notes.xmp, notes.cicp)
    return _finish(samples, depth, metadata, name)


def _check_packed_size(data: bytes, name: str) -> None:
    """Refuse a PNG file that promises more than its bytes can hold, before memory is taken."""
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    if width * height * 4 > len(data) * 1040:  # no less than 4 bytes a pixel, packed 1032 times
        raise ImageError(f"cannot read {name}: it is truncated")


def _read_tiff(data: bytes, name: str) -> Picture:
    try:
        directory = tiff_directory.read_directory(data)
    except ValueError as error:
        raise ImageError(f"cannot read {name}: {error}") from error
    deep_files.check_tiff_kind(data, directory, name)
    if directory.more:
        _LOG.warning("%s has several pages, the first one is taken", name)
    try:
        exif = exif_of_tiff(data, directory, LIMIT)
    except ValueError as error:
        _LOG.warning("the EXIF of %s is left out: %s", name, error)
        exif = b""
    metadata = Metadata(
        tiff_directory.content(data, directory, _ICC_TAG),
        exif,
        tiff_directory.content(data, directory, _XMP_TAG),
    )
    if deep_files.is_deep_tiff(data, directory):
        samples, depth = deep_files.read_deep_tiff(data, directory, name)
        turned = tiff_directory.orientation(data, directory) or 1
        return _finish(upright(samples, turned), depth, metadata, name, is_upright=True)
    with open_image(data, name) as image:
        samples, depth = samples_of(image, name)  # Pillow turns TIFF upright itself
        if image.mode in ("CMYK", "LAB"):
            metadata = replace(metadata, icc=b"")
    return _finish(samples, depth, metadata, name, is_upright=True)


def _read_avif(image: ImageFile.ImageFile, data: bytes, name: str) -> Picture:
    tell_of_frames(image, name)
    if deep_files.avif_depth(data) > 8:
        samples, depth = deep_files.read_deep_avif(data, name, image.size)
    else:
        samples, depth = samples_of(image, name)
    metadata = replace(metadata_of(image), cicp=deep_files.avif_colour_code(data))
    return _finish(samples, depth, metadata, name)


def _read_jpeg2000(image: ImageFile.ImageFile, data: bytes, name: str) -> Picture:
    depth, channels = deep_files.jpeg2000_depth(data)
    if depth <= 8:
        return _from_pillow(image, name)
    if depth > 16:
        raise ImageError(f"{name} has {depth} bits a sample, convert it to 16 bits first")
    if channels > 1:
        samples, depth = deep_files.read_deep_jpeg2000(data, name, image.size, depth)
    else:
        samples, _ = samples_of(image, name)
        samples = samples >> np.uint16(16 - depth)  # Pillow has shifted them up
    return _finish(samples, depth, metadata_of(image), name)


def _from_pillow(image: Image.Image, name: str) -> Picture:
    tell_of_frames(image, name)
    samples, depth = samples_of(image, name)
    metadata = metadata_of(image)
    if image.mode in ("CMYK", "LAB"):
        metadata = replace(metadata, icc=b"")
    gamma, chromaticities = image.info.get("gamma"), image.info.get("chromaticity")
    if not metadata.icc and "srgb" not in image.info and (gamma or chromaticities):
        icc = file_profile(gamma, chromaticities, samples.shape[2], name)
        metadata = replace(metadata, icc=icc)
    from_file = isinstance(image, ImageFile.ImageFile) and image.format != "TIFF"
    return _finish(samples, depth, metadata, name, is_upright=not from_file)


def _finish(
    samples: AnySamples, depth: int, metadata: Metadata, name: str, is_upright: bool = False
) -> Picture:
    """The picture upright, with the metadata that is sound."""
    if not is_upright:
        value = exif_orientation(metadata.exif) or xmp_orientation(metadata.xmp) or 1
        samples = upright(samples, value)
    return Picture(samples, depth, kept(metadata, samples.shape[2], name))


def _from_array(array: NDArray[Any]) -> Picture:
    if array.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"the array holds {array.dtype}, it must hold uint8 or uint16")
    samples = array[:, :, np.newaxis] if array.ndim == 2 else array
    if samples.ndim != 3 or not 1 <= samples.shape[2] <= 4:
        raise ImageError(f"the array has shape {array.shape}, it must be (H, W) or (H, W, 1 to 4)")
    if samples.size == 0:
        raise ImageError(f"the array has shape {array.shape}, it must hold at least one pixel")
    return Picture(np.array(samples, order="C"), 8 if array.dtype == np.uint8 else 16)


@contextmanager
def _one_line_errors(name: str) -> Iterator[None]:
    """What a damaged file raises becomes one line; what the surroundings raise stays as it is."""
    try:
        with quiet_libraries():
            yield
    except (ImageError, MemoryError):
        raise
    except OSError as error:
        if error.errno is not None:  # the system's, not an image library's
            raise
        raise ImageError(f"cannot read {name}: {_one_line(error)}") from error
    except Exception as error:  # damaged files raise nearly anything in the format readers
        raise ImageError(f"cannot read {name}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or "it is damaged"
