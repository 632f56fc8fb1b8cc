"""The command `givre`: its subcommands, and how an error becomes a line and an exit code."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import NoReturn

from givre.errors import GivreError, OutputError
from givre.scripts import compile_kernels, decode, encode, info, inspect_file, overfit
from givre.version import __version__

EXIT_INTERRUPTED = 130

_EXAMPLES = """\
examples:
  givre encode photo.png                      write photo.givre
  givre encode photo.png out.givre -q 60 --effort 3
  givre encode *.png                          write a .givre file beside each
  givre decode out.givre decoded.png
"""

_EXIT_CODES = """\
exit codes:
  0    done
  1    unexpected error
  2    wrong or contradicting arguments
  3    the input cannot be read, or is no image that givre takes
  4    not a givre file, damaged, too large, or of a later version
  5    the output exists already or cannot be written
  6    the fit collapsed to a constant image
  7    the fit named by --from or --resume cannot be used
  8    the size, rate or quality asked for cannot be reached
  130  interrupted
"""


class _OptionsAnywhere(argparse.ArgumentParser):
    """A parser that takes options between the names of files too, as `encode IN -q 60 OUT`."""

    _inner = False

    def parse_known_args(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        namespace: argparse.Namespace | None = None,
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse as `parse_known_intermixed_args` does, which itself calls this method."""
        if self._inner:
            return super().parse_known_args(args, namespace)
        self._inner = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._inner = False


class _ExamplesFirst(argparse.ArgumentParser):
    def format_help(self) -> str:
        return f"{_EXAMPLES}\n{super().format_help()}"


class _Version(argparse.Action):
    """Prints the version, and those of the libraries that decide what a fit gives."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        libraries = ", ".join(
            f"{name} {_version_of(name)}" for name in ("torch", "numpy", "constriction")
        )
        print(f"givre {__version__} (Python {python_version()}, {libraries})")
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; each subcommand sets `run`."""
    parser = _ExamplesFirst(
        prog="givre",
        allow_abbrev=False,
        description="An overfitted image codec: a tiny decoder fitted to each image.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-V", "--version", action=_Version, nargs=0, help="print the version")
    subparsers = parser.add_subparsers(
        metavar="COMMAND", required=True, parser_class=_OptionsAnywhere
    )
    for command in (encode, decode, info, inspect_file, overfit, compile_kernels):
        command.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: the arguments, those of the process if None.

    Raises:
        SystemExit: argparse has refused the arguments (2) or printed help (0).
    """
    args = build_parser().parse_args(argv)
    with _logging_to_stderr(args.verbose, args.quiet):
        try:
            return int(args.run(args))
        except KeyboardInterrupt as interrupt:
            _tell("givre: " + "; ".join(["interrupted", *map(str, interrupt.args)]), args.verbose)
            return EXIT_INTERRUPTED
        except GivreError as error:
            _tell(f"givre: error: {error}", args.verbose)
            return error.exit_code
        except BrokenPipeError:  # the reader of standard output has gone
            _drop_stdout()
            return OutputError.exit_code
        except MemoryError:
            message = "not enough memory, try a smaller image or close other programs"
            _tell(f"givre: error: {message}", args.verbose)
        except OSError as error:
            _tell(f"givre: error: {_one_line(error)}", args.verbose)
        except Exception as error:
            kind = type(error).__name__
            message = f"unexpected {kind}: {_one_line(error)} (-v -v shows where)"
            _tell(f"givre: error: {message}", args.verbose)
        return 1


def _tell(message: str, verbose: int) -> None:
    if verbose >= 2:
        traceback.print_exc()
    # Without a reader of stderr there is nobody to tell; the exit code still says it.
    with contextlib.suppress(BrokenPipeError):
        print(message, file=sys.stderr, flush=True)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or "no details"


def _version_of(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "missing"


def _drop_stdout() -> None:
    """Let Python's flush at exit go nowhere, as it would complain about the broken pipe again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _logging_to_stderr(verbose: int, quiet: bool) -> Iterator[None]:
    logger = logging.getLogger("givre")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("givre: %(message)s"))
    levels = (logging.WARNING, logging.INFO, logging.DEBUG)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.ERROR if quiet else levels[min(verbose, 2)])
    # Compiling takes a while and happens to everybody once, so it is said without -v.
    compiler = logging.getLogger("givre.models.compiled.preparation")
    if not (quiet or verbose):
        compiler.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        compiler.setLevel(logging.NOTSET)
