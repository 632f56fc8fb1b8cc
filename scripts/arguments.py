"""The arguments that several subcommands share, and what they mean."""

from __future__ import annotations

import argparse

from givre.coder.fitting.choices import AUTO_COMPLEXITY, FitChoices
from givre.coder.fitting.settings import DEFAULT_EFFORT, EFFORT_STEPS, KERNELS, FitSettings
from givre.models.architecture import NAMED_POINTS
from givre.models.filters.initial import INITIAL_KERNELS

_DEFAULTS = FitSettings()


def add_fit_arguments(parser: argparse.ArgumentParser, *, targets: bool = False) -> None:
    """Add the arguments that decide what a fit gives and how long it takes.

    Args:
        parser: of a subcommand.
        targets: whether a size, a rate or a quality may be asked for in place of a lambda.
    """
    group = parser.add_argument_group("fit")
    target = group.add_mutually_exclusive_group()
    target.add_argument(
        "-q", "--quality", type=float, metavar="Q", help="0 to 100, higher looks better"
    )
    target.add_argument(
        "--lambda",
        dest="lmbda",
        type=float,
        metavar="L",
        help="weight of the rate: 0.02 gives small files, 0.0001 good ones"
        f" (default: {_DEFAULTS.lmbda})",
    )
    if targets:
        _add_target_arguments(target)
    length = group.add_mutually_exclusive_group()
    length.add_argument(
        "--effort",
        type=int,
        metavar="0-9",
        help=f"{EFFORT_STEPS[0]} to {EFFORT_STEPS[-1]} steps; more takes longer and compresses"
        f" better (default: {DEFAULT_EFFORT}, {EFFORT_STEPS[DEFAULT_EFFORT]} steps)",
    )
    length.add_argument("--steps", type=int, metavar="N", help="number of steps, from 1")
    group.add_argument(
        "--complexity",
        choices=(AUTO_COMPLEXITY, *NAMED_POINTS),
        help="size of the decoder (default: auto, hop for all but the smallest files)",
    )
    group.add_argument(
        "--seed",
        type=int,
        metavar="S",
        help=f"same seed, machine and threads: same bytes (default: {_DEFAULTS.seed})",
    )
    group.add_argument(
        "--ups-init",
        choices=tuple(INITIAL_KERNELS),
        help="interpolation that the upsampling filters start from; a fit that is carried on"
        " ignores it (default: by the filters' size)",
    )
    group.add_argument(
        "--prior",
        type=int,
        metavar="N",
        help="number of the prior that the decoder starts from and is coded against, 0 for none"
        " (default: the one learned at the closest lambda)",
    )
    add_threads_argument(group)
    group.add_argument(
        "--device", metavar="NAME", help=f"cpu, cuda, ... (default: {_DEFAULTS.device})"
    )
    add_kernels_argument(group)


def _add_target_arguments(group: argparse._MutuallyExclusiveGroup) -> None:
    group.add_argument(
        "--target-bpp", type=float, metavar="X", help="bits a pixel of the file, within 2 percent"
    )
    group.add_argument(
        "--target-psnr", type=float, metavar="DB", help="quality of the file, within 0.1 dB"
    )
    group.add_argument(
        "--target-size", type=positive_int, metavar="BYTES", help="size that is not exceeded"
    )


def add_kernels_argument(parser: argparse._ActionsContainer) -> None:
    """Add --kernels; None, as every option that was not given."""
    parser.add_argument(
        "--kernels",
        choices=KERNELS,
        help="what computes: compiled kernels, plain torch and NumPy, or (default) the former"
        " where they run",
    )


def add_threads_argument(parser: argparse._ActionsContainer) -> None:
    """Add --threads; None, as every option that was not given."""
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all cores)")


def add_max_pixels_argument(parser: argparse._ActionsContainer) -> None:
    """Add --max-pixels; None, as every option that was not given."""
    parser.add_argument(
        "--max-pixels", type=positive_int, metavar="N", help="refuse a file with more pixels"
    )


def fit_choices(args: argparse.Namespace) -> FitChoices:
    """What the arguments of `add_fit_arguments` ask for.

    Raises:
        UsageError: two of them exclude each other.
    """
    return FitChoices(
        quality=args.quality,
        lmbda=args.lmbda,
        effort=args.effort,
        steps=args.steps,
        complexity=args.complexity,
        seed=args.seed,
        threads=args.threads,
        device=args.device,
        kernels=args.kernels,
        ups_init=args.ups_init,
        prior=args.prior,
        target_bpp=getattr(args, "target_bpp", None),
        target_psnr=getattr(args, "target_psnr", None),
        target_size=getattr(args, "target_size", None),
    )


def add_force_argument(parser: argparse.ArgumentParser) -> None:
    """Add --force."""
    parser.add_argument("-f", "--force", action="store_true", help="replace an existing output")


def add_report_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --json, --quiet and -v, which every subcommand has."""
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--quiet", action="store_true", help="no progress and no summary")
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="say more; twice: tracebacks too"
    )


def positive_int(text: str) -> int:
    """An integer from 1 up, for argparse.

    Raises:
        argparse.ArgumentTypeError: the text is something else.
    """
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer from 1 up")
    return value
