"""The tables of docs/UPSAMPLING.md are those that its scripts compute."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from places import ROOT

from givre.models.filters.spectrum import image_rejection_db, mirrored

DOCS = ROOT / "docs"
PAGE = (DOCS / "UPSAMPLING.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- begin ([\w-]+) -->\n(.*?)\n<!-- end \1 -->", re.DOTALL)
FITTED = {"fit", "learned", "preconcat"}
MEASURED = {"speed", "ups-init"}


def cells(name: str) -> list[list[str]]:
    """Rows of a table of the page, without its head."""
    lines = dict(BLOCK.findall(PAGE))[name].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def results(name: str) -> list[dict[str, object]]:
    """Rows that a benchmark has saved."""
    path = DOCS.parent / "results" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["rows"]


@pytest.mark.slow
def test_the_page_holds_what_the_script_prints() -> None:
    command = [sys.executable, str(DOCS / "upsampling_tables.py")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    expected = dict(BLOCK.findall(printed))
    found = {n: block for n, block in BLOCK.findall(PAGE) if n not in FITTED | MEASURED}
    assert len(expected) == 10
    assert found == expected


def test_the_page_has_the_tables_of_the_fit() -> None:
    blocks = dict(BLOCK.findall(PAGE))
    assert blocks.keys() > FITTED
    rows = [line.strip("| ").split(" | ") for line in blocks["learned"].splitlines()[2:]]
    assert [row[0] for row in rows[1:]] == [f"level {n + 1} to {n}" for n in range(5, -1, -1)]
    for _, taps, _, _, _, rejection, _ in rows:
        half = [float(tap) for tap in taps.split()]
        assert sum(half) == pytest.approx(1, abs=0.003)
        assert image_rejection_db(mirrored(half)) == pytest.approx(float(rejection), abs=0.15)


def test_the_page_has_the_losses_of_the_benchmark() -> None:
    rows = results("ups_init_summary")
    expected = [
        f"{r['loss_ratio']:.3f} ± {r['standard_error_percent'] / 100:.3f}"
        for r in rows
        if r["ups_init"] != "bicubic"
    ]
    assert [row[i] for row in cells("ups-init") for i in (2, 4)] == expected


def test_the_page_has_the_times_of_the_benchmark() -> None:
    rows = [r for r in results("upsampler") if r["device"] == "cpu"]
    assert f"{rows[0]['copy_gb_s']:.1f} GB/s" in PAGE
    for i, kind in ((2, "forward"), (5, "forward + backward")):
        expected = [
            [
                r["size"].replace("x", " x "),
                r["form"],
                f"{r['ms']:.0f}" if r["ms"] >= 100 else f"{r['ms']:.1f}",
                f"{r['ratio_to_fused']:.1f}",
                f"{r['gb_s']:.2f}",
            ]
            for r in rows
            if r["pass"] == kind
        ]
        assert [[*row[:2], *row[i : i + 3]] for row in cells("speed")] == expected


def test_every_measured_number_stands_in_a_table() -> None:
    prose = BLOCK.sub("", PAGE)
    assert re.findall(r"[\d.]+ ?(?:dB|bpp|bytes|%)", prose) == []


def test_every_figure_is_there_and_small() -> None:
    figures = re.findall(r"!\[[^]]+\]\((images/upsampling/\w+\.png)\)", PAGE)
    drawn = {f"images/upsampling/{path.name}" for path in (DOCS / "images/upsampling").iterdir()}
    assert set(figures) == drawn
    assert all((DOCS / figure).stat().st_size < 100_000 for figure in figures)
