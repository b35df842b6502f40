"""`response_format` of assistants and runs: as in chat completions, or `auto`, which is text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pennyweight.answers.format_fields import FORMAT_SCHEMA, read_response_format
from pennyweight.history.assistants.plain_json import check_plain


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """The format as it came, after a look at it."""

    def read(self, value: object, param: str) -> Any:
        if value != "auto":
            read_response_format(value, ignored=set())
            check_plain(value, param)
        return value

    @property
    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"const": "auto"}, FORMAT_SCHEMA]}
