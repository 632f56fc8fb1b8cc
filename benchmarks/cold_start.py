"""How long the first and the second command take, with nothing compiled yet, and warm.

python benchmarks/cold_start.py photo.png --rounds 3

Each round takes an empty folder for machine code: `info`, a first and a second decode, then a first
and a second encode at effort 0, then all kernels are compiled and decode and encode are run warm.
Commands run one after the other, as processes of their own; medians over the rounds are printed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

from tables import save, show

STAGES = (
    "info, first",
    "decode, first",
    "decode, second",
    "encode, first",
    "encode, second",
    "compile the rest",
    "decode, all compiled",
    "encode, all compiled",
)


def seconds_of(words: Sequence[str], folder: Path) -> float:
    """Wall-clock seconds of a command whose machine code lies in a folder."""
    environment = {**os.environ, "GIVRE_CACHE_DIR": str(folder / "kernels")}
    started = perf_counter()
    subprocess.run(
        [sys.executable, "-m", "givre", *words], env=environment, check=True, capture_output=True
    )
    return perf_counter() - started


def one_round(image: Path, file: Path) -> list[float]:
    """Seconds of each of STAGES, in an empty folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        decode = ["decode", str(file), str(folder / "decoded.png"), "--force"]
        encode = ["encode", str(image), str(folder / "coded.givre"), "--effort", "0", "--force"]
        commands = [
            ["info", str(file)],
            decode,
            decode,
            encode,
            encode,
            ["compile"],
            decode,
            encode,
        ]
        return [seconds_of(command, folder) for command in commands]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("image", type=Path, help="what is encoded")
    parser.add_argument("--file", type=Path, help="what is decoded; else the image is encoded once")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results/cold_start"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        file = args.file
        if file is None:
            file = Path(name) / "coded.givre"
            words = ["encode", str(args.image), str(file), "--effort", "0"]
            subprocess.run([sys.executable, "-m", "givre", *words], check=True, capture_output=True)
        rounds = [one_round(args.image, file) for _ in range(args.rounds)]
    rows: list[dict[str, object]] = [
        {
            "command": stage,
            "seconds": round(median(values), 2),
            "least": round(min(values), 2),
            "most": round(max(values), 2),
        }
        for stage, values in zip(STAGES, zip(*rounds, strict=True), strict=True)
    ]
    show(rows)
    save(rows, args.out)


if __name__ == "__main__":
    main()
