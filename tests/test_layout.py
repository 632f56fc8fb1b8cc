"""The rules that keep the folders apart, checked on the sources and on what an import loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from configparser import ConfigParser
from functools import cache
from pathlib import Path

from places import ROOT

FOLDERS = {
    "api": "givre",
    "bitstream": "givre.bitstream",
    "coder": "givre.coder",
    "models": "givre.models",
    "scripts": "givre.scripts",
}
BARE_NAMES = set(FOLDERS)
# What the modules of a package may not import.
FORBIDDEN = {
    "givre.models": ("givre.bitstream", "givre.coder", "givre.scripts"),
    "givre.bitstream": ("givre.coder", "givre.scripts", "torch"),
    "givre.coder": ("givre.scripts",),
    "givre.models.compiled": ("givre.models.exact", "givre.models.fused"),
    "givre.models.exact": ("givre.models.fused",),
    "givre.models.fused": ("givre.models.exact",),
    "givre.models.filters": ("givre.models.compiled", "givre.models.exact", "givre.models.fused"),
}
# The parts of `givre.coder`: each may import itself and those after it.
CODER_ORDER = (
    "whole_encode",
    "tile_choice",
    "tiled_encode",
    "rate_control",
    "encoder",
    "coded_tile",
    "report",
    "quantisation",
    "fitting",
    "partial",
    "inspection",
    "decoder",
    "tile_assembly",
    "view",
    "exact_backends",
    "execution",
    "psnr",
    "transparency",
    "files",
)
# In these packages only a module named torch_... may load it.
TORCH_FREE = ("givre.bitstream", "givre.models.exact")
TORCH_FREE_MODULES = (
    "givre.errors",
    "givre.models.architecture",
    "givre.models.geometry",
    "givre.models.filters.interpolation",
)
MAX_LINES = 500
MAX_POSITIONAL = 8


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


PACKAGE_SOURCES = sources(*FOLDERS)


def module_name(path: Path) -> str:
    folder, *parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join((FOLDERS[folder], *parts))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> Iterator[str]:
    """Full names that code imports, in functions too; a relative import shows its leading dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names)


class _WithoutTypes(ast.NodeTransformer):
    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return node.orelse if types else node


def imported_when_run(source: str) -> list[str]:
    """The same without what stands under TYPE_CHECKING, which names types and loads nothing."""
    return list(imported(_WithoutTypes().visit(ast.parse(source))))


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def check(paths: Iterable[Path], faults: Callable[[Path], Iterable[str]]) -> None:
    """Fail with the names of the sources in which there is a fault."""
    found = [f"{path.relative_to(ROOT)}: {fault}" for path in paths for fault in faults(path)]
    assert not found, "\n".join(found)


def loaded_modules(names: list[str], folder: Path) -> set[str]:
    """Modules that a fresh interpreter, away from the sources, holds after importing `names`."""
    lines = [*(f"import {name}" for name in names), "import sys", "print(*sorted(sys.modules))"]
    command = [sys.executable, "-c", "\n".join(lines)]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_the_sources_are_found() -> None:
    names = {module_name(path) for path in PACKAGE_SOURCES}
    assert {"givre", "givre.errors", "givre.models", "givre.models.exact"} <= names
    assert names >= FORBIDDEN.keys() | set(TORCH_FREE)


def test_every_folder_of_a_package_is_installed() -> None:
    settings = ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    listed = settings["options"]["packages"].split()
    assert listed == sorted({module_name(path.parent / "__init__.py") for path in PACKAGE_SOURCES})


def test_imports_are_read_in_every_spelling() -> None:
    source = "import a.b, c\nfrom d import e as f\ndef g():\n    from . import h\n"
    assert list(imported(ast.parse(source))) == ["a.b", "c", "d.e", "..h"]
    with_types = f"if TYPE_CHECKING:\n    import i\nelse:\n    import j\n{source}"
    assert imported_when_run(with_types) == ["j", "a.b", "c", "d.e", "..h"]


def test_imports_name_the_installed_package() -> None:
    def misspelt(path: Path) -> Iterator[str]:
        for name in imported(tree_of(path)):
            if name.split(".")[0] in BARE_NAMES:
                yield f"{name}, import it from givre"
            if name.startswith("."):
                yield f"{name}, imports are absolute"

    check(sources(*FOLDERS, "benchmarks", "tests"), misspelt)


