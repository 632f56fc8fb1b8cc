"""How long each kernel takes to compile, on one thread.

python benchmarks/compile_cost.py

Every kernel is compiled once in an empty folder for machine code. The table has seconds of
processor time, without what numba takes to load.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from time import process_time

import numba
from tables import save, show

from givre.models.exact.compiled.backend import DECODING_KERNELS, ENCODING_KERNELS
from givre.models.fused.backend import MOVE_KERNELS, STEP_KERNELS

KERNELS = {
    "a step of a fit": STEP_KERNELS,
    "moves of single latents": MOVE_KERNELS,
    "decoding": DECODING_KERNELS,
    "writing": ENCODING_KERNELS,
}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/compile_cost"))
    args = parser.parse_args()
    numba.njit(lambda x: x + 1)(1)  # loads all that compiling anything needs
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GIVRE_CACHE_DIR"] = folder
        for use, kernels in KERNELS.items():
            for kernel in kernels:
                started = process_time()
                kernel.machine_code()
                seconds = round(process_time() - started, 2)
                rows.append({"kernel": kernel.__name__, "used by": use, "seconds": seconds})
    rows.sort(key=lambda row: -float(str(row["seconds"])))
    show(rows)
    save(rows, args.out)


if __name__ == "__main__":
    main()
