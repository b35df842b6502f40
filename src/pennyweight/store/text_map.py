"""Metadata as a column: texts under names, one entry a line, so that SQL finds an entry exactly.

The lines are JSON in ASCII: what databases refuse in texts (NUL, halves of surrogate pairs) is escaped, and a
line break stands before entries alone.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from sqlalchemy import func

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Column, ColumnElement


def write_text_map(entries: Mapping[str, str]) -> str:
    """What the column keeps."""
    return json.dumps(dict(entries), indent=0)


def read_text_map(text: str) -> dict[str, str]:
    """The entries of a column."""
    return cast("dict[str, str]", json.loads(text))


def has_entry(column: Column[str], name: str, value: str) -> ColumnElement[bool]:
    """Whether the map in `column` has exactly this entry."""
    line = f"\n{json.dumps(name)}: {json.dumps(value)}"
    # LIKE would ignore case on SQLite, and each kind of database has another name for "find".
    return func.replace(column, line, "") != column
