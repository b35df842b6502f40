"""What of JSON Schema is enforced, and that everything else is refused by name."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from pennyweight.errors import InvalidRequestError
from pennyweight.text.grammar.refusal import SchemaError
from pennyweight.text.grammar.schema import MAX_DEPTH, enforceable
from pennyweight.text.grammar.source import json_schema
from tests.text.grammar.walk import random_answer, reaches

if TYPE_CHECKING:
    from pennyweight.text.grammar.compiler import GrammarCompiler
    from pennyweight.text.tokenizer import Tokenizer

_OLD = "http://json-schema.org/draft-07/schema#"
_ENDLESS = {"$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}, "minItems": 1}}}
_NODE: dict[str, Any] = {"type": ["object", "null"], "properties": {"a": {"$ref": "#"}}, "required": ["a"]}

REFUSED: list[tuple[Any, str]] = [
    ({"properties": {"a": {"not": {}}}}, "properties.a.not"),
    ({"items": {"if": {"type": "string"}, "then": False}}, "items.if"),
    ({"anyOf": [{}, {"uniqueItems": True}]}, "anyOf[1].uniqueItems"),
    ({"contains": {}}, "contains"),
    ({"propertyNames": {"pattern": "^a"}}, "propertyNames"),
    ({"unevaluatedProperties": False}, "unevaluatedProperties"),
    ({"unevaluatedItems": False}, "unevaluatedItems"),
    ({"dependencies": {"a": ["b"]}}, "dependencies"),
    ({"dependentRequired": {"a": ["b"]}}, "dependentRequired"),
    ({"dependentSchemas": {"a": {}}}, "dependentSchemas"),
    ({"contentEncoding": "base64"}, "contentEncoding"),
    ({"$ref": "https://example.com/x"}, "$ref"),
    ({"$ref": "#/$defs/none"}, "$ref"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, "$ref"),
    ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "properties.a.$ref"),
    ({"type": "array", "items": {"$ref": "#"}, "minItems": 1}, "items.$ref"),
    ({"anyOf": [{"type": "null"}, {"$ref": "#/$defs/a"}], **_ENDLESS}, "anyOf[1].$ref"),
    ({"properties": {"a": {"$ref": "#/$defs/a"}}, **_ENDLESS}, "properties.a.$ref"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"pattern": "a(?=b)"}}}, "$defs.a.pattern"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"$id": "x", "type": "integer"}}}, "$defs.a.$id"),
    ({"$dynamicRef": "#x"}, "$dynamicRef"),
    ({"pattern": r"(a)\1"}, "pattern"),
    ({"pattern": r"a\b"}, "pattern"),
    ({"pattern": "a$b"}, "pattern"),
    ({"patternProperties": {r"\w": {}}, "additionalProperties": {"type": "string"}}, "patternProperties"),
    ({"patternProperties": {"a": {}, "b": {}}}, "patternProperties"),
    ({"format": "phone"}, "format"),
    ({"type": "string", "format": "iri"}, "format"),
    ({"type": "any"}, "type"),
    ({"required": True}, "required"),
    ({"enum": []}, "enum"),
    ({"enum": ["a\0"]}, "enum"),
    ({"const": {"a": [12345678901234567891]}}, "const"),
    ({"multipleOf": 0.01}, "multipleOf"),
    ({"multipleOf": 0}, "multipleOf"),
    ({"minimum": "1"}, "minimum"),
    ({"minimum": 1e19}, "minimum"),
    ({"minProperties": 2}, "minProperties"),
    ({"properties": {"a": {}, "b": {}}, "minProperties": 1}, "minProperties"),
    ({"maxItems": 5000}, "maxItems"),
    ({"minLength": -1}, "minLength"),
    ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf"),
    ({"$schema": _OLD, "prefixItems": [{}], "items": {}}, "prefixItems"),
    ({"properties": {"a": 3}}, "properties.a"),
]


@pytest.mark.parametrize(("schema", "place"), REFUSED, ids=lambda value: json.dumps(value)[:50])
def test_what_cannot_be_enforced_is_refused_by_name(
    compiler: GrammarCompiler, schema: Any, place: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        compiler.compile(json_schema(schema, param="response_format"))
    assert caught.value.param == f"response_format.{place}"
    mask, dropped = compiler.compile_schema(schema, strict=False, param="response_format")
    assert mask.mask()
    assert dropped, "what is not enforced is told"


ENFORCED: list[tuple[Any, list[Any], list[Any]]] = [
    # schema, values that can be generated, values that cannot
    ({"type": "integer", "minimum": 3, "exclusiveMaximum": 6}, [3, 5], [2, 6, 3.5]),
    ({"type": "number", "exclusiveMinimum": 0}, [0.5, 3], [0, -1, 1e-12]),
    ({"type": "number", "exclusiveMaximum": 0, "minimum": -1}, [-0.5, -1], [0, -0.0, -2]),
    ({"type": "number", "exclusiveMaximum": 0, "multipleOf": 0.5}, [-0.5, -3], [0, -0.0]),
    ({"type": "integer", "maximum": 2**63 - 1}, [2**53], [2**63]),
    ({"type": "integer", "multipleOf": 7}, [0, 14, -7], [1]),
    ({"type": "number", "multipleOf": 0.25}, [0.25, 3], [0.3]),
    ({"maximum": 5, "exclusiveMaximum": True, "type": "integer"}, [4], [5]),
    ({"format": "int32", "type": "integer"}, [2**31 - 1], [2**31]),
    ({"type": "string", "format": "date"}, ["2024-02-29"], ["2023-02-29", "2024-13-01", "0000-01-01"]),
    ({"format": "date-time"}, ["2024-02-29T12:00:00.5Z", 1, None], ["2023-02-29T00:00:00Z", "x"]),
    ({"format": "uuid", "pattern": "^0"}, ["0" * 8 + "-0000-0000-0000-" + "a" * 12], ["1" * 8]),
    ({"type": "string", "pattern": r"^\d+$"}, ["12"], ["٣", "1\n", "x"]),
    ({"type": "string", "minLength": 2, "maxLength": 2}, ["é𝄞"], ["é", "abc"]),
    ({"enum": [1, "a", None], "type": ["string", "null"]}, ["a", None], [1]),
    ({"const": {"b": [1, {"a": "x"}]}}, [{"b": [1, {"a": "x"}]}], [{"b": []}]),
    ({"properties": {"a": {"type": "integer"}}}, [{"a": 1, "b": "x"}, {}, 3], [{"a": "x"}]),
    ({"required": ["b"], "properties": {"a": {}}}, [{"a": 1, "b": 2}], [{"a": 1}]),
    ({"patternProperties": {r"\w": {"type": "integer"}}}, [{"é": 1, "-": "x"}], [{"é": "x"}, {"a": "x"}]),
    ({"type": "object", "minProperties": 1}, [{"a": 1}], [{}]),
    ({"type": "object", "required": ["a", "b"], "minProperties": 2}, [{"a": 1, "b": 2}], [{}]),
    ({"prefixItems": [{"type": "integer"}], "items": False}, [[], [1]], [["x"], [1, 2]]),
    ({"items": [{"type": "integer"}], "additionalItems": {"type": "string"}}, [[1, "x"]], [[1, 1]]),
    ({"type": "array", "uniqueItems": True, "maxItems": 1}, [[1]], [[1, 1]]),
    (
        {"items": [{}], "allOf": [{"items": [{}, {"type": "string"}]}], "additionalItems": {"type": "null"}},
        [[1]],
        [[1, "x"], [1, None]],
    ),
    (
        {"oneOf": [{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}], "$defs": {
            name: {"type": "object", "properties": {"kind": {"const": name}, name: {}}, "required": ["kind"]}
            for name in ("cat", "dog")
        }},
        [{"kind": "cat", "cat": 1}, {"kind": "dog"}],
        [{"kind": "cow"}, {}],
    ),
    ({"oneOf": [{"const": 1}, {"enum": [2, 3]}]}, [1, 2], [4]),
    ({"anyOf": [{"type": "null"}, {"type": "array", "items": {"$ref": "#"}}]}, [[[None]]], [1]),
    ({"description": "x", "default": 3, "x-own": {"not": 1}, "type": "null"}, [None], [3]),
    ({"unevaluatedProperties": {}, "then": False, "minContains": 2, "uniqueItems": False}, [[1, 1]], []),
    (True, [1, {"a": []}], []),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "can", "cannot"), ENFORCED, ids=lambda value: json.dumps(value)[:50])
def test_what_is_enforced(
    compiler: GrammarCompiler, tiny_tokenizer: Tokenizer, schema: Any, can: list[Any], cannot: list[Any]
) -> None:
    grammar = compiler.compile(json_schema(schema))
    for values, expected in ((can, True), (cannot, False)):
        for value in values:
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            assert reaches(grammar, tiny_tokenizer, text) is expected, text


@pytest.mark.parametrize("schema", [case[0] for case in ENFORCED], ids=lambda value: json.dumps(value)[:50])
def test_random_answers_are_valid(compiler: GrammarCompiler, tiny_tokenizer: Tokenizer, schema: Any) -> None:
    grammar = compiler.compile(json_schema(schema))
    old = "additionalItems" in json.dumps(schema) or 'exclusiveMaximum": true' in json.dumps(schema)
    validator_class = jsonschema.Draft4Validator if old else jsonschema.Draft202012Validator
    validator = validator_class(schema, format_checker=validator_class.FORMAT_CHECKER)
    finished = 0
    for seed in range(12):
        text = random_answer(grammar, tiny_tokenizer, random.Random(seed), max_tokens=300)
        if text is not None:
            finished += 1
            validator.validate(json.loads(text))
    assert finished


def test_a_key_has_one_spelling(compiler: GrammarCompiler, tiny_tokenizer: Tokenizer) -> None:
    grammar = compiler.compile(json_schema({"properties": {"a": {"type": "integer"}}}))
    assert not reaches(grammar, tiny_tokenizer, '{"\\u0061":"x"}')
    assert not reaches(grammar, tiny_tokenizer, '{"a":1,"a":"x"}')


def test_a_schema_is_not_changed_and_options_in_it_are_ignored() -> None:
    schema = {"x-guidance": {"whitespace_flexible": True}, "oneOf": [{"type": "null"}], "title": "x"}
    before = json.dumps(schema)
    assert enforceable(schema).schema == {"anyOf": [{"type": "null"}]}
    assert json.dumps(schema) == before


def test_hostile_sizes_are_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(MAX_DEPTH + 1):
        deep = {"items": deep}
    endless: list[Any] = []
    for _ in range(100_000):
        endless = [endless]
    wide = {"anyOf": [{"const": number} for number in range(30_000)]}
    for schema in (deep, {"default": endless}, wide, {"description": "x" * (1 << 20)}):
        with pytest.raises(SchemaError) as caught:
            enforceable(schema, param="schema")
        assert caught.value.status == 400


@pytest.mark.parametrize("schema", [False, {"allOf": [False]}, {"type": "string", "const": 1}, {"$ref": "#"}])
def test_a_schema_nothing_satisfies_is_refused(compiler: GrammarCompiler, schema: Any) -> None:
    with pytest.raises(InvalidRequestError):
        compiler.compile(json_schema(schema, param="x"))


def test_alternatives_that_may_both_match_are_refused_in_our_words(compiler: GrammarCompiler) -> None:
    both = {"oneOf": [{"type": "string", "pattern": "^a"}, {"type": "string", "pattern": "b$"}]}
    with pytest.raises(InvalidRequestError, match="two of its options") as refused:
        compiler.compile_schema({"properties": {"a": both}}, strict=True, param="schema")
    assert "anyOf" in refused.value.message
    assert "coerce" not in refused.value.message
    assert refused.value.param == "schema.properties.a.oneOf"


@pytest.mark.parametrize(
    "schema",
    [
        _NODE,
        {**_NODE, "type": "object", "properties": {"a": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}},
        {**_NODE, "type": "object", "properties": {"a": {"type": "array", "items": {"$ref": "#"}}}},
        {**_NODE, "type": "object", "required": []},
    ],
)
def test_references_that_may_end_are_followed(schema: Any) -> None:
    assert enforceable(schema).dropped == ()


def test_not_strict_enforces_what_it_can(compiler: GrammarCompiler, tiny_tokenizer: Tokenizer) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "format": "phone"}, "b": {"oneOf": [{}, {"type": "null"}]}},
        "required": ["a"],
        "additionalProperties": False,
    }
    mask, dropped = compiler.compile_schema(schema, strict=False, param="s")
    assert dropped == ("s.properties.a.format", "s.properties.b.oneOf")
    assert reaches(mask, tiny_tokenizer, '{"a":"x","b":1}')
    assert not reaches(mask, tiny_tokenizer, '{"a":1}')
    mask, dropped = compiler.compile_schema({"allOf": [False]}, strict=False, param="s")
    assert dropped == ("s",)
    assert reaches(mask, tiny_tokenizer, '{"any":1}')
