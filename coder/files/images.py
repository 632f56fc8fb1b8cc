"""Image files, Pillow images and arrays to samples, and samples back to them.

Samples are what the codec works on: uint8 of shape (height, width, channels), with 1 (grey),
2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha) channels.
"""

from __future__ import annotations

import io
import logging
import os
import warnings
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from givre.coder.files.atomic import atomic_write_bytes, check_output
from givre.coder.files.bounded import read_file
from givre.errors import ImageError, OutputError, UsageError

Samples: TypeAlias = NDArray[np.uint8]
ImageSource: TypeAlias = "str | os.PathLike[str] | Image.Image | NDArray[np.uint8]"

_LOG = logging.getLogger(__name__)

_MODE_OF_CHANNELS = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}

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

_SAVE_OPTIONS: dict[str, dict[str, object]] = {
    "JPEG": {"quality": 95},
    "WEBP": {"lossless": True},
}
"""What keeps Pillow from spoiling a decoded image more than its format must."""


def load_samples(source: ImageSource) -> Samples:
    """Samples of an image given as a path, a Pillow image or an array.

    A file's EXIF orientation is applied. A palette becomes RGB, or RGBA if it has transparency;
    1 bit a pixel becomes grey; CMYK, YCbCr, HSV and LAB become RGB. Of an animation the first
    frame is taken.

    Args:
        source: a path, a Pillow image, or a uint8 array of shape (H, W) or (H, W, C), C 1 to 4.

    Returns:
        uint8 samples (H, W, C) that belong to the caller.

    Raises:
        ImageError: the image is unreadable, empty, truncated, larger than Pillow's pixel limit,
            or has samples that do not fit into 8 bits.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _from_pillow(source, "the image")
    if isinstance(source, str | os.PathLike):
        return read_samples(read_file(source), os.fspath(source))
    raise ImageError(f"an image is a path, a Pillow image or an array, not {type(source).__name__}")


def read_samples(data: bytes, name: str) -> Samples:
    """Samples of an image file's content, as `load_samples` gives them.

    Args:
        data: the content of a file in any format that Pillow reads.
        name: what to call the image in messages.

    Raises:
        ImageError: as in `load_samples`.
    """
    if not data:
        raise ImageError(f"{name} is empty, it must be an image file")
    try:
        with warnings.catch_warnings():
            # Pillow only warns between one and two times its pixel limit.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError as error:
        raise ImageError(f"{name} is not an image of a known format, as PNG or JPEG") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = f"{Image.MAX_IMAGE_PIXELS} pixels" if Image.MAX_IMAGE_PIXELS else "Pillow's limit"
        raise ImageError(f"{name} has more than {limit}, make it smaller") from error
    except Exception as error:  # damaged files raise nearly anything in Pillow's format readers
        raise ImageError(f"cannot read {name}: {_one_line(error)}") from error
    with image:
        return _from_pillow(image, name)


def to_image(samples: Samples) -> Image.Image:
    """Pillow image (L, LA, RGB or RGBA) of samples (H, W, C), C 1 to 4.

    Raises:
        ImageError: the array is not of that kind.
    """
    owned = _from_array(samples)
    return Image.fromarray(owned[:, :, 0] if owned.shape[2] == 1 else owned)


def image_format(path: Path) -> str:
    """Pillow's name of the format that a file name asks for: PNG if it has no suffix.

    Raises:
        OutputError: the suffix is of no format that Pillow writes.
    """
    suffix = path.suffix.lower()
    if not suffix:
        return "PNG"
    name = Image.registered_extensions().get(suffix)
    if name is None or name not in Image.SAVE:
        raise OutputError(
            f"{path.name} has an unknown suffix, use one as .png, .jpg, .webp, .tif, .bmp or .ppm"
        )
    return name


def looks_like_image(name: str) -> bool:
    """Whether a name is that of a file which holds an image of a format that Pillow knows."""
    try:
        if not Path(name).is_file():
            return False
        with Image.open(name):
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
    image = to_image(samples)
    content = io.BytesIO()
    try:
        image.save(content, format=format_name, **_SAVE_OPTIONS.get(format_name, {}))
    except Exception as error:  # each of Pillow's writers has its own way to refuse
        raise OutputError(
            f"cannot write {image.width}x{image.height} {image.mode} as {format_name}, use .png:"
            f" {_one_line(error)}"
        ) from error
    return content.getvalue()


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


def _from_array(array: NDArray[np.uint8]) -> Samples:
    if array.dtype in (np.dtype(np.uint16), np.dtype(np.int32)):
        raise ImageError(_too_deep("the array"))
    if array.dtype != np.uint8:
        raise ImageError(f"the array holds {array.dtype}, it must hold uint8")
    samples = array[:, :, np.newaxis] if array.ndim == 2 else array
    if samples.ndim != 3 or not 1 <= samples.shape[2] <= 4:
        raise ImageError(f"the array has shape {array.shape}, it must be (H, W) or (H, W, 1 to 4)")
    if samples.size == 0:
        raise ImageError(f"the array has shape {array.shape}, it must hold at least one pixel")
    return np.array(samples, dtype=np.uint8, order="C")


def _from_pillow(image: Image.Image, name: str) -> Samples:
    """Samples of a Pillow image that is perhaps not loaded yet."""
    if image.width == 0 or image.height == 0:
        raise ImageError(f"{name} has no pixels, it must be at least 1x1")
    if image.mode.startswith(("I", "F")) or _drops_low_bits(image):
        raise ImageError(_too_deep(name))
    if image.mode not in _OPAQUE_MODE and image.mode not in _ALPHA_MODE:
        raise ImageError(f"{name} has colour mode {image.mode}, convert it to RGB first")
    try:
        if getattr(image, "is_animated", False):
            _LOG.warning("%s has several frames, the first one is taken", name)
        # The mode may change as the file is loaded, and the alpha is known only then.
        upright = ImageOps.exif_transpose(image)
        return _from_array(np.asarray(_convert(upright), dtype=np.uint8))
    except ImageError:
        raise
    except Exception as error:  # truncated and damaged files: OSError, SyntaxError, zlib.error...
        raise ImageError(f"cannot read {name}: {_one_line(error)}") from error


def _convert(image: Image.Image) -> Image.Image:
    mode = _ALPHA_MODE.get(image.mode) or _OPAQUE_MODE[image.mode]
    if image.has_transparency_data and mode in ("L", "RGB"):
        mode = {"L": "LA", "RGB": "RGBA"}[mode]  # one colour, or palette entries, are transparent
    return image if image.mode == mode else image.convert(mode)


def _drops_low_bits(image: Image.Image) -> bool:
    """Whether Pillow would cut a file's 16-bit colour samples to 8 bits without a word."""
    for codec, _, _, args in getattr(image, "tile", None) or []:
        raw_mode, *rest = args if isinstance(args, tuple) else (args,)
        if ";16" in str(raw_mode) or (codec.startswith("ppm") and rest and rest[-1] > 255):
            return True
    return False


def _too_deep(name: str) -> str:
    return (
        f"{name} has more than 8 bits a sample, 16-bit samples are not supported yet;"
        " convert it first, as with: magick IN -depth 8 OUT.png"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
