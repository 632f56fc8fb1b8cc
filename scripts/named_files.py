"""Which of the names on a command line are inputs, and what the output of each is called.

A shell turns `givre encode *.png` into as many names as there are pictures. A name among them must
never be taken for the output: the picture would be lost.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from givre.errors import GivreError, UsageError
from givre.scripts import streams

_log = logging.getLogger(__name__)

Pair = tuple[str, str]
"""Names of an input and of its output."""


def add_name_arguments(
    parser: argparse.ArgumentParser, kind: str, output: str, default: str
) -> None:
    """Add the inputs and the output, as `args.names` and `args.output`.

    Args:
        parser: of a subcommand.
        kind: the inputs' metavar.
        output: what an output is, in a few words.
        default: the suffix of an output that is not named.
    """
    parser.add_argument(
        "names",
        metavar=kind,
        nargs="+",
        help=f"{kind} and perhaps OUT, or several {kind}; - is standard input or output"
        f" (default of OUT: {kind} with the suffix {default})",
    )
    parser.add_argument(
        "-o", "--output", metavar="OUT", help=f"{output}, where there is one {kind}"
    )


def pair_names(
    names: Sequence[str], output: str | None, suffix: str, is_input: Callable[[str], bool]
) -> list[Pair]:
    """Tell inputs and outputs apart.

    Args:
        names: the words of the command line that belong to no option, at least one.
        output: the output that was named by an option, if any.
        suffix: of the outputs that are not named, with its dot.
        is_input: whether a name is that of a file which the command reads.

    Returns:
        Each input with its output. Two names are an input and its output, unless the second is an
        input too.

    Raises:
        UsageError: one output is named for several inputs, or two inputs would get the same.
    """
    if output is not None:
        if len(names) > 1:
            raise UsageError(f"--output names one output, but {len(names)} inputs are given")
        return [(names[0], output)]
    if len(names) == 2 and (names[0] == names[1] or not is_input(names[1])):
        return [(names[0], names[1])]
    if len(names) > 1 and streams.STREAM in names:
        raise UsageError("- stands for one input or one output, give several inputs by their names")
    pairs = [(name, streams.choose_output(name, None, suffix)) for name in names]
    first_with: dict[Path, str] = {}
    for name, target in pairs:
        other = first_with.setdefault(Path(target), name)
        if other != name:
            raise UsageError(f"{other} and {name} would both become {target}, do them apart")
    return pairs


def for_each(pairs: Sequence[Pair], work: Callable[[Pair], None]) -> int:
    """Do the work of each pair; a failure does not keep the others from being done.

    Args:
        pairs: inputs and outputs, without repetition.
        work: what to do with one.

    Returns:
        0, or the exit code of the first failure.

    Raises:
        GivreError: the work of the only pair failed.
    """
    if len(pairs) == 1:
        work(pairs[0])
        return 0
    code = 0
    for pair in dict.fromkeys(pairs):
        try:
            work(pair)
        except GivreError as error:
            _log.error("error: %s", error)
            code = code or error.exit_code
    return code
