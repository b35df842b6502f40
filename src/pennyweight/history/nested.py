"""An object with fields of its own inside a body: read by its own table, its errors told with its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pennyweight.answers.fields import ParameterError, wrong_type

if TYPE_CHECKING:
    from pennyweight.answers.field_tables import FieldTables


@dataclass(frozen=True, slots=True)
class Nested:
    """The values of `tables`, from an object that stands somewhere in a body."""

    tables: FieldTables

    def read(self, value: object, param: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong_type(param, "an object", value)
        try:
            return self.tables.read(value)
        except ParameterError as error:
            place = f"{param}.{error.param}"
            message = error.message.replace(f"'{error.param}'", f"'{place}'")
            raise ParameterError(message, param=place, code=error.code or "invalid_value") from error

    @property
    def schema(self) -> dict[str, Any]:
        return self.tables.schema
