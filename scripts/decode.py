"""`givre decode`: a file to an image."""

from __future__ import annotations

import argparse
from hashlib import sha256
from pathlib import Path
from time import perf_counter

from givre.coder.image_io import encode_image, image_format
from givre.scripts import arguments, streams
from givre.scripts.report import duration, print_json, say


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "decode",
        allow_abbrev=False,
        help="decode a file to an image",
        description="Decode a file. The suffix of OUT names the image format; standard output"
        " and a name without suffix get PNG.",
    )
    parser.add_argument("input", metavar="FILE", help="file to decode, - for standard input")
    parser.add_argument(
        "output",
        metavar="OUT",
        nargs="?",
        help="image to write, - for standard output (default: FILE with the suffix .png)",
    )
    arguments.add_threads_argument(parser)
    arguments.add_kernels_argument(parser)
    arguments.add_max_pixels_argument(parser)
    arguments.add_force_argument(parser)
    arguments.add_report_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code.

    Raises:
        GivreError: the arguments, the file or the output are wrong.
    """
    from givre.bitstream.container import DEFAULT_MAX_PIXELS
    from givre.coder.decoder import decode_samples

    output = streams.choose_output(args.input, args.output, ".png")
    # /dev/null has no suffix and - is no name: both get PNG.
    format_name = image_format(Path(output))
    streams.check_destination(args.input, output, args.force, args.json)
    data = streams.read_input(args.input)

    started = perf_counter()
    samples = decode_samples(
        data,
        threads=args.threads or 0,
        max_pixels=args.max_pixels or DEFAULT_MAX_PIXELS,
        kernels=args.kernels or "auto",
    )
    seconds = perf_counter() - started
    streams.write_output(output, encode_image(samples, format_name), args.force)

    height, width, channels = samples.shape
    if args.json:
        print_json(
            {
                "input": args.input,
                "output": output,
                "width": width,
                "height": height,
                "channels": channels,
                "seconds": seconds,
                "sha256": sha256(samples.tobytes()).hexdigest(),
            }
        )
    if not args.quiet:
        names = f"{streams.display_name(args.input)} -> {streams.display_name(output)}"
        say(f"{names}  {width}x{height}, {channels} channels  {duration(seconds)}")
    return 0
