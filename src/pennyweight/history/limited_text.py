"""Text of limited length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pennyweight.answers.fields import ParameterError, Text


@dataclass(frozen=True, slots=True)
class LimitedText:
    """At most `most` characters."""

    most: int

    def read(self, value: object, param: str) -> str:
        text = Text().read(value, param)
        if len(text) > self.most:
            message = f"'{param}' has {len(text)} characters; it may have {self.most}."
            raise ParameterError(message, param=param, code="string_above_max_length")
        return text

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "maxLength": self.most}
