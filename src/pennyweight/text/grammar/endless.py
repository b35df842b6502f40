"""Schemas that only values without end satisfy, as an object that must hold one of its own kind.

llguidance compiles them and gives up in the middle of the answer; here they are found before it begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_MAX_ROUNDS = 8  # of thousands of schemas measured none needs more than five
_CONTAINERS = ("object", "array")


class Endings:
    """Which of `schemas` some finite value satisfies; `resolve` follows a reference."""

    def __init__(self, schemas: Sequence[dict[str, Any]], resolve: Callable[[Any], Any]) -> None:
        self._resolve = resolve
        self._open = {id(schema) for schema in schemas}  # not shown to end yet
        for _ in range(_MAX_ROUNDS):
            # What is below was visited later: from the back one round shows most.
            proven = 0
            for schema in reversed(schemas):
                if id(schema) in self._open and self._ends(schema):
                    self._open.discard(id(schema))
                    proven += 1
            if not proven:
                return
        self._open.clear()  # nothing is refused without proof

    def endless(self, schema: Mapping[str, Any]) -> bool:
        """Whether an answer that follows `schema` may have to go on for ever."""
        if id(schema) in self._open:
            return True
        return not all(self._all_end(_needed(schema, kind)) for kind in _containers(schema))

    def _ends(self, schema: Mapping[str, Any]) -> bool:
        if "const" in schema or "enum" in schema:
            return True
        options = schema.get("anyOf", schema.get("oneOf"))
        if options and not any(map(self._known, options)):
            return False
        if "$ref" in schema and not self._known(self._resolve(schema["$ref"])):
            return False
        if not self._all_end(schema.get("allOf", ())):
            return False
        kinds = _containers(schema)
        scalar = len(kinds) < len(_types(schema))
        return scalar or any(self._all_end(_needed(schema, kind)) for kind in kinds)

    def _all_end(self, schemas: Sequence[Any]) -> bool:
        return all(map(self._known, schemas))

    def _known(self, schema: Any) -> bool:
        return not isinstance(schema, dict) or id(schema) not in self._open


def _types(schema: Mapping[str, Any]) -> Sequence[str]:
    named = schema.get("type", (*_CONTAINERS, "null"))
    return (named,) if isinstance(named, str) else named


def _containers(schema: Mapping[str, Any]) -> list[str]:
    if "const" in schema or "enum" in schema:
        return []
    return [kind for kind in _CONTAINERS if kind in _types(schema)]


def _needed(schema: Mapping[str, Any], kind: str) -> list[Any]:
    """The schemas of what every value of `kind` holds."""
    if kind == "object":
        named = schema.get("properties", {})
        others = True if "patternProperties" in schema else schema.get("additionalProperties", True)
        return [named.get(name, others) for name in schema.get("required", ())]
    first, least = schema.get("prefixItems", []), schema.get("minItems", 0)
    return [*first[:least], *([schema.get("items", True)] if least > len(first) else [])]
