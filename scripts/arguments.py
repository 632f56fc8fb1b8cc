"""The arguments that several subcommands share, and what they mean."""

from __future__ import annotations

import argparse

from givre.coder.fitting.choices import FitChoices
from givre.coder.fitting.setting_table import LENGTH, SETTINGS, SIZE


def add_fit_arguments(parser: argparse.ArgumentParser, *, targets: bool = False) -> None:
    """Add the arguments that decide what a fit gives and how long it takes.

    Args:
        parser: of a subcommand.
        targets: whether a size, a rate or a quality may be asked for in place of a lambda.
    """
    group = parser.add_argument_group("fit")
    exclusive = {name: group.add_mutually_exclusive_group() for name in (SIZE, LENGTH)}
    for setting in SETTINGS.values():
        if targets or not setting.is_target:
            add_setting(exclusive.get(setting.group, group), setting.name)


def add_setting(parser: argparse._ActionsContainer, name: str) -> None:
    """Add the argument of a setting; None, as every option that was not given."""
    setting = SETTINGS[name]
    flags = setting.flags or (f"--{name.replace('_', '-')}",)
    if setting.words:
        parser.add_argument(*flags, dest=name, choices=setting.words, help=setting.help)
    else:
        parser.add_argument(
            *flags, dest=name, type=setting.kind, metavar=setting.metavar, help=setting.help
        )


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
    return FitChoices(**{name: getattr(args, name, None) for name in SETTINGS})


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
