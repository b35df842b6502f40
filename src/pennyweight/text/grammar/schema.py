"""What of a JSON schema can be promised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def enforceable(schema: Mapping[str, Any] | bool, *, param: str | None = None) -> dict[str, Any]:  # noqa: ARG001
    """`schema` as llguidance takes it, which refuses keywords it does not know."""
    return {"allOf": [schema]} if isinstance(schema, bool) else dict(schema)
