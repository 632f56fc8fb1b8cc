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
from givre.version import __version__

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from givre.coder.fitting.checkpoint import Fit
    from givre.coder.fitting.progress import ProgressListener
    from givre.coder.inspection.inspection import Inspection

    ImageSource: TypeAlias = str | os.PathLike[str] | Image.Image | NDArray[np.uint8]
    FileSource: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str]

__all__ = ["GivreError", "__version__", "decode", "encode", "info", "inspect", "overfit"]


def encode(
    image: ImageSource,
    *,
    quality: float | None = None,
    lmbda: float | None = None,
    effort: int | None = None,
    steps: int | None = None,
    complexity: str = "auto",
    seed: int = 0,
    threads: int = 0,
    device: str = "cpu",
    kernels: str = "auto",
    ups_init: str | None = None,
    prior: int | None = None,
    target_bpp: float | None = None,
    target_psnr: float | None = None,
    target_size: int | None = None,
) -> bytes:
    """Fit a decoder to an image and return the file's bytes.

    The bytes are decoded and checked before they are returned.

        data = givre.encode("photo.png", lmbda=0.001, steps=500)

    Args:
        image: a path, a PIL image, or a uint8 array of shape (H, W) or (H, W, C); C is 1 (grey),
            2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha).
        quality: 0 to 100, higher is better. Excludes `lmbda`.
        lmbda: weight of the rate in bits a pixel against the squared error of samples in [0, 1],
            above 0; 0.02 gives small files, 0.0001 good ones. Excludes `quality`.
        effort: 0 to 9, more takes longer and compresses better. Excludes `steps`.
        steps: optimisation steps, at least 1.
        complexity: size of the decoder, "lop", "mop", "hop" or "vhop": about 500, 1000, 2000 and
            3000 multiplications a pixel; "auto" chooses by lambda.
        seed: the same seed, machine and threads give the same bytes.
        threads: CPU threads, 0 for all cores.
        device: where torch fits, as "cpu" or "cuda".
        kernels: "fused" (compiled, on the CPU), "reference" (plain torch), or "auto".
        ups_init: interpolation that the upsampling filters start from, "bilinear", "bicubic" or
            "kaiser"; None leaves it to their size. It starts the fit and is not in the file.
        prior: number of the prior, a decoder learned on photographs, that the fit starts from and
            the file is coded against; 0 for none, None for the one closest in lambda.
        target_bpp: bits a pixel that the file shall have, met within 2 %. The targets exclude one
            another, `quality` and `lmbda`.
        target_psnr: PSNR in dB that the decoded file shall have, met within 0.1 dB.
        target_size: bytes that the file may have at most; it is filled to 98 % where that is
            possible.

    Raises:
        UsageError: an argument is out of range, or two exclude each other.
        ImageError: the image is unreadable, empty, or has more than 8 bits a sample.
        TargetError: the target is out of reach.
        CollapseError: the result is no better than a constant image although it should be.
    """
    from givre.coder.files.images import load_samples
    from givre.coder.fitting.choices import FitChoices, new_settings

    choices = FitChoices(
        quality=quality,
        lmbda=lmbda,
        effort=effort,
        steps=steps,
        complexity=complexity,
        seed=seed,
        threads=threads,
        device=device,
        kernels=kernels,
        ups_init=ups_init,
        prior=prior,
        target_bpp=target_bpp,
        target_psnr=target_psnr,
        target_size=target_size,
    )
    settings = new_settings(choices)
    samples = load_samples(image)
    if choices.goal is not None:
        from givre.coder.rate_control.targeted_encode import encode_to_goal

        return encode_to_goal(samples, settings, choices.goal).data

    from givre.coder.encoder import encode_samples

    return encode_samples(samples, settings).data


