"""givre: an overfitted image codec.

    import givre

    data = givre.encode("photo.png", quality=60, effort=4)
    open("photo.givre", "wb").write(data)
    givre.decode(data).save("decoded.png")
    print(givre.info(data)["bpp"])

Importing this module loads neither torch nor a compiler; `encode` and `overfit` load torch when
they are called, `decode`, `info` and `inspect` never do.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from givre.errors import GivreError
from givre.options import FitOptions
from givre.version import __version__

if TYPE_CHECKING:
    from typing import Unpack

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from givre.coder.files.picture import Picture
    from givre.coder.files.reading import PictureSource, Readable
    from givre.coder.fitting.checkpoint import Fit
    from givre.coder.fitting.progress import ProgressListener
    from givre.coder.report import Encoded
    from givre.fitted_image import FittedImage
    from givre.inspected_file import InspectedFile

    ImageSource: TypeAlias = PictureSource
    FileSource: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | Readable

__all__ = [
    "FitOptions",
    "GivreError",
    "__version__",
    "decode",
    "decode_array",
    "encode",
    "encode_with_report",
    "info",
    "inspect",
    "overfit",
]


def encode(
    image: ImageSource,
    *,
    on_progress: ProgressListener | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | Fit | None = None,
    strip: bool = False,
    tile: int | None = None,
    **options: Unpack[FitOptions],
) -> bytes:
    """Fit a decoder to an image and return the file's bytes.

    The bytes are decoded and checked before they are returned.

        data = givre.encode("photo.png", quality=60, effort=4)

    Args:
        image: a path, a file object, a PIL image, or a uint8 or uint16 array of shape (H, W) or
            (H, W, C); C is 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha).
        on_progress: called a few times a second with a `givre.coder.fitting.progress.Progress`:
            stage, step, rate in bits a pixel, PSNR in dB, seconds left.
        checkpoint: a file that is rewritten now and then while the fit goes on, and on
            KeyboardInterrupt. Excludes the targets.
        resume: a fit of this image, or its file, that is carried on and written. Excludes the
            targets.
        strip: leave out all metadata but the colour profile and the colour code.
        tile: side of tiles in pixels, a multiple of 64; 0 fits the image in one piece, None cuts
            images of more than 3 million pixels into tiles. Excludes checkpoint, resume, targets.
        **options: quality, effort and the like; `givre.FitOptions` lists them.

    Raises:
        UsageError: an option is out of range, two exclude each other, or encoding is not installed.
        ImageError: the image is unreadable, empty, or has samples that no 16 bits hold.
        CheckpointError: the fit to resume cannot be used.
        TargetError: the target is out of reach.
        CollapseError: the result is no better than a constant image although it should be.
    """
    encoded = encode_with_report(
        image,
        on_progress=on_progress,
        checkpoint=checkpoint,
        resume=resume,
        strip=strip,
        tile=tile,
        **options,
    )
    return encoded.data


def encode_with_report(
    image: ImageSource,
    *,
    on_progress: ProgressListener | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | Fit | None = None,
    strip: bool = False,
    tile: int | None = None,
    **options: Unpack[FitOptions],
) -> Encoded:
    """Encode as `encode` does, and say what the file is worth.

        encoded = givre.encode_with_report("photo.png", target_psnr=36)
        print(encoded.report.bpp, encoded.report.psnr_db, len(encoded.data))

    Args:
        image: a path, a file object, a PIL image, or a uint8 or uint16 array of shape (H, W) or
            (H, W, 1 to 4).
        on_progress: called a few times a second with a `givre.coder.fitting.progress.Progress`.
        checkpoint: a file that is rewritten now and then while the fit goes on.
        resume: a fit of this image, or its file, that is carried on and written.
        strip: leave out all metadata but the colour profile and the colour code.
        tile: side of tiles in pixels, a multiple of 64; 0 fits the image in one piece, None cuts
            images of more than 3 million pixels into tiles. Excludes checkpoint, resume, targets.
        **options: quality, effort and the like; `givre.FitOptions` lists them.

    Returns:
        `data`, the file's bytes, and `report`, a `givre.coder.encoder.EncodeReport`: size, rate,
        PSNR, lambda, seconds and more.

    Raises:
        GivreError: for the reasons that `encode` names.
    """
    from givre.coder.fitting.choices import FitChoices
    from givre.coder.whole_encode import EncodeJob, encode_whole

    _need_torch()
    job = EncodeJob(FitChoices(**options), _path(checkpoint), _fit(resume), on_progress, tile=tile)
    return encode_whole(_picture(image, strip), job)


def overfit(
    image: ImageSource,
    *,
    on_progress: ProgressListener | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | Fit | None = None,
    **options: Unpack[FitOptions],
) -> FittedImage:
    """Fit a decoder to an image without writing a file.

        fit = givre.overfit("photo.png", effort=3, on_progress=print)
        fit.save("photo.fit")

    Args:
        image: a path, a file object, a PIL image, or a uint8 or uint16 array of shape (H, W) or
            (H, W, 1 to 4).
        on_progress: called a few times a second with a `givre.coder.fitting.progress.Progress`:
            stage, step, rate in bits a pixel, PSNR in dB, seconds left.
        checkpoint: a file that is rewritten now and then, and on KeyboardInterrupt.
        resume: a fit of this image, or its file, that is carried on.
        **options: quality, effort and the like, but no target; `givre.FitOptions` lists them.

    Returns:
        The fit, with estimates of its rate (`bpp`) and its PSNR in dB (`psnr_db`); `save` keeps
        it in a file, `to_bytes` gives the coded file.

    Raises:
        UsageError: an option is out of range, two exclude each other, or encoding is not installed.
        ImageError: the image is unreadable, empty, or has samples that no 16 bits hold.
        CheckpointError: the fit to resume cannot be used.
    """
    from givre.coder.fitting.choices import FitChoices
    from givre.coder.whole_encode import EncodeJob, fit_whole

    _need_torch()
    from givre.fitted_image import FittedImage

    job = EncodeJob(FitChoices(**options), _path(checkpoint), _fit(resume), on_progress)
    return FittedImage.of(fit_whole(_picture(image, strip=False), job))


def decode(
    data: FileSource,
    *,
    region: tuple[int, int, int, int] | None = None,
    scale: int = 1,
    partial: bool = False,
    threads: int = 0,
    max_pixels: int | None = None,
    kernels: str = "auto",
) -> Image.Image:
    """Decode a file to a PIL image of mode L, LA, RGB or RGBA, or I;16 for grey of more bits.

    Every machine and number of threads gives the same pixels. The image's `info` has the profile,
    EXIF and XMP. PIL has no mode for colours of more than 8 bits: `decode_array` gives those.

        givre.decode("photo.givre").show()

    Args:
        data: the file's bytes, its path, or a file object.
        region: (x, y, width, height) in pixels of the whole picture, from its top left; None for
            all of it. In a picture with tiles only those that it touches are decoded.
        scale: 1, 2, 4 or 8: each pixel is the mean of scale x scale. The squares begin at the
            picture's top left, and those that the region touches are given.
        partial: whether a file that was cut is shown as far as it goes; a line in the log says how
            far. Else it raises TruncatedError.
        threads: CPU threads, 0 for all cores.
        max_pixels: most pixels that are held at a time, None for the decoder's own limit.
        kernels: "reference" (NumPy), "fused" (compiled), or "auto" for what is faster as things
            are: nobody waits for a compiler because of a small picture.

    Raises:
        BitstreamError: the bytes are no file of this format, damaged, or over the limit.
        ImageError: the path cannot be read, or PIL has no mode for the samples.
        UsageError: `threads` is out of range, or `kernels` unknown or not installed.
    """
    from givre.coder.files.pillow_output import to_image

    found = _decoded(data, (region, scale), partial, (threads, max_pixels, kernels))
    return to_image(found.samples, found.bit_depth, found.metadata)


def decode_array(
    data: FileSource,
    *,
    region: tuple[int, int, int, int] | None = None,
    scale: int = 1,
    partial: bool = False,
    threads: int = 0,
    max_pixels: int | None = None,
    kernels: str = "auto",
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Decode a file to an array of its samples, whatever their depth.

        samples = givre.decode_array("photo.givre")

    Args:
        data: the file's bytes, its path, or a file object.
        region: (x, y, width, height) in pixels of the whole picture, from its top left; None for
            all of it. In a picture with tiles only those that it touches are decoded.
        scale: 1, 2, 4 or 8: each pixel is the mean of scale x scale. The squares begin at the
            picture's top left, and those that the region touches are given.
        partial: whether a file that was cut is shown as far as it goes; a line in the log says how
            far. Else it raises TruncatedError.
        threads: CPU threads, 0 for all cores.
        max_pixels: most pixels that are held at a time, None for the decoder's own limit.
        kernels: "reference" (NumPy), "fused" (compiled), or "auto".

    Returns:
        (H, W, C), C being 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha): uint8, or uint16
        for 9 to 16 bits a sample, of which `givre.info` tells the number.

    Raises:
        BitstreamError: the bytes are no file of this format, damaged, or over the limit.
        ImageError: the path cannot be read.
        UsageError: `threads` is out of range, or `kernels` unknown or not installed.
    """
    found = _decoded(data, (region, scale), partial, (threads, max_pixels, kernels))
    return found.samples


