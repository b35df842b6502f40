"""`submit` has one caller: everything that answers goes through `answers/answer.py`."""

from __future__ import annotations

import ast
from pathlib import Path

import pennyweight

PACKAGE = Path(pennyweight.__file__).parent


def callers_of(method: str) -> set[str]:
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr == method:
                found.add(path.relative_to(PACKAGE).as_posix())
    return found


def test_submit_has_one_caller() -> None:
    assert callers_of("submit") == {"answers/answer.py"}
