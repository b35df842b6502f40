"""A new thread, with the messages it begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pennyweight.history.assistants.message_writing import write_messages
from pennyweight.history.assistants.new_stores import settled
from pennyweight.store.threads import Thread, Threads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection


def create_thread(connection: Connection, project_id: str, values: Mapping[str, Any], now: int) -> Thread:
    """`values` were read by `CREATE_THREAD`. Raises NotFoundError for files and stores it names."""
    threads = Threads()
    resources = settled(connection, project_id, values.get("tool_resources", {}), now=now)
    made = threads.create(
        connection, project_id, metadata=values.get("metadata", {}), tool_resources=resources, now=now
    )
    write_messages(connection, project_id, made.id, values.get("messages", ()), now=now)
    return threads.get(connection, project_id, made.id)
