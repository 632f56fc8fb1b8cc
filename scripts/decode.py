"""`givre decode`: a file to an image."""

from __future__ import annotations

import argparse
from hashlib import sha256
from pathlib import Path
from time import perf_counter

from givre.coder.files.images import image_format
from givre.coder.files.writing import encode_picture
from givre.scripts import arguments, named_files, streams
from givre.scripts.report import duration, print_json_line, say


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
    """
    pairs = named_files.pair_names(args.names, args.output, ".png", streams.looks_coded)
    for source, output in pairs:
        image_format(Path(output))  # refuses an unknown suffix before anything is decoded
        streams.check_destination(source, output, args.force, args.json)
    return named_files.for_each(pairs, lambda pair: _decode(args, pair))


def _decode(args: argparse.Namespace, pair: named_files.Pair) -> None:
    from givre.bitstream.container import DEFAULT_MAX_PIXELS
    from givre.coder.decoder import decode_picture

    source, output = pair
    # /dev/null has no suffix and - is no name: both get PNG.
    format_name = image_format(Path(output))
    data = streams.read_input(source)

    started = perf_counter()
    picture = decode_picture(
        data,
        threads=args.threads or 0,
        max_pixels=args.max_pixels or DEFAULT_MAX_PIXELS,
        kernels=args.kernels or "auto",
    )
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
                "seconds": seconds,
                "sha256": sha256(picture.samples.tobytes()).hexdigest(),
            }
        )
    if not args.quiet:
        names = f"{streams.input_name(source)} -> {streams.output_name(output)}"
        kind = f"{channels} channels"
        if picture.bit_depth > 8:
            kind += f" of {picture.bit_depth} bits"
        say(f"{names}  {width}x{height}, {kind}  {duration(seconds)}")
