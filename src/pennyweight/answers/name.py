"""What people call a thing of theirs: short, and the same text in every database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pennyweight.answers.fields import ParameterError, Text

MAX_NAME_CHARS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """At most `MAX_NAME_CHARS` characters, none of them NUL: PostgreSQL stores no text that has it."""

    empty: bool = True

    def read(self, value: object, param: str) -> str:
        text = Text(empty=self.empty).read(value, param)
        if len(text) > MAX_NAME_CHARS:
            message = f"'{param}' has {len(text)} characters; it may have {MAX_NAME_CHARS}."
            raise ParameterError(message, param=param, code="string_above_max_length")
        if "\0" in text:
            message = f"'{param}' has a NUL at character {text.index(chr(0))}; leave it out."
            raise ParameterError(message, param=param, code="invalid_value")
        return text

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "maxLength": MAX_NAME_CHARS}