def test_imports_go_one_way() -> None:
    def forbidden(path: Path) -> Iterator[str]:
        own = module_name(path)
        out_of_reach = [
            other
            for package, others in FORBIDDEN.items()
            if within(own, package)
            for other in others
        ]
        for name in imported(tree_of(path)):
            if any(within(name, other) for other in out_of_reach):
                yield name

    check(PACKAGE_SOURCES, forbidden)


def coder_part(name: str) -> str | None:
    """The folder or module right inside `givre.coder` that a name belongs to."""
    return name.split(".")[2] if name.startswith("givre.coder.") else None


def imports_against_the_order(own: str, source: str) -> Iterator[str]:
    """Those in the source of a module of the coder."""
    part = coder_part(own)
    allowed = CODER_ORDER[CODER_ORDER.index(part) :] if part else ()
    for name in imported_when_run(source):
        other = coder_part(name)
        if other is not None and other not in allowed:
            yield name


def test_every_part_of_the_coder_has_its_place() -> None:
    parts = {coder_part(module_name(path)) for path in sources("coder")}
    assert parts - {None} == set(CODER_ORDER)


def test_imports_against_the_order_are_seen_wherever_they_stand() -> None:
    back = "from givre.coder.encoder import encode_fit"
    for source in (back, f"def f():\n    {back}", f"if x:\n    pass\nelse:\n    {back}"):
        found = imports_against_the_order("givre.coder.fitting.checkpoint", source)
        assert list(found) == ["givre.coder.encoder.encode_fit"]
    for own in ("givre.coder.rate_control.outcome", "givre.coder.encoder"):
        assert list(imports_against_the_order(own, back)) == []
    assert list(imports_against_the_order("givre.coder", back)) == [
        "givre.coder.encoder.encode_fit"
    ]
    types = f"if TYPE_CHECKING:\n    {back}"
    assert list(imports_against_the_order("givre.coder.fitting.checkpoint", types)) == []


def test_imports_inside_the_coder_go_one_way() -> None:
    def backward(path: Path) -> Iterator[str]:
        return imports_against_the_order(module_name(path), path.read_text(encoding="utf-8"))

    check(sources("coder"), backward)


def test_only_the_command_line_prints() -> None:
    def prints(path: Path) -> Iterator[str]:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Name) and node.id == "print":
                yield f"print in line {node.lineno}"

    check(sources("api", "bitstream", "coder", "models"), prints)


def test_modules_are_described_and_short() -> None:
    def shortcomings(path: Path) -> Iterator[str]:
        if not ast.get_docstring(tree_of(path)):
            yield "the module has no docstring"
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MAX_LINES:
            yield f"{lines} lines, more than {MAX_LINES}"

    check(sources(*FOLDERS, "benchmarks"), shortcomings)


def positional(function: ast.FunctionDef) -> list[str]:
    """Names of the arguments that may be given by their place, without self and cls."""
    names = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def test_no_function_takes_many_arguments_by_their_place() -> None:
    """Arguments by keyword only do not count: they cannot be mistaken for each other."""

    def crowded(path: Path) -> Iterator[str]:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef) and len(positional(node)) > MAX_POSITIONAL:
                yield f"{node.name} in line {node.lineno}"

    check(PACKAGE_SOURCES, crowded)


def test_importing_everything_takes_no_bare_name(tmp_path: Path) -> None:
    names = [name for name in map(module_name, PACKAGE_SOURCES) if not name.endswith("__main__")]
    loaded = loaded_modules(names, tmp_path)
    assert set(names) <= loaded
    assert not BARE_NAMES & loaded


def test_the_decoder_side_does_not_load_torch(tmp_path: Path) -> None:
    names = [
        name
        for name in map(module_name, PACKAGE_SOURCES)
        if name in TORCH_FREE_MODULES
        or (any(within(name, package) for package in TORCH_FREE) and ".torch_" not in name)
    ]
    assert set(TORCH_FREE_MODULES) <= set(names)
    assert "torch" not in loaded_modules(names, tmp_path)
