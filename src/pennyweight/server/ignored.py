"""`x-pennyweight-ignored`: what was dropped from a body, and what is not enforced, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_HEADER = 2000
_LONGEST_NAME = 200  # one long key must not crowd the others out


def ignored_headers(ignored: Iterable[str]) -> dict[str, str]:
    """The header, or none if nothing was dropped. What does not fit is cut off between names, with "..."."""
    named = ""
    for path in sorted(set(ignored)):
        name = _quoted(path)
        if len(named) + len(name) > _LONGEST_HEADER:
            named += ", ..."
            break
        named += f", {name}" if named else name
    return {"x-pennyweight-ignored": named} if named else {}


def _quoted(path: str) -> str:
    # Keys are the client's own text: quoted, they cannot break a header. Half a surrogate pair becomes "?".
    name = quote(path[:_LONGEST_NAME], safe="[]. $", errors="replace")
    return f"{name}..." if len(path) > _LONGEST_NAME else name
