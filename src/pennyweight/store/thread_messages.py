"""The repository of a thread's messages: items in their order, with what may change of them beside."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update

from pennyweight.errors import NotFoundError
from pennyweight.store.conversations import Conversations
from pennyweight.store.items import Item
from pennyweight.store.pages import page_by
from pennyweight.store.tables.conversations import conversation_items, items
from pennyweight.store.tables.threads import thread_messages as table
from pennyweight.store.text_map import read_text_map, write_text_map

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Row, Select

    from pennyweight.store.pages import Cursor, Page

ITEM_TYPE = "thread.message"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadMessage:
    """`body` is the wire's message without what is here; the time is in seconds since 1970."""

    id: str
    thread_id: str
    run_id: str | None
    metadata: Mapping[str, str]
    body: Mapping[str, Any]
    created_at: int


class ThreadMessages:
    """Callers have looked up the thread in its project."""

    def __init__(self) -> None:
        self._conversations = Conversations()

    def append(self, connection: Connection, project_id: str, new: Sequence[ThreadMessage]) -> None:
        """Store messages of one thread at its end."""
        if not new:
            return
        whole = [
            Item(
                id=message.id,
                type=ITEM_TYPE,
                wire=json.dumps(dict(message.body)),
                created_at=message.created_at,
            )
            for message in new
        ]
        self._conversations.append(connection, project_id, new[0].thread_id, whole)
        rows = [
            {"id": message.id, "run_id": message.run_id, "metadata": write_text_map(message.metadata)}
            for message in new
        ]
        connection.execute(insert(table), rows)

    def get(self, connection: Connection, thread_id: str, message_id: str) -> ThreadMessage:
        """Raises NotFoundError."""
        row = connection.execute(_all(thread_id).where(items.c.id == message_id)).one_or_none()
        if row is None:
            raise _not_found(message_id)
        return _made(row)

    def of(self, connection: Connection, thread_id: str) -> list[ThreadMessage]:
        """All of a thread, in order."""
        rows = connection.execute(_all(thread_id).order_by(conversation_items.c.position))
        return [_made(row) for row in rows]

    def page(
        self, connection: Connection, thread_id: str, cursor: Cursor, *, run_id: str | None = None
    ) -> Page[ThreadMessage]:
        """One page; with `run_id`, of what this run wrote."""
        wanted = _all(thread_id)
        if run_id is not None:
            wanted = wanted.where(table.c.run_id == run_id)
        keys = [conversation_items.c.position]
        return page_by(connection, wanted, cursor, _made, own_id=items.c.id, keys=keys)

    def set_metadata(
        self, connection: Connection, thread_id: str, message_id: str, metadata: Mapping[str, str]
    ) -> ThreadMessage:
        """Replace the metadata. Raises NotFoundError."""
        self.get(connection, thread_id, message_id)
        changed = update(table).where(table.c.id == message_id)
        connection.execute(changed.values(metadata=write_text_map(metadata)))
        return self.get(connection, thread_id, message_id)

    def remove(self, connection: Connection, project_id: str, thread_id: str, message_id: str) -> None:
        """Raises NotFoundError."""
        self.get(connection, thread_id, message_id)
        self._conversations.remove(connection, project_id, thread_id, message_id)


def _all(thread_id: str) -> Select[Any]:
    place = conversation_items.c
    columns = (items.c.id, place.conversation_id, table.c.run_id, table.c.metadata)
    return (
        select(*columns, items.c.wire, items.c.created_at)
        .join(table, table.c.id == items.c.id)
        .join(conversation_items, place.item_id == items.c.id)
        .where(place.conversation_id == thread_id)
    )


def _made(row: Row[Any]) -> ThreadMessage:
    return ThreadMessage(
        id=row.id,
        thread_id=row.conversation_id,
        run_id=row.run_id,
        metadata=read_text_map(row.metadata),
        body=json.loads(row.wire),
        created_at=row.created_at,
    )


def _not_found(message_id: str) -> NotFoundError:
    return NotFoundError(f"No message found with id '{message_id:.80}'.", param="message_id")
