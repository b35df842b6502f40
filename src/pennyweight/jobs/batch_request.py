"""The body of `POST /v1/batches`: fields are honoured or refused by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pennyweight.answers.field_tables import FieldTables
from pennyweight.answers.fields import (
    Field,
    Integer,
    OneOf,
    ParameterError,
    Text,
    TextMap,
    unknown,
    wrong_type,
)
from pennyweight.jobs.batch_line import ENDPOINTS

WINDOW_S: Final = 24 * 3600
"""The one completion window, `24h`."""
_SECONDS: Final = Integer(low=3600, high=30 * 24 * 3600)


@dataclass(frozen=True, slots=True)
class ExpiresAfter:
    """`{"anchor": "created_at", "seconds": ...}`; its value here are the seconds."""

    def read(self, value: object, param: str) -> int:
        if not isinstance(value, dict):
            raise wrong_type(param, "an object", value)
        strange = sorted(set(value) - {"anchor", "seconds"})
        if strange:
            raise unknown(f"{param}.{strange[0]}", (f"{param}.anchor", f"{param}.seconds"))
        if value.get("anchor") != "created_at":
            message = f"'{param}.anchor' must be 'created_at'."
            raise ParameterError(message, param=f"{param}.anchor", code="invalid_value")
        return _SECONDS.read(value.get("seconds"), f"{param}.seconds")

    @property
    def schema(self) -> dict[str, Any]:
        properties = {"anchor": {"enum": ["created_at"]}, "seconds": _SECONDS.schema}
        return {"type": "object", "properties": properties, "required": ["anchor", "seconds"]}


BATCH_FIELDS: Final = FieldTables(
    honoured=(
        Field(name="input_file_id", kind=Text(empty=False), doc="A file uploaded for the purpose `batch`."),
        Field(name="endpoint", kind=OneOf(ENDPOINTS), doc="What every line asks."),
        Field(name="completion_window", kind=OneOf(("24h",)), doc="What is not done by then expires."),
        Field(name="metadata", kind=TextMap(), doc="Kept and told again."),
        Field(name="output_expires_after", kind=ExpiresAfter(), doc="When the files it writes are deleted."),
    ),
    advisory=(),
    neutral=(),
    required=("input_file_id", "endpoint", "completion_window"),
)
