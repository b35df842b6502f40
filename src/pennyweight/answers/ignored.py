"""Names of what was dropped from a body, and of what is not enforced, as clients are told them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_WHOLE = 2000
_LONGEST_NAME = 200  # one long key must not crowd the others out


def ignored_names(ignored: Iterable[str]) -> list[str]:
    """In order, each once, as ASCII that is harmless in a header. What is too much ends with "..."."""
    names: list[str] = []
    length = 0
    for path in sorted(set(ignored)):
        name = _quoted(path)
        if length + len(name) > _LONGEST_WHOLE:
            return [*names, "..."]
        length += len(name) + 2
        names.append(name)
    return names


def _quoted(path: str) -> str:
    # Keys are the client's own text: quoted, they cannot break a header. Half a surrogate pair becomes "?".
    name = quote(path[:_LONGEST_NAME], safe="[]. $", errors="replace")
    return f"{name}..." if len(path) > _LONGEST_NAME else name
