"""Time and memory of decoding: bytes to pixels in process, and the whole command.

python benchmarks/decode_time.py FILE.givre [FILE.givre ...] [--rounds 7]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import tables
from processes import measure

from givre.coder.decoder import decode_samples
from givre.coder.inspection.file_info import file_info


def in_process(data: bytes, backend: str, threads: int, rounds: int) -> float:
    """Median seconds from bytes to pixels, after one decode to warm up."""
    decode_samples(data, threads=threads, kernels=backend)
    times = []
    for _ in range(rounds):
        started = perf_counter()
        decode_samples(data, threads=threads, kernels=backend)
        times.append(perf_counter() - started)
    return median(times)


def whole_command(path: Path, threads: int, rounds: int) -> tuple[float, float]:
    """Median seconds and peak MiB of `givre decode`, after one run to warm up."""
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "out.png")
        command = [sys.executable, "-m", "givre", "decode", str(path), out]
        command += ["--threads", str(threads), "--force", "--quiet"]
        runs = [measure(command) for _ in range(rounds + 1)][1:]
    return median(run.seconds for run in runs), max(run.peak_mib for run in runs)


def main() -> None:
    """Time every file, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("results/decode_time"))
    args = parser.parse_args()
    rows = []
    for path in args.files:
        data = path.read_bytes()
        info = file_info(data)
        for threads in (1, 2):
            command, peak = whole_command(path, threads, args.rounds)
            row: dict[str, object] = {
                "file": path.name,
                "size": f"{info['width']}x{info['height']}",
                "point": info["complexity"],
                "bpp": info["bpp"],
                "threads": threads,
            }
            for backend in ("fused", "reference"):
                seconds = in_process(data, backend, threads, args.rounds)
                row[f"{backend}_ms"] = 1e3 * seconds
            rows.append(row | {"command_ms": 1e3 * command, "command_peak_mib": peak})
    tables.show(rows)
    tables.save(rows, args.out)


if __name__ == "__main__":
    main()
