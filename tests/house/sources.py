"""The files the house rules apply to, and their imports."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "pennyweight"
_CXX = {".cc", ".h", ".inl"}


def python_files() -> list[Path]:
    """Every Python file of the project."""
    folders = ("src", "tests", "benchmarks", "docs", "examples")
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def cxx_files() -> list[Path]:
    """Every C++ file of the project."""
    return sorted(path for path in (ROOT / "native").rglob("*") if path.suffix in _CXX)


def tracked_files() -> list[Path]:
    """Every file under version control; empty outside a checkout (an unpacked source package)."""
    if not (ROOT / ".git").exists():
        return []
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def imported_modules(path: Path) -> Iterator[str]:
    """The dotted names a file imports, wherever in it: `from a.b import c` is `a.b.c`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # The house imports absolutely, so a relative import has no module name we could check.
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(path: Path) -> str:
    """The first part of a module's place in the package: `engine`, `core`, `api`."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")
