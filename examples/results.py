"""Measured tables: each example keeps its own in `results.json`, with the machine and the date of every row.

Steps run on different days (a training takes a while), so a step writes its own row and leaves the others.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benchmarks.machine import describe_machine

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def keep(path: Path, table: str, row: str, values: Mapping[str, Any]) -> None:
    """Write `values` as `row` of `table` in the file at `path`; the file appears whole."""
    results = read(path)
    results.setdefault(table, {})[row] = {**values, "machine": describe_machine()}
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(results, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
    new.replace(path)


def read(path: Path) -> dict[str, dict[str, Any]]:
    """The tables by name; empty if nothing was measured yet."""
    found: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found
