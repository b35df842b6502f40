"""When is `oneOf` no more than `anyOf`? When no value is valid against two of its options.

Proven from types, from constants, and from properties one option demands and another gives other values or
does not allow. Not proven means not known; `allOf`, `$ref` and `anyOf` inside the options are followed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Resolve = Callable[[str], Any]

_TYPES = frozenset({"null", "boolean", "number", "string", "array", "object"})
_MAX_DEPTH = 6
_MAX_OPTIONS = 64
_MAX_STEPS = 40_000  # schemas looked at, each some 10 us


class Disjointness:
    """Proofs for the schemas of one document, with so much work for all of them together."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._steps = _MAX_STEPS

    def proven(self, options: Sequence[Any]) -> bool:
        """Whether no value is valid against two of `options`; False too where saying so takes too long."""
        if len(options) > _MAX_OPTIONS:
            return False
        pairs = ((first, second) for index, first in enumerate(options) for second in options[index + 1 :])
        return all(self._disjoint([first], [second], _MAX_DEPTH) for first, second in pairs)

    def _disjoint(self, first: list[Any], second: list[Any], depth: int) -> bool:
        """Whether no value is valid against all of `first` and all of `second`."""
        if depth == 0 or self._steps < 0:
            return False
        left, right = self._flat(first), self._flat(second)
        if left is None or right is None:
            return True
        self._steps -= len(left) + len(right)
        common = _types(left) & _types(right)
        if not common or _no_common_literal(left, right):
            return True
        if common == {"object"} and self._apart_as_objects(left, right, depth):
            return True
        return self._by_cases(left, right, depth) or self._by_cases(right, left, depth)

    def _flat(self, schemas: Sequence[Any], depth: int = _MAX_DEPTH) -> list[Mapping[str, Any]] | None:
        """Schemas and what they refer to, all to be met at once; None if one of them forbids everything."""
        flat: list[Mapping[str, Any]] = []
        for schema in schemas:
            if schema is False:
                return None
            if not isinstance(schema, dict):
                continue
            flat.append(schema)
            inner = list(schema.get("allOf", []))
            if "$ref" in schema:
                inner.append(self._resolve(schema["$ref"]))
            if inner and depth:
                more = self._flat(inner, depth - 1)
                if more is None:
                    return None
                flat += more
        return flat

    def _by_cases(self, left: list[Mapping[str, Any]], right: list[Mapping[str, Any]], depth: int) -> bool:
        """Whether one of `left` has options of which each is disjoint from `right`."""
        for schema in left:
            for keyword in ("anyOf", "oneOf"):
                options = schema.get(keyword, [])
                if options and all(self._disjoint([*left, option], right, depth - 1) for option in options):
                    return True
        return False

    def _apart_as_objects(
        self, left: list[Mapping[str, Any]], right: list[Mapping[str, Any]], depth: int
    ) -> bool:
        required = {name for schema in (*left, *right) for name in schema.get("required", [])}
        return any(
            self._disjoint(_property(left, name), _property(right, name), depth - 1)
            for name in sorted(required)
        )


def _property(schemas: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """What `schemas` say of property `name`; patterns are left out, which only weakens a proof."""
    found: list[Any] = []
    for schema in schemas:
        if name in schema.get("properties", {}):
            found.append(schema["properties"][name])
        elif "additionalProperties" in schema and not schema.get("patternProperties"):
            found.append(schema["additionalProperties"])
    return found


def _types(schemas: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """The types values may have; an integer is a number."""
    types = _TYPES
    for schema in schemas:
        if "type" in schema:
            named = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
            types &= {"number" if name == "integer" else name for name in named}
        literals = _literals(schema)
        if literals is not None:
            types &= {_type_of(json.loads(literal)) for literal in literals}
    return types


def _literals(schema: Mapping[str, Any]) -> frozenset[str] | None:
    """The values a schema lists, in one spelling each; None if it lists none."""
    if "const" in schema:
        return frozenset({_spelled(schema["const"])})
    return frozenset(map(_spelled, schema["enum"])) if "enum" in schema else None


def _no_common_literal(left: Sequence[Mapping[str, Any]], right: Sequence[Mapping[str, Any]]) -> bool:
    firsts = [values for values in map(_literals, left) if values is not None]
    seconds = [values for values in map(_literals, right) if values is not None]
    return any(not (first & second) for first in firsts for second in seconds)


def _spelled(value: Any) -> str:
    """Equal values are spelled alike: 1.0 is 1, keys are sorted."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def _type_of(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"
