"""`givre encode`: an image to a file."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from givre.coder.files.atomic import check_output
from givre.coder.files.image_names import check_coded_name, looks_like_image
from givre.coder.files.installed import check_encoding_is_installed
from givre.coder.files.picture import Picture, stripped
from givre.coder.files.reading import read_picture
from givre.coder.fitting.choices import FitChoices, new_settings
from givre.errors import GivreError, OutputError, UsageError
from givre.scripts import arguments, named_files, streams
from givre.scripts.fitting import command_line, load_fit, progress_listener
from givre.scripts.report import duration, print_json_line, say

if TYPE_CHECKING:
    from givre.coder.fitting.checkpoint import Fit
    from givre.coder.report import EncodeReport

_WORTH_KEEPING_SECONDS = 60.0
"""A fit that took longer is kept when it could not be written as a file."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "encode",
        allow_abbrev=False,
        help="fit a decoder to an image and write both to a file",
        description="Fit a decoder to each image and write the file. The file is decoded and"
        " compared before it is written. While it fits, OUT.fit is kept up to date, so that an"
        " interrupted run goes on with --from; it is deleted at the end. A fit with a target is not"
        " kept.",
    )
    named_files.add_name_arguments(parser, "IN", "file to write", ".givre")
    arguments.add_fit_arguments(parser, targets=True)
    parser.add_argument(
        "--from",
        dest="resume",
        type=Path,
        metavar="FIT",
        help="write this fit of the image, after finishing or lengthening it (--steps) if needed",
    )
    parser.add_argument(
        "--tile",
        type=int,
        metavar="SIDE",
        help="cut the image into tiles of this side, a multiple of 64; 0 fits it in one piece"
        " (default: tiles where it has more than 3 million pixels)",
    )
    parser.add_argument(
        "--strip", action="store_true", help="keep no metadata but the colour profile"
    )
    arguments.add_force_argument(parser)
    arguments.add_report_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code.

    Raises:
        GivreError: the arguments, the image or the output are wrong, or the fit collapsed.
        KeyboardInterrupt: with a message that says how to go on.
    """
    pairs = named_files.pair_names(args.names, args.output, ".givre", looks_like_image)
    if args.resume is not None and len(pairs) > 1:
        raise UsageError(f"--from names one fit, but {len(pairs)} images are given")
    for source, output in pairs:
        streams.check_destination(source, output, args.force, args.json)
        check_coded_name(output, ".givre")
    choices = arguments.fit_choices(args)
    if args.resume is None:
        new_settings(choices)  # refuses a wrong number before an image is read
    check_encoding_is_installed()
    encode_one = _encode_to_goal if choices.has_target else _encode
    return named_files.for_each(pairs, lambda pair: encode_one(args, choices, pair))


def _encode(args: argparse.Namespace, choices: FitChoices, pair: named_files.Pair) -> None:
    from givre.coder.whole_encode import EncodeJob, encode_whole  # loads torch

    source, output = pair
    checkpoint = _checkpoint(output, args.resume, args.force)
    picture = _picture(args, source)

    fits: list[Fit] = []  # the fit, once there is one to lose
    try:
        with progress_listener(args.quiet) as listener:
            resume = load_fit(args.resume)
            job = EncodeJob(choices, checkpoint, resume, listener, fits.append, args.tile)
            encoded = encode_whole(picture, job)
        streams.write_output(output, encoded.data, args.force)
    except KeyboardInterrupt as interrupt:
        if fits and checkpoint:
            fits[0].save(checkpoint)
        raise KeyboardInterrupt(_how_to_go_on(args, pair, checkpoint)) from interrupt
    except GivreError:
        if fits and checkpoint and fits[0].seconds > _WORTH_KEEPING_SECONDS:
            fits[0].save(checkpoint)
            say(f"givre: the fit is kept in {checkpoint}, --from writes it")
        raise
    if checkpoint:
        checkpoint.unlink(missing_ok=True)
    _report(args, pair, encoded.report)


def _picture(args: argparse.Namespace, source: str) -> Picture:
    """The image of a name, with the metadata that are kept."""
    picture = read_picture(streams.read_input(source), streams.input_name(source))
    return stripped(picture) if args.strip else picture


def _encode_to_goal(args: argparse.Namespace, choices: FitChoices, pair: named_files.Pair) -> None:
    """Write a file that meets a target. There is no checkpoint: lambda is not known before."""
    if args.resume is not None:
        raise UsageError("a target and --from exclude each other, give one of them")
    from givre.coder.whole_encode import EncodeJob, encode_whole

    source, output = pair
    picture = _picture(args, source)
    try:
        with progress_listener(args.quiet) as listener:
            job = EncodeJob(choices, on_progress=listener, tile=args.tile)
            encoded = encode_whole(picture, job)
        streams.write_output(output, encoded.data, args.force)
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt("nothing was kept") from interrupt
    _report(args, pair, encoded.report)


def _checkpoint(output: str, resume: Path | None, force: bool) -> Path | None:
    """Where the fit is kept while it runs, None if the output is no file in a folder.

    Raises:
        OutputError: an earlier run left a fit there that would be lost.
    """
    path = Path(output)
    if output == streams.STREAM or (path.exists() and not path.is_file()):
        return None
    checkpoint = path.with_name(path.name + ".fit")
    if checkpoint.exists() and not force and (resume is None or not _same(checkpoint, resume)):
        raise OutputError(
            f"{checkpoint} is left from an interrupted run: go on with --from {checkpoint},"
            " or start anew with --force"
        )
    check_output(checkpoint, force=True)
    return checkpoint


def _same(first: Path, second: Path) -> bool:
    return second.exists() and first.samefile(second)


def _how_to_go_on(args: argparse.Namespace, pair: named_files.Pair, checkpoint: Path | None) -> str:
    kept = checkpoint if checkpoint and checkpoint.is_file() else args.resume
    if kept is None:
        return "nothing was kept"
    force = ["--force"] if args.force else []
    command = command_line("givre", "encode", *pair, "--from", kept, *force)
    return f"go on with: {command}"


def _report(args: argparse.Namespace, pair: named_files.Pair, report: EncodeReport) -> None:
    source, output = pair
    if args.json:
        print_json_line({"input": source, "output": output} | asdict(report))
    if not args.quiet:
        names = f"{streams.input_name(source)} -> {streams.output_name(output)}"
        figures = f"{report.bytes} bytes  {report.bpp:.3f} bpp  {report.psnr_db:.2f} dB"
        weight = f"lambda {report.lmbda:.3g}"
        say(f"{names}  {figures}  {weight}  {duration(report.seconds)}")
        sys.stderr.flush()
