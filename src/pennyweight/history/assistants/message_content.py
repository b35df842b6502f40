"""The content of a thread's message: a text, or parts of text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pennyweight.answers.fields import ParameterError, Text, missing, unknown, wrong_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TEXT: Final = Text(empty=False)
_PART: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "text"],
    "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
}


@dataclass(frozen=True, slots=True)
class MessageContent:
    """A text for each part."""

    def read(self, value: object, param: str) -> tuple[str, ...]:
        if isinstance(value, str):
            return (_TEXT.read(value, param),)
        if not isinstance(value, list | tuple):
            raise wrong_type(param, "a string or an array of parts", value)
        if not value:
            raise ParameterError(f"'{param}' is an empty array.", param=param, code="empty_array")
        return tuple(_part(item, f"{param}[{index}]") for index, item in enumerate(value))

    @property
    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": _PART}]}


def content_object(
    texts: tuple[str, ...], annotations: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """As messages show it; `annotations` are of all the texts."""
    return [{"type": "text", "text": {"value": text, "annotations": [*annotations]}} for text in texts]


def _part(value: object, param: str) -> str:
    if not isinstance(value, dict):
        raise wrong_type(param, "an object", value)
    kind = value.get("type")
    if kind is None:
        raise missing(f"{param}.type")
    if kind != "text":
        message = f"'{param}.type' is {kind!r:.80}: this model takes text."
        raise ParameterError(message, param=f"{param}.type", code="unsupported_value")
    for name in value:
        if name not in ("type", "text"):
            raise unknown(f"{param}.{name}", ("type", "text"))
    if value.get("text") is None:
        raise missing(f"{param}.text")
    return _TEXT.read(value["text"], f"{param}.text")