def info(data: FileSource) -> dict[str, object]:
    """Describe a file without decoding its pixels: size, architecture, parts and checksum.

        givre.info("photo.givre")["mac_per_pixel"]

    Args:
        data: the file's bytes, its path, or a file object.

    Returns:
        Names to values that JSON can hold; `crc_ok` says whether the checksum of the file holds.

    Raises:
        BitstreamError: the bytes do not start with a header of this format.
        ImageError: the path cannot be read.
    """
    from givre.coder.inspection.file_info import file_info

    return file_info(_content(data))


def inspect(
    data: FileSource,
    *,
    threads: int = 0,
    max_pixels: int | None = None,
    kernels: str = "auto",
) -> InspectedFile:
    """Decode a file and keep its insides: latents and their bits, filters, upsampled stack.

        inspection = givre.inspect("photo.givre")
        print(inspection.numbers()["grids"])
        inspection.plot_latents("latents.png")  # needs matplotlib, the extra givre[plot]
        inspection.plot_filters("filters.png")

    Args:
        data: the file's bytes, its path, or a file object.
        threads: CPU threads, 0 for all cores.
        max_pixels: largest width times height that is accepted, None for 2^24.
        kernels: what decodes, "reference" (NumPy), "fused" (compiled), or "auto".

    Returns:
        Arrays, their numbers, and methods that draw them.

    Raises:
        BitstreamError: the bytes are no file of this format, damaged, or over the limit.
        ImageError: the path cannot be read.
    """
    from givre.coder.inspection.inspection import INSPECTION_MAX_PIXELS, inspect_file

    limit = INSPECTION_MAX_PIXELS if max_pixels is None else max_pixels
    from givre.inspected_file import InspectedFile

    found = inspect_file(_content(data), threads=threads, max_pixels=limit, kernels=kernels)
    return InspectedFile.of(found)


