"""Screenshots and documents: real files against WebP at the same PSNR.

    python benchmarks/screen.py IMAGE... [--lambdas 0.004 0.001] [--efforts 2 4]

WebP is Pillow's, lossy, method 6, at every quality from 0 to 100. It has no alpha here, and neither
has the other side: images are compared as RGB, or as grey if that is what they are. The rate of
WebP at the PSNR that givre reached is interpolated between its two nearest qualities, in the
logarithm. Results are saved in OUT.tsv and .json.
"""

from __future__ import annotations

import argparse
import io
import sys
from itertools import pairwise, product
from math import exp, log, nan
from pathlib import Path

import numpy as np
import tables
from numpy.typing import NDArray
from PIL import Image

import givre
from givre.coder.psnr import mean_squared_error, psnr_db


def flattened(path: Path) -> Image.Image:
    """An image without alpha, grey or RGB."""
    picture = Image.open(path)
    if picture.mode in ("L", "RGB"):
        return picture
    backed = Image.new("RGBA", picture.size, "white")
    backed.alpha_composite(picture.convert("RGBA"))
    return backed.convert("RGB")


def webp_curve(picture: Image.Image) -> list[tuple[float, int]]:
    """(PSNR in dB, bytes) at every quality that costs more than all that are as good, ascending."""
    original, found = _rgb(picture), []
    for quality in range(101):
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=quality, method=6)
        decoded = _rgb(Image.open(io.BytesIO(buffer.getvalue())))
        psnr = psnr_db(mean_squared_error(original, decoded))
        found.append((psnr, len(buffer.getvalue())))
    kept: list[tuple[float, int]] = []
    for psnr, size in sorted(found, key=lambda point: point[1]):
        if not kept or psnr > kept[-1][0]:
            kept.append((psnr, size))
    return kept


def bytes_at(curve: list[tuple[float, int]], psnr: float) -> float:
    """Bytes at a PSNR between two points of a curve; its last point's beyond it, nan below it."""
    for (low, small), (high, large) in pairwise(curve):
        if low <= psnr <= high:
            share = (psnr - low) / (high - low)
            return exp(log(small) + share * log(large / small))
    return float(curve[-1][1]) if psnr > curve[-1][0] else nan


def compare(
    name: str, picture: Image.Image, curve: list[tuple[float, int]], lmbda: float, effort: int
) -> dict[str, object]:
    """One image at one lambda, against its `webp_curve`."""
    data = givre.encode(picture, lmbda=lmbda, effort=effort)
    decoded = _rgb(givre.decode(data))
    psnr = psnr_db(mean_squared_error(_rgb(picture), decoded))
    webp = bytes_at(curve, psnr)
    return {
        "image": name,
        "lmbda": lmbda,
        "effort": effort,
        "bytes": len(data),
        "bpp": 8 * len(data) / (picture.width * picture.height),
        "psnr_db": psnr,
        "webp_bytes": webp,
        "percent_of_webp": 100 * len(data) / webp,
        "webp_best_db": curve[-1][0],
    }


def _rgb(picture: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(picture.convert("RGB"))


def main() -> int:
    """Compare all images, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    parser.add_argument("--lambdas", nargs="+", type=float, default=[0.004, 0.001])
    parser.add_argument("--efforts", nargs="+", type=int, default=[2, 4])
    parser.add_argument("--out", type=Path, default=Path("results/screen"))
    args = parser.parse_args()
    rows = []
    for image in args.images:
        picture = flattened(image)
        curve = webp_curve(picture)
        for effort, lmbda in product(args.efforts, args.lambdas):
            rows.append(compare(image.stem, picture, curve, lmbda, effort))
            tables.show(rows[-1:])
            tables.save(rows, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
