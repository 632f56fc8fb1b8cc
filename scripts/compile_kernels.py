"""`givre compile`: fill the cache of machine code before it is needed."""

from __future__ import annotations

import argparse
import sys
from time import perf_counter

from givre.errors import UsageError
from givre.models.compiled.code_cache import cache_folder
from givre.models.compiled.kernel import can_compile
from givre.models.compiled.preparation import Compiling, Kernels, cores, prepare
from givre.scripts import arguments
from givre.scripts.report import duration, print_json, say


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "compile",
        allow_abbrev=False,
        help="compile the kernels of this machine, for container images and CI",
        description="Compile all kernels that are not compiled yet, in as many processes as there"
        " are cores. The machine code goes to the user's cache folder, or to the folder that the"
        " environment variable GIVRE_CACHE_DIR names. Other commands do this by themselves for"
        " what they need.",
    )
    parser.add_argument(
        "--decoding",
        action="store_true",
        help="only what decoding calls (without it NumPy decodes, to the same pixels)",
    )
    arguments.add_report_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return its exit code.

    Raises:
        UsageError: numba is missing, or switched off.
    """
    if not can_compile():
        raise UsageError("there is nothing to compile with: pip install 'givre[encode]'")
    from givre.models.exact.compiled.backend import DECODING_KERNELS, ENCODING_KERNELS

    kernels: Kernels = DECODING_KERNELS
    if not args.decoding:
        from givre.models.fused.backend import MOVE_KERNELS, STEP_KERNELS  # loads torch

        kernels = (*STEP_KERNELS, *MOVE_KERNELS, *DECODING_KERNELS, *ENCODING_KERNELS)
    started = perf_counter()
    compiled: dict[str, float] = {}

    def show(state: Compiling) -> None:
        if state.name:
            compiled[state.name] = state.seconds
            if not args.quiet:
                say(f"{state.done:>3}/{state.total}  {state.seconds:5.1f} s  {state.name}")
                sys.stderr.flush()

    prepare(kernels, cores(), show)
    missing = [kernel.__name__ for kernel in kernels if not kernel.is_ready()]
    seconds = perf_counter() - started
    if args.json:
        print_json(
            {
                "folder": str(cache_folder()),
                "kernels": len(kernels),
                "compiled": compiled,
                "missing": missing,
                "seconds": seconds,
            }
        )
    if missing:
        raise UsageError(
            f"{len(missing)} kernels could not be kept in {cache_folder()}: name a folder that can"
            " be written with GIVRE_CACHE_DIR"
        )
    if not args.quiet:
        say(f"{len(kernels)} kernels in {cache_folder()}  {duration(seconds)}")
    return 0