def _picture(image: ImageSource, strip: bool) -> Picture:
    from givre.coder.files.picture import stripped
    from givre.coder.files.reading import load_picture

    picture = load_picture(image)
    return stripped(picture) if strip else picture


def _decoded(
    data: FileSource,
    wanted: tuple[tuple[int, int, int, int] | None, int],
    partial: bool,
    means: tuple[int, int | None, str],
) -> Picture:
    from givre.bitstream.container import DEFAULT_MAX_PIXELS
    from givre.bitstream.tiling import Rectangle
    from givre.coder.view import View

    (region, scale), (threads, limit, kernels) = wanted, means
    view = View(None if region is None else Rectangle(*region), scale)
    limit = DEFAULT_MAX_PIXELS if limit is None else limit
    content = _content(data)
    if not partial:
        from givre.coder.decoder import decode_picture

        return decode_picture(
            content, view=view, threads=threads, max_pixels=limit, kernels=kernels
        )
    from givre.coder.partial import decode_partial

    found = decode_partial(content, view=view, threads=threads, max_pixels=limit, kernels=kernels)
    if not found.is_whole:
        import logging

        logging.getLogger(__name__).warning("%s", found.shown())
    return found.picture


def _need_torch() -> None:
    from givre.coder.files.installed import check_encoding_is_installed

    check_encoding_is_installed()


def _path(name: str | os.PathLike[str] | None) -> Path | None:
    return None if name is None else Path(name)


def _fit(resume: str | os.PathLike[str] | Fit | None) -> Fit | None:
    from givre.coder.fitting.checkpoint import Fit

    return resume if resume is None or isinstance(resume, Fit) else Fit.load(os.fspath(resume))


def _content(data: FileSource) -> bytes:
    if isinstance(data, bytes):
        return data
    if isinstance(data, bytearray | memoryview):
        return bytes(data)

    from givre.coder.files.bounded import read_file, read_stream

    if isinstance(data, str | os.PathLike):
        return read_file(data)
    return read_stream(data, "the file object")
