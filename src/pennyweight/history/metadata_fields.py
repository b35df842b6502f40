"""The body that labels something stored: its metadata, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pennyweight.answers.chat_fields import METADATA
from pennyweight.answers.field_tables import FieldTables
from pennyweight.answers.fields import Field, missing

if TYPE_CHECKING:
    from collections.abc import Mapping

METADATA_FIELDS: Final = FieldTables(
    honoured=(
        Field(name="metadata", kind=METADATA, doc="Replaces what there was; `null` leaves nothing of it."),
    ),
    advisory=(),
    neutral=(),
    required=(),
)


def read_label(body: Mapping[str, object]) -> dict[str, str]:
    """The metadata of `body`. Raises ParameterError."""
    values = METADATA_FIELDS.read(body)
    if "metadata" not in body:
        raise missing("metadata")
    metadata: dict[str, str] = values.get("metadata", {})
    return metadata
