"""What the OpenAPI document says of a body that a table of fields reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pennyweight.answers.field_tables import FieldTables


def json_body(fields: FieldTables) -> dict[str, Any]:
    """A route's further description."""
    content = {"application/json": {"schema": fields.schema}}
    return {"requestBody": {"content": content, "required": bool(fields.required)}}
