"""What docs/FORMAT.md states as a list or a table is what the code does."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from places import CONFORMANCE, ROOT

from givre.bitstream.alpha_mask import MAX_COUNT, STATE_THRESHOLDS
from givre.bitstream.container import DEFAULT_MAX_PIXELS, read_prefix
from givre.bitstream.header import (
    MAGIC,
    MAX_DEPTH,
    MAX_SIDE,
    MIME_TYPE,
    MIN_DEPTH,
    VERSION,
    Alpha,
    Header,
)
from givre.bitstream.header_code import write_header
from givre.bitstream.metadata_sections import SECTION_NAMES
from givre.bitstream.priors import PRIOR_HASHES, load_prior
from givre.bitstream.rangecoder import PARAMETER_MAX
from givre.bitstream.scales import LATENT_SCALES, PARAMETER_SCALES
from givre.bitstream.sections import MAX_CONTENT, MAX_SECTIONS, MAX_TOTAL
from givre.bitstream.side_information import PRIOR_GUESSES, GroupGuess
from givre.bitstream.tiling import MAX_TILES, OVERLAP, TILE_UNIT, Tiling, write_tiling
from givre.models.architecture import NAMED_POINTS, default_grids, group_names, tensor_specs
from givre.models.context import context_offsets, wavefront_step
from givre.models.exact.arithmetic import max_sum_bits

DOCUMENT = (ROOT / "docs" / "FORMAT.md").read_text(encoding="utf-8")
PROSE = " ".join(DOCUMENT.split())


def listed(marker: str) -> str:
    found = re.search(rf"<!-- {marker} -->\n```\n(.*?)\n```", DOCUMENT, re.DOTALL)
    assert found is not None
    return found[1]


def table(marker: str) -> list[list[str]]:
    """Rows of the table below a marker, without its head, as lists of bare cells."""
    found = re.search(rf"<!-- {marker} -->\n.*\n.*\n((?:\|.*\n)*)", DOCUMENT)
    assert found is not None
    lines = found[1].splitlines()
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]


def header_of(stream: str) -> Header:
    return read_prefix((CONFORMANCE / f"{stream}.givre").read_bytes())


def rows(first_cell: str) -> list[list[str]]:
    """Table rows whose first cell matches, as lists of bare cells."""
    lines = [line for line in DOCUMENT.splitlines() if re.match(rf"\| {first_cell} \|", line)]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize(
    ("marker", "scales"),
    [("latent-scales", LATENT_SCALES), ("parameter-scales", PARAMETER_SCALES)],
)
def test_scale_tables(marker: str, scales: list[float]) -> None:
    assert [int(number) for number in listed(marker).split()] == [v * 2**20 for v in scales]


def test_context_offsets() -> None:
    pairs = re.findall(r"\((-?\d+),(-?\d+)\)", listed("context-offsets"))
    assert tuple((int(dy), int(dx)) for dy, dx in pairs) == context_offsets(40)


def test_wavefront_steps() -> None:
    (spans,), (steps,) = rows("`n_spatial`"), rows("wave step")
    stated = {}
    for span, step in zip(spans[1:], steps[1:], strict=True):
        first, last = (int(number) for number in span.split(" .. "))
        stated |= dict.fromkeys(range(first, last + 1), int(step))
    assert stated == {n: wavefront_step(n) for n in range(1, 41)}


def test_named_architectures() -> None:
    header = next(line for line in DOCUMENT.splitlines() if line.startswith("| code | name |"))
    fields = re.findall(r"`(\w+)`", header)
    points = [row for row in rows("[1-7]") if row[1] in NAMED_POINTS]
    stated = {row[1]: [int(value) for value in row[2:]] for row in points}
    assert stated == {
        name: [getattr(point, field) for field in fields] for name, point in NAMED_POINTS.items()
    }
    picture = header_of("fitted-lop-32x24x1")
    for code, name, *_ in points:
        arch = replace(NAMED_POINTS[name], n_channels=1)
        assert write_header(replace(picture, architecture=arch))[4] & 7 == int(code)
    assert rows("`magic`")[0][2] == MAGIC.hex(" ").upper()
    assert rows("`version`")[0][2] == str(VERSION)


def test_usual_grids() -> None:
    spans = [(*row[0].split(" .. "), *row[1:]) for row in table("usual-grids")]
    assert len(spans) == 3
    for first, last, levels, hyper in spans:
        for pixels in (int(first), 2**40 if "^" in last else int(last)):
            assert default_grids(pixels, 1) == (int(levels), int(hyper))


def test_depths_and_alpha() -> None:
    assert rows("`depth`")[0][2] == f"{MIN_DEPTH + 1} .. {MAX_DEPTH}"
    picture = header_of("fitted-lop-32x24x1")
    kinds = {"none": Alpha.NONE, "soft": Alpha.SOFT, "mask": Alpha.MASK}
    found = []
    for channels, bit, meaning, outputs in table("alpha"):
        for number in map(int, channels.split(" or ")):
            less = 1 if outputs.endswith("less 1") else 0
            arch = replace(picture.architecture, n_channels=number - less)
            tile = replace(
                picture.tiles[0],
                sample_low=(0,) * arch.n_channels,
                sample_high=(255,) * arch.n_channels,
            )
            alpha = kinds[re.split("[: ]", meaning)[0]]
            header = replace(picture, architecture=arch, tiles=(tile,), alpha=alpha)
            assert header.channels == number
            pixel_format = write_header(header)[5]
            assert (pixel_format & 3, pixel_format >> 3 & 1) == (number - 1, int(bit))
            found.append((number, alpha))
    assert len(set(found)) == 6


def test_tilings() -> None:
    flags = {int(row[0]): row[1] for row in table("tiling-flags")[:2]}
    assert flags[0].startswith("The tiles share their parameters.")
    assert flags[1].startswith("The tiles overlap:")
    assert f" {OVERLAP} columns or rows more " in flags[1]
    for shared in (False, True):
        for overlap in (0, OVERLAP):
            coded = write_tiling(Tiling(128, TILE_UNIT, shared, overlap))
            assert coded == bytes([shared | (overlap > 0) << 1, 1, 0])
    stated = re.search(r"multiples of (\d+), from (\d+) to 2\^(\d+)\.", PROSE)
    assert stated is not None
    assert (int(stated[1]), int(stated[2]), 1 << int(stated[3])) == (TILE_UNIT, TILE_UNIT, MAX_SIDE)
    assert f"There are 2 to 2^{MAX_TILES.bit_length() - 1}." in PROSE


def test_limits() -> None:
    assert f"2^{DEFAULT_MAX_PIXELS.bit_length() - 1} pixels is usual" in PROSE
    assert f"A varint of 1 to {MAX_SECTIONS} says how many" in PROSE
    content = f"2^{MAX_CONTENT.bit_length() - 1}"
    assert f"It must become {content} bytes at most" in PROSE
    assert f"must have 2^{MAX_TOTAL.bit_length() - 1} bytes together" in PROSE
    assert [row[3] for row in table("section-kinds")[:3]] == [f"1 .. {content}"] * 3
    assert f"zeros + ones > 2^{MAX_COUNT.bit_length() - 1}:" in PROSE
    assert f"`{MIME_TYPE}`" in PROSE


def test_mask_thresholds() -> None:
    assert [int(number) for number in listed("mask-thresholds").split()] == list(STATE_THRESHOLDS)


def test_kinds_of_sections() -> None:
    assert {int(row[0]): row[1] for row in table("section-kinds")} == SECTION_NAMES


def test_outputs_of_a_prior() -> None:
    """Every row of the tensors with a row an output, and the columns of the residual layers."""
    for point, number in PRIOR_HASHES:
        for name, tensor in load_prior(NAMED_POINTS[point], number).integers.items():
            if name.startswith("synthesis.residual") and name.endswith("weight"):
                assert abs(tensor.sum(axis=1)).max() <= PARAMETER_MAX
    point, number = "hop", 3
    base = load_prior(NAMED_POINTS[point], number).integers
    names = ("output.weight", "output.bias", "residual.0.weight", "residual.0.bias")
    place = {"red": 0, "green": 1, "blue": 2}
    for n_outputs, _, *colours in table("prior-outputs"):
        n = int(n_outputs)
        prior = load_prior(replace(NAMED_POINTS[point], n_channels=n), number).integers
        for name in (*names, "stabiliser.weight"):
            stated = np.zeros_like(prior[f"synthesis.{name}"])
            for row, colour in enumerate(colours[:n]):
                if colour == "zeros":
                    continue
                given = base[f"synthesis.{name}"][place[colour]]
                if name == "residual.0.weight":
                    columns = [given.sum(axis=0)] if n <= 2 else list(given)
                    stated[row, : len(columns)] = columns
                else:
                    stated[row] = given
            assert np.array_equal(prior[f"synthesis.{name}"], stated)
        for name in ("hidden.weight", "hidden.bias"):
            assert np.array_equal(prior[f"synthesis.{name}"], base[f"synthesis.{name}"])


def test_guesses() -> None:
    found = table("guesses")
    assert {name: GroupGuess(int(q), int(i)) for name, q, i in found} == PRIOR_GUESSES
    assert tuple(name for name, _, _ in found) == group_names(NAMED_POINTS["hop"])


def test_parameter_groups() -> None:
    tensors = rows(r"`(arm|ifce|upsampling|synthesis)\.[\w.]+\.(weight|bias)`")
    stated = {row[0]: row[-1] for row in tensors if len(row) == 4}
    arch = NAMED_POINTS["hop"]
    found = {re.sub(r"\.\d+\.", ".#.", spec.name): spec.group for spec in tensor_specs(arch)}
    assert {re.sub(r"\.[ils]\.", ".#.", name): group for name, group in stated.items()} == found
    assert tuple(dict.fromkeys(stated.values())) == group_names(arch)


def test_bit_budget() -> None:
    """Bounds of the sums, from the bounds of a product, a bias and a residual term."""
    lines = [row for row in rows("[^|]+") if re.fullmatch(r"2\^\d+", row[-1])]
    assert len(lines) == 9
    for layer, products, bias, residual, bound in lines:
        n = int(products.rsplit(" ", 1)[1])
        assert {bias, residual} <= {"yes", "no"}
        total = (n << 43) + (1 << 47) * (bias == "yes") + (1 << 42) * (residual == "yes")
        assert 1 << int(bound[2:]) >= total > 1 << (int(bound[2:]) - 1), layer
        assert int(bound[2:]) <= max_sum_bits(n)


def test_priors() -> None:
    folder, found = ROOT / "bitstream" / "priors", {}
    for point, number, size, digest in table("priors"):
        content = (folder / f"{point}-{number}.bin").read_bytes()
        assert (len(content), sha256(content).hexdigest()) == (int(size), digest)
        found[point, int(number)] = digest
    assert found == PRIOR_HASHES
    assert {path.name for path in folder.glob("*")} == {f"{p}-{n}.bin" for p, n in found}
    assert len(found) == len(table("priors"))


def test_worked_example_is_what_the_script_prints() -> None:
    script = ROOT / "docs" / "worked_example.py"
    command = [sys.executable, str(script)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    parts = printed.rstrip().split("\n\n")
    section = DOCUMENT.split("## 18. Worked example")[1]
    assert re.findall(r"```\n(.*?)\n```", section, re.DOTALL) == parts
    assert len(parts) == 10


def test_the_script_knows_the_fields_of_every_stream() -> None:
    """Its fields cover each file to the last byte, as `dump` makes sure."""
    script = ROOT / "docs" / "worked_example.py"
    spec = importlib.util.spec_from_file_location("worked_example", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for path in CONFORMANCE.glob("*.givre"):
        lines = module.dump(path.read_bytes()).splitlines()
        assert lines[0].endswith("magic number")
        assert lines[-1].endswith("CRC-32 of all that precedes")
    named = [row[0] for row in table("header-fields")]
    assert len(named) == len(set(named)) == 16


def test_the_letters_of_the_architecture() -> None:
    """The short names are those of the columns of the table of architectures, in its order."""
    header = next(line for line in DOCUMENT.splitlines() if line.startswith("| code | name |"))
    stated = re.search(r"Short names used below: (.*?)\n\n", DOCUMENT, re.DOTALL)
    assert stated is not None
    assert re.findall(r"`(\w+)`", stated[1]) == re.findall(r"`(\w+)`", header)


def test_conformance_streams_are_described() -> None:
    described = re.findall(
        r"^- `(\w+)`: ", DOCUMENT.split("### Conformance streams")[1], re.MULTILINE
    )
    index = json.loads((ROOT / "tests" / "conformance" / "pixels.json").read_text())
    assert all(set(entry) == set(described) for entry in index.values())
    assert (ROOT / "tests" / "conformance" / "constant-11x9.givre").stat().st_size == 25


def test_links_lead_to_headings() -> None:
    headings = re.findall(r"^#+ (.*)$", DOCUMENT, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    links = re.findall(r"\]\(#([\w-]+)\)", DOCUMENT)
    assert set(links) <= anchors
    assert len(links) > 50
