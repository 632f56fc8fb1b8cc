"""`givre inspect`: where the bits of a file went, and which filters it learned."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from math import isnan
from os.path import abspath
from pathlib import Path
from typing import TYPE_CHECKING

from givre.errors import UsageError
from givre.scripts import arguments, streams
from givre.scripts.report import print_json, say

if TYPE_CHECKING:
    from givre.coder.inspection.inspection import Inspection


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "inspect",
        allow_abbrev=False,
        help="show where the bits went and what the filters became",
        description="Show where the bits of a file went and what its upsampling filters became:"
        " a table, or pictures (PNG, - for standard output; they need the extra givre[plot]).",
    )
    parser.add_argument("input", metavar="FILE", help="file to inspect, - for standard input")
    parser.add_argument(
        "--filters", metavar="OUT", help="draw the upsampling filters and their responses"
    )
    parser.add_argument(
        "--latents", metavar="OUT", help="draw the latent grids, the map of bits and the picture"
    )
    arguments.add_setting(parser, "threads")
    arguments.add_max_pixels_argument(parser)
    arguments.add_force_argument(parser)
    arguments.add_report_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code.

    Raises:
        GivreError: the arguments, the file or an output are wrong, or matplotlib is missing.
    """
    from givre.coder.inspection.inspection import INSPECTION_MAX_PIXELS, inspect_file
    from givre.coder.inspection.plots import check_matplotlib, filters_png, latents_png

    drawings = [(args.filters, filters_png), (args.latents, latents_png)]
    wanted = [(output, draw) for output, draw in drawings if output is not None]
    _check_outputs(args, [output for output, _ in wanted])
    if wanted:
        check_matplotlib()
    inspection = inspect_file(
        streams.read_input(args.input),
        threads=args.threads or 0,
        max_pixels=args.max_pixels or INSPECTION_MAX_PIXELS,
    )
    for output, draw in wanted:
        streams.write_output(output, draw(inspection), args.force)
        if not args.quiet:
            say(f"{streams.input_name(args.input)} -> {_shown(output)}")
    if args.json:
        print_json(inspection.numbers())
    elif not (wanted or args.quiet):
        for line in describe(inspection):
            print(line)
    return 0


def describe(inspection: Inspection) -> Iterator[str]:
    """Two tables for people: bits of each grid, measures of each upsampling stage."""
    header, total = inspection.header, inspection.latent_bits
    pixels = header.width * header.height
    yield "grid        size      bits  percent     bpp"
    for found in inspection.grids:
        grid, bits = found.grid, found.total_bits
        size = f"{grid.width}x{grid.height}"
        share = 100 * bits / total
        yield f"{grid.label:<4}{size:>12}{bits:>10.0f}{share:>9.1f}{bits / pixels:>8.3f}"
    yield f"{'all':<16}{total:>10.0f}{100:>9.1f}{total / pixels:>8.3f}"
    yield ""
    yield "stage  to level  image rejection  checkerboard energy"
    for stage in inspection.stages:
        rejection = _measure(stage.image_rejection_db, ".1f", " dB")
        checkerboard = _measure(stage.checkerboard_energy, ".1g")
        yield f"{stage.stage:<5}{stage.level:>10}{rejection:>17}{checkerboard:>21}"


def _check_outputs(args: argparse.Namespace, outputs: list[str]) -> None:
    from givre.coder.inspection.plots import check_png_name

    for output in outputs:
        check_png_name(Path(output))
        streams.check_destination(args.input, output, args.force, args.json)
    if len({abspath(output) for output in outputs}) < len(outputs):
        raise UsageError(f"--filters and --latents both go to {_shown(outputs[0])}, name two files")


def _shown(output: str) -> str:
    return "standard output" if output == streams.STREAM else output


def _measure(value: float, form: str, unit: str = "") -> str:
    return "none" if isnan(value) else f"{value:{form}}{unit}"
