"""All top-level fields of one endpoint: honoured, advisory, or taken at neutral values only.

What is in none of the three is unknown and refused; `null` is absent. `docs/api.md` and the OpenAPI document
are made from these tables.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pennyweight.answers.fields import Field, Flag, ParameterError, all_unknown, missing, unknown, wrong_type

if TYPE_CHECKING:
    from collections.abc import Mapping

STREAM_OPTIONS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"include_usage": {"type": "boolean"}, "include_obfuscation": {"type": "boolean"}},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Neutral:
    """A field of OpenAI's whose `values` change nothing here; others are refused because of `reason`."""

    name: str
    values: tuple[object, ...]
    reason: str

    def accepts(self, value: object) -> bool:
        return any(type(value) is type(item) and value == item for item in self.values)

    @property
    def schema(self) -> dict[str, Any]:
        return {
            "enum": [*self.values, None],
            "description": f"Other values are refused: {self.reason}.",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldTables:
    """The fields of one endpoint. Those in `required` must be there and not null.

    `elsewhere` are names other interfaces have for some of them, for who mixes them up.
    """

    honoured: tuple[Field, ...]
    advisory: tuple[Field, ...]
    neutral: tuple[Neutral, ...]
    required: tuple[str, ...]
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def read(self, body: Mapping[str, object]) -> dict[str, Any]:
        """The fields given, each checked by its kind.

        ParameterError names those that are unknown, else the first that is wrong.
        """
        known = {item.name: item for item in (*self.honoured, *self.advisory)}
        neutral = {item.name: item for item in self.neutral}
        strangers = [name for name in body if name not in known and name not in neutral]
        if strangers:
            raise all_unknown(strangers, [*known, *neutral], self.elsewhere)
        values = {}
        for name, value in body.items():
            if value is None:
                continue
            if name in known:
                values[name] = known[name].kind.read(value, name)
            elif not neutral[name].accepts(value):
                message = f"'{name}' is not supported: {neutral[name].reason}."
                raise ParameterError(message, param=name, code="unsupported_parameter")
        for name in self.required:
            if name not in values:
                raise missing(name)
        return values

    @property
    def schema(self) -> dict[str, Any]:
        """The body as JSON Schema, for the HTTP interface's own description."""
        return {
            "type": "object",
            "required": list(self.required),
            "properties": {
                **{item.name: item.schema for item in (*self.honoured, *self.advisory)},
                **{item.name: item.schema for item in self.neutral},
            },
            "additionalProperties": False,
        }


def read_include_usage(value: object, *, stream: bool) -> bool:
    """The `stream_options` of chat and plain completions."""
    if value is None:
        return False
    if not isinstance(value, dict):
        raise wrong_type("stream_options", "an object", value)
    if not stream:
        message = "'stream_options' is only allowed when 'stream' is true."
        raise ParameterError(message, param="stream_options", code="invalid_parameter_combination")
    flags = {"include_usage": False, "include_obfuscation": False}  # the second asks nothing of the answer
    for key, item in value.items():
        if key not in flags:
            raise unknown(f"stream_options.{key}", flags)
        flags[key] = False if item is None else Flag().read(item, f"stream_options.{key}")
    return flags["include_usage"]