def overfit(
    image: ImageSource,
    *,
    quality: float | None = None,
    lmbda: float | None = None,
    effort: int | None = None,
    steps: int | None = None,
    complexity: str = "auto",
    seed: int = 0,
    threads: int = 0,
    device: str = "cpu",
    kernels: str = "auto",
    ups_init: str | None = None,
    prior: int | None = None,
    on_progress: ProgressListener | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Fit:
    """Fit a decoder to an image without writing a file.

        fit = givre.overfit("photo.png", effort=3, on_progress=print)
        fit.save("photo.fit")

    Args:
        image: as for `encode`.
        quality: as for `encode`.
        lmbda: as for `encode`.
        effort: as for `encode`.
        steps: as for `encode`.
        complexity: as for `encode`.
        seed: as for `encode`.
        threads: as for `encode`.
        device: as for `encode`.
        kernels: as for `encode`.
        ups_init: as for `encode`.
        prior: as for `encode`.
        on_progress: called a few times a second with a `givre.coder.fitting.progress.Progress`:
            step, rate in bits a pixel, PSNR in dB, seconds left.
        checkpoint: a file that is rewritten now and then, and on KeyboardInterrupt.

    Returns:
        The fit, with estimates of its rate (`bpp`) and its PSNR in dB (`psnr_db`); `save` keeps
        it in a file.

    Raises:
        UsageError: an argument is out of range, or two exclude each other.
        ImageError: the image is unreadable, empty, or has more than 8 bits a sample.
    """
    from givre.coder.files.images import load_samples
    from givre.coder.fitting.choices import FitChoices, new_settings

    choices = FitChoices(
        quality, lmbda, effort, steps, complexity, seed, threads, device, kernels, ups_init, prior
    )
    settings = new_settings(choices)
    samples = load_samples(image)

    from givre.coder.fitting.overfit import overfit as overfit_samples

    path = None if checkpoint is None else Path(checkpoint)
    return overfit_samples(samples, settings, on_progress=on_progress, checkpoint=path)


def decode(data: FileSource, *, threads: int = 0, max_pixels: int | None = None) -> Image.Image:
    """Decode a file to a PIL image of mode L, LA, RGB or RGBA.

    Every machine and number of threads gives the same pixels.

        givre.decode("photo.givre").show()

    Args:
        data: the file's bytes, or its path.
        threads: CPU threads, 0 for all cores.
        max_pixels: largest width times height that is accepted, None for the decoder's own limit.

    Raises:
        BitstreamError: the bytes are no file of this format, damaged, or over the limit.
        ImageError: the path cannot be read.
    """
    from givre.bitstream.container import DEFAULT_MAX_PIXELS
    from givre.coder.decoder import decode_samples
    from givre.coder.files.images import to_image

    limit = DEFAULT_MAX_PIXELS if max_pixels is None else max_pixels
    return to_image(decode_samples(_content(data), threads=threads, max_pixels=limit))


def info(data: FileSource) -> dict[str, object]:
    """Describe a file without decoding its pixels: size, architecture, parts and checksum.

        givre.info("photo.givre")["mac_per_pixel"]

    Args:
        data: the file's bytes, or its path.

    Returns:
        Names to values that JSON can hold; `crc_ok` says whether the checksum of the file holds.

    Raises:
        BitstreamError: the bytes do not start with a header of this format.
        ImageError: the path cannot be read.
    """
    from givre.coder.inspection.file_info import file_info

    return file_info(_content(data))


def inspect(data: FileSource, *, threads: int = 0, max_pixels: int | None = None) -> Inspection:
    """Decode a file and keep its insides: latents and their bits, filters, upsampled stack.

        inspection = givre.inspect("photo.givre")
        print(inspection.numbers()["grids"])
        inspection.plot_latents("latents.png")  # needs matplotlib, the extra givre[plot]
        inspection.plot_filters("filters.png")

    Args:
        data: the file's bytes, or its path.
        threads: CPU threads, 0 for all cores.
        max_pixels: largest width times height that is accepted, None for 2^24.

    Returns:
        Arrays, their numbers, and methods that draw them:
        `givre.coder.inspection.inspection.Inspection`.

    Raises:
        BitstreamError: the bytes are no file of this format, damaged, or over the limit.
        ImageError: the path cannot be read.
    """
    from givre.coder.inspection.inspection import INSPECTION_MAX_PIXELS, inspect_file

    limit = INSPECTION_MAX_PIXELS if max_pixels is None else max_pixels
    return inspect_file(_content(data), threads=threads, max_pixels=limit)


def _content(data: FileSource) -> bytes:
    if isinstance(data, bytes):
        return data
    if isinstance(data, bytearray | memoryview):
        return bytes(data)

    from givre.coder.files.bounded import read_file

    return read_file(data)
