"""The rules that keep the folders apart, checked on the sources and on what an import loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest
from places import ROOT

FOLDERS = {
    "api": "givre",
    "bitstream": "givre.bitstream",
    "coder": "givre.coder",
    "models": "givre.models",
    "scripts": "givre.scripts",
}
BARE_NAMES = set(FOLDERS)
FORBIDDEN = {
    "models": ("givre.bitstream", "givre.coder", "givre.scripts"),
    "bitstream": ("givre.coder", "givre.scripts", "torch"),
    "coder": ("givre.scripts",),
}
# In these packages only a module named torch_... may load it.
TORCH_FREE = ("givre.bitstream", "givre.models.exact")
TORCH_FREE_MODULES = (
    "givre.errors",
    "givre.models.architecture",
    "givre.models.geometry",
    "givre.models.filters.interpolation",
)
MAX_LINES = 320
MAX_POSITIONAL = 8


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


PACKAGE_SOURCES = sources(*FOLDERS)
ALL_SOURCES = sources(*FOLDERS, "benchmarks", "tests")


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def module_name(path: Path) -> str:
    folder, *parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join((FOLDERS[folder], *parts))


def imported(source: str) -> Iterator[str]:
    """Full names that a source imports; a relative import shows its leading dots."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


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


def test_every_folder_of_a_package_is_installed() -> None:
    settings = ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    listed = settings["options"]["packages"].split()
    assert listed == sorted({module_name(path.parent / "__init__.py") for path in PACKAGE_SOURCES})


def test_imports_are_read_in_every_spelling() -> None:
    source = "import a.b, c\nfrom d import e as f\ndef g():\n    from . import h\n"
    assert list(imported(source)) == ["a.b", "c", "d.e", "..h"]


@pytest.mark.parametrize("path", ALL_SOURCES, ids=relative)
def test_imports_name_the_installed_package(path: Path) -> None:
    for name in imported(path.read_text(encoding="utf-8")):
        assert name.split(".")[0] not in BARE_NAMES, f"{name}: import it from givre"
        assert not name.startswith("."), f"{name}: imports are absolute"


@pytest.mark.parametrize("path", sources(*FORBIDDEN), ids=relative)
def test_imports_go_one_way(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    for name in imported(path.read_text(encoding="utf-8")):
        assert not any(within(name, package) for package in FORBIDDEN[folder]), name


@pytest.mark.parametrize("path", sources("api", "bitstream", "coder", "models"), ids=relative)
def test_only_the_command_line_prints(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lines = [
        node.lineno for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "print"
    ]
    assert lines == []


@pytest.mark.parametrize("path", sources(*FOLDERS, "benchmarks"), ids=relative)
def test_modules_are_described_and_short(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(source)), "the module has no docstring"
    assert len(source.splitlines()) <= MAX_LINES


def positional(function: ast.FunctionDef) -> list[str]:
    """Names of the arguments that may be given by their place, without self and cls."""
    names = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


@pytest.mark.parametrize("path", PACKAGE_SOURCES, ids=relative)
def test_no_function_takes_many_arguments_by_their_place(path: Path) -> None:
    """Arguments by keyword only do not count: they cannot be mistaken for each other."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            assert len(positional(node)) <= MAX_POSITIONAL, f"{node.name}: line {node.lineno}"


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
