"""Reading one value of a request: each kind checks type and range and describes itself as JSON Schema.

The same objects check bodies, Python keyword arguments and document the HTTP interface, so the three cannot
differ. Errors carry OpenAI's `param` and `code`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Protocol

from pennyweight.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

_LONGEST_SHOWN_BITS = 64
_MOST_NAMED = 16


class ParameterError(InvalidRequestError):
    """One field that cannot be honoured as given."""

    def __init__(self, message: str, *, param: str, code: str) -> None:
        super().__init__(message, param=param)
        self.code = code


class Kind(Protocol):
    """Checks a value and returns it as the program uses it."""

    def read(self, value: object, param: str) -> Any: ...

    @property
    def schema(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a request: honoured, or (`advisory`) accepted because it asks nothing of the answer."""

    name: str
    kind: Kind
    doc: str
    advisory: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        return {**self.kind.schema, "description": self.doc}


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A finite number from `low` to `high`."""

    low: float
    high: float

    def read(self, value: object, param: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong_type(param, "a number", value)
        # Not for an int: one of 400 digits has no float to ask about.
        if isinstance(value, float) and not math.isfinite(value):
            message = f"Invalid value for '{param}': expected a finite number, but got {value}."
            raise ParameterError(message, param=param, code="invalid_value")
        _within(param, value, self.low, self.high)
        return float(value)

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True, kw_only=True)
class Integer:
    """A whole number from `low` to `high`."""

    low: int
    high: int = 2**31 - 1

    def read(self, value: object, param: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(param, "an integer", value)
        _within(param, value, self.low, self.high)
        return value

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True)
class Flag:
    """true or false."""

    def read(self, value: object, param: str) -> bool:
        if not isinstance(value, bool):
            raise wrong_type(param, "a boolean", value)
        return value

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Text that can be written as UTF-8 (JSON can spell halves of surrogate pairs, which cannot)."""

    empty: bool = True

    def read(self, value: object, param: str) -> str:
        if not isinstance(value, str):
            raise wrong_type(param, "a string", value)
        try:
            value.encode()
        except UnicodeEncodeError as error:
            message = (
                f"'{param}' has half a surrogate pair at character {error.start}; send whole characters."
            )
            raise ParameterError(message, param=param, code="invalid_value") from error
        if not value and not self.empty:
            raise ParameterError(f"'{param}' is empty.", param=param, code="invalid_value")
        return value

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOf:
    """A list of `low` to `high` values of one kind; with `single`, also one such value alone."""

    item: Kind
    low: int = 0
    high: int = 2**31 - 1
    single: bool = False

    def read(self, value: object, param: str) -> tuple[Any, ...]:
        if self.single and not isinstance(value, list | tuple):
            return (self.item.read(value, param),)
        if not isinstance(value, list | tuple):
            raise wrong_type(param, "an array", value)
        if not self.low <= len(value) <= self.high:
            message = f"'{param}' has {len(value)} elements; it may have {self.low} to {self.high}."
            code = "array_above_max_length" if len(value) > self.high else "empty_array"
            raise ParameterError(message, param=param, code=code)
        return tuple(self.item.read(item, f"{param}[{index}]") for index, item in enumerate(value))

    @property
    def schema(self) -> dict[str, Any]:
        many: dict[str, Any] = {"type": "array", "items": self.item.schema, "minItems": self.low}
        if self.high < 2**31 - 1:
            many["maxItems"] = self.high
        return {"anyOf": [self.item.schema, many]} if self.single else many


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMap:
    """Metadata: an object of `high` texts at most, within OpenAI's lengths, in characters."""

    high: int = 16
    longest_key: int = 64
    longest_value: int = 512

    def read(self, value: object, param: str) -> dict[str, str]:
        if not isinstance(value, dict):
            raise wrong_type(param, "an object", value)
        if len(value) > self.high:
            message = f"'{param}' has {len(value)} entries; it may have {self.high}."
            raise ParameterError(message, param=param, code="object_above_max_properties")
        return {self._key(key, param): self._value(item, f"{param}.{key}") for key, item in value.items()}

    def _key(self, key: str, param: str) -> str:
        Text().read(key, param)
        if len(key) > self.longest_key:
            named = f"'{param}' has the key '{key:.64}...' of {len(key)} characters"
            message = f"{named}; it may have {self.longest_key}."
            raise ParameterError(message, param=param, code="property_name_above_max_length")
        return key

    def _value(self, value: object, param: str) -> str:
        text = Text().read(value, param)
        if len(text) > self.longest_value:
            message = f"'{param}' has {len(text)} characters; it may have {self.longest_value}."
            raise ParameterError(message, param=param, code="string_above_max_length")
        return text

    @property
    def schema(self) -> dict[str, Any]:
        text = {"type": "string", "maxLength": self.longest_value}
        names = {"maxLength": self.longest_key}
        return {
            "type": "object",
            "additionalProperties": text,
            "propertyNames": names,
            "maxProperties": self.high,
        }


