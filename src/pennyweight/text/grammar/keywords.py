"""The keywords of JSON Schema, sorted by what becomes of them. Those not named here are annotations."""

from __future__ import annotations

from typing import Any

TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})

ANNOTATIONS = frozenset(
    {
        "title",
        "description",
        "default",
        "example",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
        "$comment",
        "$schema",
        "$vocabulary",
        "$anchor",
        "$dynamicAnchor",
        "$recursiveAnchor",
        "x-guidance",
    }
)
"""Left out of the grammar: they forbid nothing."""

REFUSED = {
    "not": "a grammar cannot say what must not match",
    "if": "a grammar cannot make one part depend on whether another matches",
    "uniqueItems": "a grammar cannot compare items",
    "contains": "a grammar cannot look for an item among others",
    "propertyNames": "names of further properties are not checked; use `patternProperties`",
    "unevaluatedProperties": "it depends on which subschemas matched; use `additionalProperties`",
    "unevaluatedItems": "it depends on which subschemas matched; use `items` beside `prefixItems`",
    "dependencies": "a grammar cannot make one property depend on another",
    "dependentRequired": "a grammar cannot make one property depend on another",
    "dependentSchemas": "a grammar cannot make one property depend on another",
    "$dynamicRef": "only `$ref` to a place in this schema is followed",
    "$recursiveRef": "only `$ref` to a place in this schema is followed",
    "contentEncoding": "a grammar cannot look into encoded text",
    "contentMediaType": "a grammar cannot look into text of another format",
    "contentSchema": "a grammar cannot look into encoded text",
    "divisibleBy": "it is a keyword of a draft that has been replaced; use `multipleOf`",
    "disallow": "it is a keyword of a draft that has been replaced",
    "extends": "it is a keyword of a draft that has been replaced; use `allOf`",
}
"""Keywords that mean something and cannot be enforced, and why."""

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "uniqueItems": (False,),
    "propertyNames": (True, {}),
    "unevaluatedProperties": (True, {}),
    "unevaluatedItems": (True, {}),
    "dependencies": ({},),
    "dependentRequired": ({},),
    "dependentSchemas": ({},),
}
"""Values with which a refused keyword says nothing."""

WITHOUT_PARTNER = {"then": "if", "else": "if", "minContains": "contains", "maxContains": "contains"}
"""Keywords that say nothing beside the absence of another."""

ONE_SCHEMA = ("items", "additionalProperties")
LIST_OF_SCHEMAS = ("allOf", "anyOf", "oneOf", "prefixItems")
MAP_OF_SCHEMAS = ("properties", "patternProperties")
COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
