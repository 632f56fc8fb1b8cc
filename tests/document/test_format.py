"""What docs/FORMAT.md states as a list or a table is what the code does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from hashlib import sha256

import pytest
from places import ROOT

from givre.bitstream.header import MAGIC, VERSION
from givre.bitstream.priors import PRIOR_HASHES
from givre.bitstream.scales import LATENT_SCALES, PARAMETER_SCALES
from givre.bitstream.side_information import PRIOR_GUESSES, GroupGuess
from givre.models.architecture import NAMED_POINTS, default_grids, group_names, tensor_specs
from givre.models.context import context_offsets, wavefront_step
from givre.models.exact.arithmetic import max_sum_bits

DOCUMENT = (ROOT / "docs" / "FORMAT.md").read_text(encoding="utf-8")


def listed(marker: str) -> str:
    found = re.search(rf"<!-- {marker} -->\n```\n(.*?)\n```", DOCUMENT, re.DOTALL)
    assert found is not None
    return found[1]


def rows(first_cell: str) -> list[list[str]]:
    """Table rows whose first cell matches, as lists of bare cells."""
    lines = [line for line in DOCUMENT.splitlines() if re.match(rf"\| {first_cell} \|", line)]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize(
    ("marker", "table"),
    [("latent-scales", LATENT_SCALES), ("parameter-scales", PARAMETER_SCALES)],
)
def test_scale_tables(marker: str, table: list[float]) -> None:
    assert [int(number) for number in listed(marker).split()] == [v * 2**20 for v in table]


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
    points = [row for row in rows("[0-3]") if row[1] in NAMED_POINTS]
    stated = {row[1]: [int(value) for value in row[2:]] for row in points}
    assert stated == {
        name: [getattr(point, field) for field in fields] for name, point in NAMED_POINTS.items()
    }
    assert MAGIC.hex(" ").upper() in DOCUMENT
    assert rows("`version`")[0][2] == str(VERSION)


def test_usual_grids() -> None:
    table = re.search(r"<!-- usual-grids -->\n.*\n.*\n((?:\|.*\n)*)", DOCUMENT)
    assert table is not None
    spans = re.findall(r"\| (\d+) \.\. ([\d^]+) \| (\d+) \| (\d+) \|", table[1])
    assert len(spans) == 3
    for first, last, levels, hyper in spans:
        for pixels in (int(first), 2**40 if "^" in last else int(last)):
            assert default_grids(pixels, 1) == (int(levels), int(hyper))


def test_guesses() -> None:
    table = re.search(r"<!-- guesses -->\n.*\n.*\n((?:\|.*\n)*)", DOCUMENT)
    assert table is not None
    found = re.findall(r"\| `([\w.]+)` \| (\d+) \| (\d+) \|", table[1])
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
    table = re.search(r"<!-- priors -->\n.*\n.*\n((?:\|.*\n)*)", DOCUMENT)
    assert table is not None
    folder, found = ROOT / "bitstream" / "priors", {}
    for point, number, size, digest in re.findall(
        r"\| (\w+) \| (\d+) \| (\d+) \| `(\w+)` \|", table[1]
    ):
        content = (folder / f"{point}-{number}.bin").read_bytes()
        assert (len(content), sha256(content).hexdigest()) == (int(size), digest)
        found[point, int(number)] = digest
    assert found == PRIOR_HASHES
    assert {path.name for path in folder.glob("*")} == {f"{p}-{n}.bin" for p, n in found}
    assert len(found) == len(table[1].splitlines())


def test_worked_example_is_what_the_script_prints() -> None:
    script = ROOT / "docs" / "worked_example.py"
    command = [sys.executable, str(script)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    parts = printed.rstrip().split("\n\n")
    section = DOCUMENT.split("## 16. Worked example")[1]
    assert re.findall(r"```\n(.*?)\n```", section, re.DOTALL) == parts
    assert len(parts) == 7


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
    assert len(links) > 40
