"""`metadata` of what is created, and of an update that changes nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pennyweight.answers.chat_fields import METADATA as METADATA_KIND
from pennyweight.answers.fields import Field
from pennyweight.history.metadata_fields import METADATA_FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping

METADATA: Final = Field(
    name="metadata",
    kind=METADATA_KIND,
    doc="Up to 16 texts of 512 characters under names of 64; kept and told again.",
)


def read_metadata_change(body: Mapping[str, object]) -> dict[str, str] | None:
    """None leaves the metadata as it is, as OpenAI reads a body without it. Raises ParameterError."""
    given: dict[str, str] = METADATA_FIELDS.read(body).get("metadata", {})
    return given if "metadata" in body else None
