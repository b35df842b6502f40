"""The form an answer's text must have: data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class TextFormat:
    """Any text."""


@dataclass(frozen=True, slots=True)
class JsonObject:
    """Any JSON object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonSchema:
    """JSON that validates against `schema`.

    Where a keyword cannot be enforced a `strict` schema is refused, naming it and `param`, the request field;
    without `strict`, the schema being a wish then, such keywords are left out.
    """

    name: str
    schema: Mapping[str, Any]
    strict: bool = False
    description: str | None = None
    param: str | None = None


ResponseFormat = TextFormat | JsonObject | JsonSchema
