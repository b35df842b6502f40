"""Which schemas can be closed, and how they look then."""

from __future__ import annotations

from typing import Any

import pytest

from pennyweight.answers.strict_parameters import closed_parameters

ITEM = {"type": "object", "properties": {"b": {"type": "string"}}}
CLOSED_ITEM = {**ITEM, "required": ["b"], "additionalProperties": False}


def test_every_object_is_closed() -> None:
    schema = {
        "properties": {
            "a": {"type": "array", "items": ITEM},
            "c": {"anyOf": [ITEM, {"type": "null"}]},
            "d": {"$ref": "#/$defs/d"},
        },
        "$defs": {"d": ITEM},
        "description": "x",
    }
    assert closed_parameters(schema) == {
        "type": "object",
        "properties": {
            "a": {"type": "array", "items": CLOSED_ITEM},
            "c": {"anyOf": [CLOSED_ITEM, {"type": "null"}]},
            "d": {"$ref": "#/$defs/d"},
        },
        "$defs": {"d": CLOSED_ITEM},
        "description": "x",
        "required": ["a", "c", "d"],
        "additionalProperties": False,
    }
    assert "required" not in schema


def test_no_parameters() -> None:
    closed = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    assert closed_parameters({}) == closed_parameters({"type": "object"}) == closed


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"type": "object"}}},
        {"properties": {}, "additionalProperties": True},
        {"properties": {"a": {"properties": {}, "additionalProperties": {"type": "string"}}}},
        {"properties": {"a": {"oneOf": [{"type": "string"}]}}},
        {"allOf": [ITEM]},
        {"properties": 3},
    ],
)
def test_what_must_stay_open(schema: dict[str, Any]) -> None:
    assert closed_parameters(schema) is None


def test_a_schema_without_bottom() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(1000):
        schema = {"items": schema}
    assert closed_parameters({"properties": {"a": schema}}) is None
