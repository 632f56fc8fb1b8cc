"""Image files by their names, and pictures of 8 bits a sample as plain arrays.

Samples are uint8 of shape (height, width, channels), with 1 (grey), 2 (grey, alpha), 3 (RGB) or 4
(RGB, alpha) channels.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image

from givre.coder.files.atomic import atomic_write_bytes, check_output
from givre.coder.files.picture import Picture, Samples
from givre.coder.files.quiet import quiet_libraries
from givre.coder.files.reading import PictureSource, load_picture, read_picture
from givre.coder.files.writing import can_write, encode_picture, to_image
from givre.errors import ImageError, OutputError, UsageError

__all__ = [
    "ImageSource",
    "Samples",
    "check_coded_name",
    "encode_image",
    "image_format",
    "load_samples",
    "looks_like_image",
    "read_samples",
    "save_image",
    "to_image",
]

ImageSource: TypeAlias = PictureSource


def load_samples(source: ImageSource) -> Samples:
    """Samples of a picture as `load_picture` gives it.

    Raises:
        ImageError: as in `load_picture`, or the picture has more than 8 bits a sample.
    """
    return _of_8_bits(load_picture(source), _name_of(source))


def read_samples(data: bytes, name: str) -> Samples:
    """Samples of an image file's content, as `read_picture` gives them.

    Args:
        data: the content of the file.
        name: what to call the image in messages.

    Raises:
        ImageError: as in `load_samples`.
    """
    return _of_8_bits(read_picture(data, name), name)


def image_format(path: Path) -> str:
    """Pillow's name of the format that a file name asks for: PNG if it has no suffix.

    Raises:
        OutputError: the suffix is of no format that holds a picture as it is.
    """
    suffix = path.suffix.lower()
    if not suffix:
        return "PNG"
    name = Image.registered_extensions().get(suffix)
    if name is None or name not in Image.SAVE or suffix == ".pfm":
        raise OutputError(
            f"{path.name} has an unknown suffix, use one as .png, .jpg, .webp, .tif, .bmp or .ppm"
        )
    if not can_write(name):
        raise OutputError(
            f"{path.name}: {name} would change the picture's size or colours, use .png"
        )
    return name


def looks_like_image(name: str) -> bool:
    """Whether a name is that of a file which holds an image of a format that Pillow knows."""
    try:
        if not Path(name).is_file():
            return False
        with quiet_libraries(), Image.open(name):
            return True
    except Image.DecompressionBombError:
        return True
    except Exception:  # a damaged file raises nearly anything; it may still be somebody's picture
        return _is_image_suffix(Path(name).suffix)


def check_coded_name(name: str, suffix: str) -> None:
    """Refuse to write what is no image over an image, or under the name of one.

    Args:
        name: of the output.
        suffix: that outputs usually have, with its dot.

    Raises:
        UsageError: the file is an image, or has the suffix of one.
    """
    if looks_like_image(name):
        raise UsageError(f"{name} is an image, it would be lost; name an output as NAME{suffix}")
    if _is_image_suffix(Path(name).suffix):
        raise UsageError(f"{name} has the suffix of an image, name an output as NAME{suffix}")


def _is_image_suffix(suffix: str) -> bool:
    # Pillow takes .fit for a picture of an astronomer; here it is a fit.
    return suffix.lower() != ".fit" and suffix.lower() in Image.registered_extensions()


def encode_image(samples: Samples, format_name: str) -> bytes:
    """Content of an image file in one of Pillow's formats, as `image_format` names them.

    Raises:
        OutputError: the format cannot hold the samples' channels or size.
    """
    return encode_picture(Picture(samples), format_name)


def save_image(samples: Samples, path: Path, force: bool) -> None:
    """Write samples as an image file, whole or not at all; the suffix names the format.

    Args:
        samples: uint8 (H, W, C), C 1 to 4.
        path: the file; without a suffix it is written as PNG.
        force: whether an existing file is replaced.

    Raises:
        OutputError: the suffix is unknown, the format cannot hold the image, the file exists and
            `force` is false, or it cannot be written.
    """
    check_output(path, force)
    atomic_write_bytes(path, encode_image(samples, image_format(path)), force)


def _of_8_bits(picture: Picture, name: str) -> Samples:
    if picture.samples.dtype != np.uint8:
        raise ImageError(
            f"{name} has more than 8 bits a sample, 16-bit samples are not supported yet;"
            " convert it first, as with: magick IN -depth 8 OUT.png"
        )
    return picture.samples.astype(np.uint8, copy=False)


def _name_of(source: ImageSource) -> str:
    if isinstance(source, np.ndarray):
        return "the array"
    return str(source) if isinstance(source, str | Path) else "the image"
