"""How many patterns one text must match at once, because schemas meet in an `allOf`.

Deciding whether any text matches them all takes time exponential in their number, which no fuel of the
compiler bounds: more than a dozen are refused.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pennyweight.text.grammar.references import PointerError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_PATTERNS_AT_ONCE = 12
_MAX_SCHEMAS = 20_000
_BESIDE = ("anyOf", "oneOf", "allOf")
_OF_ANY_KEY = ("additionalProperties", "unevaluatedProperties")
_OF_ITEMS = ("items", "additionalItems", "contains", "unevaluatedItems")


def patterns_at_once(schema: dict[str, Any], resolve: Callable[[Any], Any]) -> int:
    """The most patterns at one place below `schema`, its references followed; keys and items are places."""
    places: Counter[tuple[str, ...]] = Counter()
    seen: set[tuple[int, tuple[str, ...]]] = set()
    waiting: list[tuple[Any, tuple[str, ...]]] = [(schema, ())]
    while waiting and len(seen) < _MAX_SCHEMAS:
        item, place = waiting.pop()
        if not isinstance(item, dict) or (id(item), place) in seen or len(place) > 64:
            continue
        seen.add((id(item), place))
        if "pattern" in item:
            places[place] += 1
        waiting += _below(item, place, resolve)
    return max(places.values(), default=0)


def _below(
    item: dict[str, Any], place: tuple[str, ...], resolve: Callable[[Any], Any]
) -> list[tuple[Any, tuple[str, ...]]]:
    found: list[tuple[Any, tuple[str, ...]]] = []
    for keyword in _BESIDE:
        if isinstance(item.get(keyword), list):
            found += [(schema, place) for schema in item[keyword]]
    if "$ref" in item:
        with suppress(PointerError):  # told where the schema is checked
            found.append((resolve(item["$ref"]), place))
    if isinstance(item.get("properties"), dict):
        found += [(schema, (*place, key)) for key, schema in item["properties"].items()]
    if isinstance(item.get("patternProperties"), dict):
        found += [(schema, (*place, "*")) for schema in item["patternProperties"].values()]
    found += [(item[keyword], (*place, "*")) for keyword in _OF_ANY_KEY if keyword in item]
    found += [(item[keyword], (*place, "[]")) for keyword in _OF_ITEMS if keyword in item]
    return found
