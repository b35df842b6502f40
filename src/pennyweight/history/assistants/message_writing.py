"""Messages of people go to the end of a thread, the files beside them into its vector store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pennyweight.history.assistants.attachments import attach
from pennyweight.history.assistants.message_fields import Writing, person_message
from pennyweight.store.thread_messages import ThreadMessage, ThreadMessages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection


def write_messages(
    connection: Connection,
    project_id: str,
    thread_id: str,
    messages: Sequence[Mapping[str, Any]],
    *,
    now: int,
) -> list[ThreadMessage]:
    """`messages` were read by `CREATE_MESSAGE`. Raises NotFoundError for a file that is not there."""
    writing = Writing(thread_id=thread_id, now=now)
    new = [person_message(values, writing) for values in messages]
    ThreadMessages().append(connection, project_id, new)
    file_ids = [item["file_id"] for values in messages for item in values.get("attachments", ())]
    attach(connection, project_id, thread_id, file_ids, now=now)
    return new