@dataclass(frozen=True, slots=True)
class TokenBias:
    """Token ids (as strings in JSON, as ints in Python) to biases from -100 to 100."""

    def read(self, value: object, param: str) -> dict[int, float]:
        if not isinstance(value, dict):
            raise wrong_type(param, "an object of token ids to numbers", value)
        biases = {}
        for key, bias in value.items():
            text = str(key)
            if not (text.isascii() and text.isdigit() and len(text) < 10):
                message = f"'{param}' has the key '{text}'; its keys are token ids such as '123'."
                raise ParameterError(message, param=param, code="invalid_value")
            biases[int(text)] = Number(low=-100, high=100).read(bias, f"{param}.{text}")
        return biases

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": Number(low=-100, high=100).schema}


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of several texts."""

    values: tuple[str, ...]

    def read(self, value: object, param: str) -> str:
        if not isinstance(value, str):
            raise wrong_type(param, "a string", value)
        if value not in self.values:
            message = f"Invalid value for '{param}': {value!r:.80}; it may be {', '.join(self.values)}."
            raise ParameterError(message, param=param, code="invalid_value")
        return value

    @property
    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.values)}


@dataclass(frozen=True, slots=True)
class AnyObject:
    """A JSON object whose keys are not ours to know."""

    def read(self, value: object, param: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong_type(param, "an object", value)
        return value

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "object"}


@dataclass(frozen=True, slots=True)
class Compound:
    """A value whose reader lives elsewhere, because it reports what it drops; passed on as it is."""

    schema: dict[str, Any]

    def read(self, value: object, _: str) -> Any:
        return value


def wrong_type(param: str, expected: str, value: object) -> ParameterError:
    """The error for a value of another JSON type than the field has."""
    names = {str: "a string", bool: "a boolean", int: "an integer", float: "a number", list: "an array"}
    got = "null" if value is None else names.get(type(value), "an object")
    message = f"Invalid type for '{param}': expected {expected}, but got {got} instead."
    return ParameterError(message, param=param, code="invalid_type")


def missing(param: str) -> ParameterError:
    """The error for a field that must be there."""
    message = f"Missing required parameter: '{param}'."
    return ParameterError(message, param=param, code="missing_required_parameter")


def drop_unknown(value: Mapping[str, object], known: Collection[str], path: str, ignored: set[str]) -> None:
    """Report the keys of a nested object that nobody reads; null is absent."""
    ignored.update(f"{path}.{key}" for key, item in value.items() if key not in known and item is not None)


def unknown(param: str, known: Iterable[str]) -> ParameterError:
    """The error for a field nobody knows, with the nearest one that exists."""
    message = f"Unknown parameter: '{param:.200}'.{_nearest(param, list(known))}"
    return ParameterError(message, param=param[:200], code="unknown_parameter")


def all_unknown(
    params: Sequence[str], known: Iterable[str], elsewhere: Mapping[str, str] | None = None
) -> ParameterError:
    """The error for fields nobody knows, of which there is at least one; it names as many as one can read.

    `elsewhere` are names that other interfaces give to fields known here.
    """
    named, names = params[:_MOST_NAMED], list(known)
    meant = {param: (elsewhere or {}).get(param) for param in named}
    hints = dict.fromkeys(
        f" Here it is called '{meant[param]}'." if meant[param] else _nearest(param, names) for param in named
    )
    told = ", ".join(f"'{param:.80}'" for param in named)
    more = f" and {len(params) - _MOST_NAMED} more" if len(params) > _MOST_NAMED else ""
    many = "s" if len(params) > 1 else ""
    message = f"Unknown parameter{many}: {told}{more}.{''.join(hints)}"
    return ParameterError(message, param=params[0][:80], code="unknown_parameter")


def _nearest(param: str, known: list[str]) -> str:
    close = get_close_matches(param.rsplit(".", 1)[-1][:80], known, n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


def _within(param: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        kind = "integer" if isinstance(value, int) else "decimal"
        side = "below_min" if value < low else "above_max"
        message = f"Invalid '{param}': {_shown(value)} is out of range; it must be from {low} to {high}."
        raise ParameterError(message, param=param, code=f"{kind}_{side}_value")


def _shown(value: float) -> str:
    """The number, or of a very long one its length: Python refuses to spell more than 4300 digits."""
    if isinstance(value, int) and value.bit_length() > _LONGEST_SHOWN_BITS:
        return f"an integer of about {round(value.bit_length() * math.log10(2))} digits"
    return str(value)
