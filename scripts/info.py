"""`givre info`: what a file holds, and whether its checksum is right."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping

from givre.errors import CorruptError
from givre.scripts import arguments, streams
from givre.scripts.report import print_json


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "info",
        allow_abbrev=False,
        help="describe a file and check its checksum",
        description="Describe a file: size, architecture, bytes of each part, multiplications a"
        " pixel, checksum. A wrong checksum gives exit code 4 after the description.",
    )
    parser.add_argument("input", metavar="FILE", help="file to describe, - for standard input")
    arguments.add_report_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code.

    Raises:
        GivreError: the file cannot be read, is none of this format, or its checksum is wrong.
    """
    from givre.coder.inspection.file_info import file_info

    found = file_info(streams.read_input(args.input))
    if args.json:
        print_json(found)
    elif not args.quiet:
        for line in describe(found):
            print(line)
    if not found["crc_ok"]:
        name = streams.input_name(args.input)
        raise CorruptError(f"the checksum of {name} is wrong, it is damaged: fetch it again")
    return 0


def describe(found: Mapping[str, object], indent: str = "") -> Iterator[str]:
    """Lines for people, one a name, nested names indented."""
    width = max((len(name) for name in found), default=0)
    for name, value in found.items():
        label = name.replace("_", " ")
        if isinstance(value, Mapping):
            yield f"{indent}{label}"
            yield from describe(value, indent + "  ")
        else:
            yield f"{indent}{label:<{width}}  {_shown(value)}"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, list | tuple):
        return ", ".join(_shown(item) for item in value)
    return str(value)
