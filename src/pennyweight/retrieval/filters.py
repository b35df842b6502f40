"""Filters over the attributes of files: `{"type": "eq", "key": ..., "value": ...}`, joined by `and` and `or`.

An attribute that is missing, or of another type than the value, is neither equal nor more nor less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from pennyweight.answers.fields import ParameterError, missing, unknown, wrong_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.store.vector_store import Attributes, AttributeValue

Comparison = Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
_COMPARISONS: Final[tuple[Comparison, ...]] = ("eq", "ne", "gt", "gte", "lt", "lte", "in", "nin")
_LISTS: Final = ("in", "nin")
_MAX_DEPTH: Final = 8
_MAX_PARTS: Final = 100

FILTER_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type"],
    "properties": {
        "type": {"enum": [*_COMPARISONS, "and", "or"]},
        "key": {"type": "string"},
        "value": {},
        "filters": {"type": "array", "items": {"type": "object"}},
    },
}


class Filter(Protocol):
    """Whether a file is wanted."""

    def matches(self, attributes: Attributes) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """One attribute against a value; `in` and `nin` against several."""

    type: Comparison
    key: str
    value: AttributeValue | tuple[AttributeValue, ...]

    def matches(self, attributes: Attributes) -> bool:
        found = attributes.get(self.key)
        if isinstance(self.value, tuple):
            inside = any(_equal(found, one) for one in self.value)
            return inside if self.type == "in" else not inside
        match self.type:
            case "eq":
                return _equal(found, self.value)
            case "ne":
                return not _equal(found, self.value)
        if found is None or isinstance(found, str) is not isinstance(self.value, str):
            return False
        order = _order(found, self.value)
        return {"gt": order > 0, "gte": order >= 0, "lt": order < 0, "lte": order <= 0}[self.type]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compound:
    """All of several filters, or any."""

    type: Literal["and", "or"]
    filters: tuple[Filter, ...]

    def matches(self, attributes: Attributes) -> bool:
        found = (one.matches(attributes) for one in self.filters)
        return all(found) if self.type == "and" else any(found)


def read_filter(value: object, param: str = "filters", *, depth: int = 0) -> Filter:
    """Raises ParameterError naming what is wrong."""
    if not isinstance(value, dict):
        raise wrong_type(param, "an object", value)
    if depth > _MAX_DEPTH:
        raise _invalid(f"'{param}' is nested deeper than {_MAX_DEPTH} levels.", param)
    kind = value.get("type")
    if kind in ("and", "or"):
        _only(value, ("type", "filters"), param)
        parts = value.get("filters")
        if not isinstance(parts, list | tuple):
            raise (
                missing(f"{param}.filters")
                if parts is None
                else wrong_type(f"{param}.filters", "an array", parts)
            )
        if not 1 <= len(parts) <= _MAX_PARTS:
            message = f"'{param}.filters' has {len(parts)} elements; it may have 1 to {_MAX_PARTS}."
            raise _invalid(message, f"{param}.filters")
        inner = (
            read_filter(part, f"{param}.filters[{index}]", depth=depth + 1)
            for index, part in enumerate(parts)
        )
        return Compound(type="and" if kind == "and" else "or", filters=tuple(inner))
    for name in _COMPARISONS:
        if kind == name:
            return _comparison(name, value, param)
    if kind is None:
        raise missing(f"{param}.type")
    raise _invalid(
        f"'{param}.type' is {kind!r:.80}; it may be {', '.join(_COMPARISONS)}, and or or.", f"{param}.type"
    )


def _comparison(kind: Comparison, value: Mapping[str, object], param: str) -> Compare:
    _only(value, ("type", "key", "value"), param)
    key, given = value.get("key"), value.get("value")
    if not isinstance(key, str):
        raise missing(f"{param}.key") if key is None else wrong_type(f"{param}.key", "a string", key)
    if given is None:
        raise missing(f"{param}.value")
    if kind not in _LISTS:
        return Compare(type=kind, key=key, value=_scalar(given, f"{param}.value"))
    if not isinstance(given, list | tuple):
        raise wrong_type(f"{param}.value", "an array", given)
    if len(given) > _MAX_PARTS:
        message = f"'{param}.value' has {len(given)} elements; it may have {_MAX_PARTS}."
        raise _invalid(message, f"{param}.value")
    values = tuple(_scalar(one, f"{param}.value[{index}]") for index, one in enumerate(given))
    return Compare(type=kind, key=key, value=values)


def _scalar(value: object, param: str) -> AttributeValue:
    if isinstance(value, str | bool | int | float):
        return value
    raise wrong_type(param, "a string, a number or a boolean", value)


def _only(value: Mapping[str, object], known: tuple[str, ...], param: str) -> None:
    for name in value:
        if name not in known:
            raise unknown(f"{param}.{name}", [f"{param}.{one}" for one in known])


def _equal(found: AttributeValue | None, value: AttributeValue) -> bool:
    """true is not 1."""
    return isinstance(found, bool) is isinstance(value, bool) and found == value


def _order(found: Any, value: Any) -> int:
    return int(found > value) - int(found < value)


def _invalid(message: str, param: str) -> ParameterError:
    return ParameterError(message, param=param, code="invalid_value")
