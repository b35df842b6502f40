"""`x-pennyweight-ignored`: what was dropped from a body, and what is not enforced, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.answers.ignored import ignored_names

if TYPE_CHECKING:
    from collections.abc import Iterable


def ignored_headers(ignored: Iterable[str]) -> dict[str, str]:
    """The header, or none if nothing was dropped."""
    named = ", ".join(ignored_names(ignored))
    return {"x-pennyweight-ignored": named} if named else {}
