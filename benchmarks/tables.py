"""Tables of results: aligned for people on the terminal, TSV and JSON for programs."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

Row = Mapping[str, object]


def show(rows: Sequence[Row]) -> None:
    """Print rows with the columns of the first, aligned."""
    columns = list(rows[0])
    cells = [columns, *([_text(row[c]) for c in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    for line in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


def save(rows: Sequence[Row], path: Path) -> None:
    """Write rows as `path`.tsv and, with the machine they were measured on, as `path`.json."""
    columns = list(rows[0])
    lines = ["\t".join(columns)]
    lines += ["\t".join(_text(row[c]) for c in columns) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".tsv").write_text("\n".join(lines) + "\n")
    content = {"machine": machine(), "rows": [dict(row) for row in rows]}
    path.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")


def machine() -> dict[str, object]:
    """Processor, cores and versions, as far as they are known."""
    import numpy
    import torch

    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        processor = names[0].partition(":")[2].strip() if names else processor
    return {
        "processor": processor,
        "cores": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
