"""`givre overfit`: an image to a fit, from which `givre encode --from` writes the file."""

from __future__ import annotations

import argparse
from pathlib import Path

from givre.coder.files.atomic import check_output
from givre.coder.files.image_names import check_coded_name
from givre.coder.files.installed import check_encoding_is_installed
from givre.coder.files.reading import read_picture
from givre.coder.fitting.choices import new_settings
from givre.errors import UsageError
from givre.scripts import arguments, streams
from givre.scripts.fitting import command_line, load_fit, progress_listener
from givre.scripts.report import duration, print_json, say


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "overfit",
        allow_abbrev=False,
        help="fit a decoder to an image, to be written or carried on later",
        description="Fit a decoder to an image and keep the fit in a file, which"
        " `givre encode IN OUT --from FIT` writes and --resume carries on.",
    )
    parser.add_argument("input", metavar="IN", help="image, - for standard input")
    parser.add_argument("output", metavar="FIT", help="file of the fit, as photo.fit")
    arguments.add_fit_arguments(parser)
    parser.add_argument(
        "--resume", action="store_true", help="carry FIT on, up to --steps if there are more"
    )
    arguments.add_force_argument(parser)
    arguments.add_report_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code.

    Raises:
        GivreError: the arguments, the image, the earlier fit or the output are wrong.
        KeyboardInterrupt: with a message that says how to go on.
    """
    if args.output == streams.STREAM:
        raise UsageError("a fit goes to a file, name one instead of -")
    choices = arguments.fit_choices(args)
    output = Path(args.output)
    if args.resume:
        check_output(output, force=True)
    else:
        new_settings(choices)  # refuses a wrong number before the image is read
        streams.check_destination(args.input, args.output, args.force, args.json)
    check_coded_name(args.output, ".fit")
    check_encoding_is_installed()
    picture = read_picture(streams.read_input(args.input), streams.input_name(args.input))
    resume = output if args.resume else None
    from givre.coder.whole_encode import EncodeJob, fit_whole  # loads torch

    try:
        with progress_listener(args.quiet) as listener:
            fit = fit_whole(picture, EncodeJob(choices, output, load_fit(resume), listener))
        fit.save(output)
    except KeyboardInterrupt as interrupt:
        message = "nothing was kept"
        if output.is_file():
            command = command_line("givre", "overfit", args.input, output, "--resume")
            message = f"go on with: {command}"
        raise KeyboardInterrupt(message) from interrupt
    figures = {"bpp": fit.bpp, "psnr_db": fit.psnr_db, "steps": fit.steps, "seconds": fit.seconds}
    if args.json:
        print_json({"input": args.input, "output": args.output} | figures)
    if not args.quiet:
        names = f"{streams.input_name(args.input)} -> {output}"
        estimate = f"about {fit.bpp:.3f} bpp of latents  {fit.psnr_db:.2f} dB"
        say(f"{names}  {fit.steps} steps  {estimate}  {duration(fit.seconds)}")
    return 0
