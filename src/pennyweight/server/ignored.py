"""`x-pennyweight-ignored`: what was dropped from a body, and what is not enforced, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_HEADER = 2000


def ignored_headers(ignored: Iterable[str]) -> dict[str, str]:
    """The header, or none if nothing was dropped."""
    # Keys are the client's own text: quoted, they cannot break a header. Half a surrogate pair becomes "?".
    named = ", ".join(quote(path, safe="[]. $", errors="replace") for path in sorted(set(ignored)))
    return {"x-pennyweight-ignored": named[:_LONGEST_HEADER]} if named else {}
