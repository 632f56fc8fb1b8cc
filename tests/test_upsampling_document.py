"""The tables of docs/UPSAMPLING.md are those that its scripts compute."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from givre.models.filter_analysis import image_rejection_db, mirrored

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "UPSAMPLING.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- begin ([\w-]+) -->\n(.*?)\n<!-- end \1 -->", re.DOTALL)
FITTED = {"fit", "learned", "preconcat"}


def test_the_page_holds_what_the_script_prints() -> None:
    command = [sys.executable, str(DOCS / "upsampling_tables.py")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    expected = dict(BLOCK.findall(printed))
    found = {name: block for name, block in BLOCK.findall(PAGE) if name not in FITTED}
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


def test_every_measured_number_stands_in_a_table() -> None:
    prose = BLOCK.sub("", PAGE)
    assert re.findall(r"[\d.]+ ?(?:dB|bpp|bytes|%)", prose) == []


def test_every_figure_is_there_and_small() -> None:
    figures = re.findall(r"!\[[^]]+\]\((images/upsampling/\w+\.png)\)", PAGE)
    drawn = {f"images/upsampling/{path.name}" for path in (DOCS / "images/upsampling").iterdir()}
    assert set(figures) == drawn
    assert all((DOCS / figure).stat().st_size < 100_000 for figure in figures)
