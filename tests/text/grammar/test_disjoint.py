"""`oneOf` is `anyOf` only where that is proven."""

from __future__ import annotations

from typing import Any

import pytest

from pennyweight.text.grammar.disjoint import Disjointness
from pennyweight.text.grammar.references import resolve


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [required]}


ROOT = {"$defs": {"a": _object("k", k={"const": "a"}), "b": _object("k", k={"const": "b"}), "no": False}}
A, B = {"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}

APART = [
    [{"type": "string"}, {"type": ["integer", "null"]}],
    [{"const": 1}, {"const": 2}, {"enum": ["1", True]}],
    [{"const": 1}, {"type": "string"}],
    [A, B],
    [A, {"allOf": [B, {"properties": {"x": {}}}]}],
    [A, {"anyOf": [B, {"type": "array"}]}],
    [_object("x", x={"type": "string"}), _object("y", x={"type": "null"}) | {"required": ["x"]}],
    [_object("x", x={}) | {"additionalProperties": False}, _object("y", y={})],
    [{"$ref": "#/$defs/no"}, {}],
]
TOGETHER = [
    [{"type": "integer"}, {"type": "number"}],
    [{"const": 1}, {"const": 1.0}],
    [{"const": {"a": 1, "b": 2}}, {"const": {"b": 2.0, "a": 1}}],
    [A, {"type": "object"}],
    [A, {}],
    [_object("x", x={}), _object("y", y={})],
    [
        {"required": ["x"], "properties": {"x": {"const": 1}}},
        {"required": ["x"], "properties": {"x": {"const": 2}}},
    ],
    [_object("xy", x={}), {"type": "object", "patternProperties": {"x": {}}, "additionalProperties": False}],
    [{"pattern": "a"}, {"pattern": "b"}],
]


@pytest.mark.parametrize("options", APART)
def test_proven(options: list[Any]) -> None:
    assert Disjointness(lambda reference: resolve(ROOT, reference)).proven(options)


@pytest.mark.parametrize("options", TOGETHER)
def test_not_proven(options: list[Any]) -> None:
    assert not Disjointness(lambda reference: resolve(ROOT, reference)).proven(options)


def test_work_is_bounded() -> None:
    leaves = [[[{"const": 100 * i + 10 * j + k} for k in range(8)] for j in range(8)] for i in range(8)]
    options = [{"oneOf": [{"oneOf": leaf} for leaf in leaf_list]} for leaf_list in leaves]
    proof = Disjointness(lambda reference: resolve({}, reference))
    assert not proof.proven(options)
    assert proof._steps < 0, "it gave up; they are disjoint"
