"""`givre decode`: a file to an image."""

from __future__ import annotations

import argparse
import re
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from givre.coder.files.image_names import image_format
from givre.coder.files.writing import encode_picture
from givre.errors import PartialError
from givre.scripts import arguments, named_files, streams
from givre.scripts.report import duration, print_json_line, say

_SCALES = {"1": 1, "1/2": 2, "1/4": 4, "1/8": 8}

if TYPE_CHECKING:
    from givre.coder.partial import PartialPicture


def _region(text: str) -> tuple[int, int, int, int]:
    """X,Y,W,H for argparse.

    Raises:
        argparse.ArgumentTypeError: the text is something else.
    """
    found = re.fullmatch(r"(\d{1,7}),(\d{1,7}),(\d{1,7}),(\d{1,7})", text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no region, write X,Y,W,H as 0,0,640,480")
    x, y, width, height = map(int, found.groups())
    return x, y, width, height


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "decode",
        allow_abbrev=False,
        help="decode a file to an image",
        description="Decode each file. The suffix of OUT names the image format; standard output"
        " and a name without suffix get PNG.",
    )
    named_files.add_name_arguments(parser, "FILE", "image to write", ".png")
    parser.add_argument(
        "--region",
        type=_region,
        metavar="X,Y,W,H",
        help="decode this part alone, in pixels of the whole image from its top left",
    )
    parser.add_argument(
        "--scale",
        choices=tuple(_SCALES),
        default="1",
        help="make it smaller: each pixel is the mean of 2x2, 4x4 or 8x8",
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="show what there is of a file that was cut, with the exit code"
        f" {PartialError.exit_code}",
    )
    arguments.add_setting(parser, "threads")
    arguments.add_setting(parser, "kernels")
    arguments.add_max_pixels_argument(parser)
    arguments.add_force_argument(parser)
    arguments.add_report_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code.

    Raises:
        GivreError: the arguments, the file or the output are wrong.
        PartialError: a part of a file that was cut has been written, as `--partial` asks for.
    """
    pairs = named_files.pair_names(args.names, args.output, ".png", streams.looks_coded)
    for source, output in pairs:
        image_format(Path(output))  # refuses an unknown suffix before anything is decoded
        streams.check_destination(source, output, args.force, args.json)
    return named_files.for_each(pairs, lambda pair: _decode(args, pair))


def _decoded(args: argparse.Namespace, data: bytes) -> PartialPicture:
    """What the arguments ask for.

    Raises:
        BitstreamError: the bytes are no file, or are cut and `--partial` is not given.
    """
    from givre.bitstream.container import DEFAULT_MAX_PIXELS
    from givre.bitstream.tiling import Rectangle
    from givre.coder.decoder import decode_picture
    from givre.coder.partial import PartialPicture, decode_partial
    from givre.coder.view import View

    region = None if args.region is None else Rectangle(*args.region)
    view, threads = View(region, _SCALES[args.scale]), args.threads or 0
    limit, kernels = args.max_pixels or DEFAULT_MAX_PIXELS, args.kernels or "auto"
    if args.partial:
        return decode_partial(data, view=view, threads=threads, max_pixels=limit, kernels=kernels)
    picture = decode_picture(data, view=view, threads=threads, max_pixels=limit, kernels=kernels)
    return PartialPicture(picture, tiles=1, all_tiles=1, grids=0, all_grids=0, is_whole=True)


def _decode(args: argparse.Namespace, pair: named_files.Pair) -> None:
    source, output = pair
    # /dev/null has no suffix and - is no name: both get PNG.
    format_name = image_format(Path(output))
    data = streams.read_input(source)

    started = perf_counter()
    found = _decoded(args, data)
    picture = found.picture
    seconds = perf_counter() - started
    streams.write_output(output, encode_picture(picture, format_name), args.force)

    height, width, channels = picture.samples.shape
    if args.json:
        print_json_line(
            {
                "input": source,
                "output": output,
                "width": width,
                "height": height,
                "channels": channels,
                "bit_depth": picture.bit_depth,
                "whole": found.is_whole,
                "seconds": seconds,
                "sha256": sha256(np.ascontiguousarray(picture.samples).data).hexdigest(),
            }
        )
    if not args.quiet:
        names = f"{streams.input_name(source)} -> {streams.output_name(output)}"
        kind = f"{channels} channels"
        if picture.bit_depth > 8:
            kind += f" of {picture.bit_depth} bits"
        say(f"{names}  {width}x{height}, {kind}  {duration(seconds)}")
    if not found.is_whole:
        raise PartialError(found.shown())
