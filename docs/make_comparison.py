"""Draw the picture of the README: one photograph as givre, AVIF and JPEG files of equal size.

python docs/make_comparison.py

Fits the photograph and searches the other encoders' settings, which takes some minutes. `--file`
keeps the fitted file, and takes it if it is there. Needs Pillow with AVIF.
"""

from __future__ import annotations

import argparse
import io
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import givre
from givre.coder.psnr import mean_squared_error, psnr_db

HERE = Path(__file__).parent
PHOTOGRAPH = HERE / "images" / "coffee.webp"
PICTURE = HERE / "images" / "comparison.png"

LMBDA = 0.01
EFFORT = 6

CROP = (300, 106, 480, 326)
"""What is shown of the photograph: left, top, right, bottom."""

ZOOM = 1.5
"""How much larger it is shown, so that what is lost can be seen."""

SLACK = 1.03
"""Another codec's file may be larger than givre's by this factor, and is never smaller."""

GAP = 6
CAPTION = 52
FONT_SIZE = 17


AVIF = [
    {
        "format": "AVIF",
        "codec": "aom",
        "speed": 0,
        "subsampling": colours,
        "advanced": {"tune": tune},
    }
    for colours, tune in product(("4:2:0", "4:2:2", "4:4:4"), ("iq", "ssim", "psnr"))
]
"""Settings of Pillow's encoder to choose from: libaom at its slowest, what it tunes for."""

JPEG = [
    {"format": "JPEG", "optimize": True, "progressive": True, "subsampling": colours}
    for colours in ("4:2:0", "4:2:2", "4:4:4")
]
"""The same for JPEG: progressive, with Huffman tables of its own."""


@dataclass(frozen=True)
class Coded:
    """A photograph after coding.

    Attributes:
        name: of the codec.
        size: of the file, in bytes.
        image: what its decoder gives.
        psnr: of all samples of that, in dB.
        settings: of the encoder, for people.
    """

    name: str
    size: int
    image: Image.Image
    psnr: float
    settings: str


def coded(name: str, size: int, image: Image.Image, original: Image.Image, settings: str) -> Coded:
    """Measure a decoded image."""
    error = mean_squared_error(np.asarray(original), np.asarray(image))
    return Coded(name, size, image, psnr_db(error), settings)


def encoded(image: Image.Image, settings: Mapping[str, Any], quality: int) -> bytes:
    """A file of Pillow's, in memory."""
    file = io.BytesIO()
    image.save(file, quality=quality, **settings)
    return file.getvalue()


def just_as_large(original: Image.Image, settings: Mapping[str, Any], size: int) -> Coded:
    """The file of the lowest quality that has no fewer bytes than `size`."""
    quality = bisect_left(range(101), size, key=lambda q: len(encoded(original, settings, q)))
    data = encoded(original, settings, quality)
    with Image.open(io.BytesIO(data)) as image:
        text = ", ".join(f"{key} {value}" for key, value in settings.items() if key != "format")
        text += f", quality {quality}"
        return coded(settings["format"], len(data), image.convert("RGB"), original, text)


def best_of_size(original: Image.Image, choices: Sequence[Mapping[str, Any]], size: int) -> Coded:
    """The file with the highest PSNR among those just as large as `size` or a little larger.

    Args:
        original: what to encode.
        choices: settings of one codec's encoder.
        size: in bytes.

    Returns:
        The best within `SLACK`, or the smallest above `size` where there is none within.
    """
    files = [just_as_large(original, settings, size) for settings in choices]
    within = [file for file in files if file.size <= SLACK * size]
    if within:
        return max(within, key=lambda file: file.psnr)
    return min(files, key=lambda file: file.size)


def draw(original: Image.Image, files: list[Coded]) -> Image.Image:
    """The same part of the original and of each file, side by side, with a caption each."""
    width, height = round(ZOOM * (CROP[2] - CROP[0])), round(ZOOM * (CROP[3] - CROP[1]))
    n = 1 + len(files)
    picture = Image.new("RGB", (n * width + (n - 1) * GAP, height + CAPTION), "white")
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(FONT_SIZE)
    pixels = original.width * original.height
    captions = [
        ("original", f"{original.width}x{original.height} pixels, 24 bits each"),
        *(
            (f"{file.name}, {file.size:,} bytes", f"{file.psnr:.2f} dB, "
             f"{8 * file.size / pixels:.2f} bits a pixel")
            for file in files
        ),
    ]  # fmt: skip
    images = [original, *(file.image for file in files)]
    for i, (image, lines) in enumerate(zip(images, captions, strict=True)):
        left = i * (width + GAP)
        part = image.crop(CROP).resize((width, height), Image.Resampling.BICUBIC)
        picture.paste(part, (left, 0))
        for row, line in enumerate(lines):
            pen.text((left + 2, height + 3 + 23 * row), line, fill="black", font=font)
    return picture


def main() -> None:
    """Code the photograph in three ways, write the picture, and print what is in it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--file", type=Path, help="where the givre file is kept")
    args = parser.parse_args()
    with Image.open(PHOTOGRAPH) as photograph:
        # Only the samples: Pillow would put a profile or a resolution into the files.
        original = Image.fromarray(np.asarray(photograph.convert("RGB")))
    if args.file is not None and args.file.exists():
        data = args.file.read_bytes()
    else:
        data = givre.encode(original, lmbda=LMBDA, effort=EFFORT)
        if args.file is not None:
            args.file.write_bytes(data)
    settings = f"lambda {LMBDA}, effort {EFFORT}"
    ours = coded("givre", len(data), givre.decode(data).convert("RGB"), original, settings)
    others = [best_of_size(original, choices, ours.size) for choices in (AVIF, JPEG)]
    draw(original, [ours, *others]).save(PICTURE, optimize=True)
    for file in (ours, *others):
        print(f"{file.name:6} {file.size:6} bytes  {file.psnr:.2f} dB  {file.settings}")


if __name__ == "__main__":
    main()
