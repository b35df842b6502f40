"""Files and functions stay small enough to read: the goal is 150 and 25 lines, these are the limits."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from tests.house.sources import ROOT, cxx_files, python_files

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
MAX_STRUCTURE_LINES = 60


def _long_functions() -> Iterator[str]:
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                lines = node.end_lineno - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name} has {lines} lines"


def test_no_file_is_too_long() -> None:
    lengths = {path: len(path.read_bytes().splitlines()) for path in [*python_files(), *cxx_files()]}
    assert {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > MAX_FILE_LINES} == {}


def test_no_python_function_is_too_long() -> None:
    assert list(_long_functions()) == []


def test_the_map_of_the_house_fits_a_screen() -> None:
    lines = (ROOT / "docs" / "structure.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) < MAX_STRUCTURE_LINES


def test_files_are_named_after_a_noun() -> None:
    vague = {"utils", "util", "common", "helpers", "helper", "misc"}
    assert [str(path) for path in [*python_files(), *cxx_files()] if path.stem in vague] == []
