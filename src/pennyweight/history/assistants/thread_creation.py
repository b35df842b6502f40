"""A new thread, with the messages it begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pennyweight.history.assistants.message_fields import Writing, person_message
from pennyweight.store.thread_messages import ThreadMessage, ThreadMessages
from pennyweight.store.threads import Thread, Threads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection


def create_thread(connection: Connection, project_id: str, values: Mapping[str, Any], now: int) -> Thread:
    """A thread with the messages it begins with; `values` were read by `CREATE_THREAD`."""
    thread = Threads().create(
        connection,
        project_id,
        metadata=values.get("metadata", {}),
        tool_resources=values.get("tool_resources", {}),
        now=now,
    )
    ThreadMessages().append(
        connection, project_id, written_messages(values.get("messages", ()), thread.id, now)
    )
    return thread


def written_messages(messages: Sequence[Mapping[str, Any]], thread_id: str, now: int) -> list[ThreadMessage]:
    """Messages of people; `messages` were read by `CREATE_MESSAGE`."""
    writing = Writing(thread_id=thread_id, now=now)
    return [person_message(values, writing) for values in messages]
