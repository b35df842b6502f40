"""The body that adds a message to a thread.

(https://platform.openai.com/docs/api-reference/messages/createMessage)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pennyweight.answers.field_tables import FieldTables
from pennyweight.answers.fields import Field, OneOf
from pennyweight.history.assistants.attachments import Attachments
from pennyweight.history.assistants.message_content import MessageContent, content_object
from pennyweight.history.metadata import METADATA
from pennyweight.store.identifiers import new_id
from pennyweight.store.thread_messages import ThreadMessage

if TYPE_CHECKING:
    from collections.abc import Mapping

CREATE_MESSAGE: Final = FieldTables(
    honoured=(
        Field(name="role", kind=OneOf(("user", "assistant")), doc="Who speaks."),
        Field(name="content", kind=MessageContent(), doc="A text, or parts of text."),
        Field(
            name="attachments",
            kind=Attachments(),
            doc="Files for `file_search`: they are put into the thread's vector store.",
        ),
        METADATA,
    ),
    advisory=(),
    neutral=(),
    required=("role", "content"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """Where and when a message is written; `now` in seconds since 1970."""

    thread_id: str
    now: int


def person_message(values: Mapping[str, Any], writing: Writing) -> ThreadMessage:
    """A message as a person gives it; `values` were read by `CREATE_MESSAGE`."""
    return ThreadMessage(
        id=new_id("msg_"),
        thread_id=writing.thread_id,
        run_id=None,
        metadata=values.get("metadata", {}),
        body={
            "role": values["role"],
            "content": content_object(values["content"]),
            "attachments": values.get("attachments", []),
        },
        created_at=writing.now,
    )
