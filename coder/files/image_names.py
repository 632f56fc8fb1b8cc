"""What the name of a file says of the image in it, or of the one to be written."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from givre.coder.files.quiet import quiet_libraries
from givre.coder.files.writing import can_write
from givre.errors import OutputError, UsageError


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
