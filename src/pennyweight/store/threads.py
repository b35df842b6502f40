"""The repository of threads: conversations that runs answer, with what their tools may use."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update

from pennyweight.errors import NotFoundError
from pennyweight.store.conversations import Conversations
from pennyweight.store.generations import Generations
from pennyweight.store.tables.conversations import conversations
from pennyweight.store.tables.generations import generations
from pennyweight.store.tables.threads import threads as table
from pennyweight.store.text_map import read_text_map

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """`tool_resources` by the name of the tool; the time is in seconds since 1970."""

    id: str
    metadata: Mapping[str, str]
    tool_resources: Mapping[str, Any]
    created_at: int


class Threads:
    """What belongs to another project is not found."""

    def __init__(self) -> None:
        self._conversations = Conversations()
        self._generations = Generations()

    def create(
        self,
        connection: Connection,
        project_id: str,
        *,
        metadata: Mapping[str, str],
        tool_resources: Mapping[str, Any],
        now: int,
    ) -> Thread:
        """An empty thread."""
        made = self._conversations.create(
            connection, project_id, metadata=metadata, now=now, prefix="thread_"
        )
        values = {"id": made.id, "tool_resources": json.dumps(dict(tool_resources))}
        connection.execute(insert(table).values(**values))
        return Thread(id=made.id, metadata=metadata, tool_resources=tool_resources, created_at=now)

    def get(self, connection: Connection, project_id: str, thread_id: str) -> Thread:
        """Raises NotFoundError."""
        whole = conversations.c
        wanted = (
            select(whole.id, whole.metadata, table.c.tool_resources, whole.created_at)
            .join(table, table.c.id == whole.id)
            .where(whole.project_id == project_id, whole.id == thread_id)
        )
        row = connection.execute(wanted).one_or_none()
        if row is None:
            raise NotFoundError(f"No thread found with id '{thread_id:.80}'.", param="thread_id")
        return Thread(
            id=row.id,
            metadata=read_text_map(row.metadata),
            tool_resources=json.loads(row.tool_resources),
            created_at=row.created_at,
        )

    def change(
        self,
        connection: Connection,
        project_id: str,
        thread_id: str,
        *,
        metadata: Mapping[str, str] | None,
        tool_resources: Mapping[str, Any] | None,
    ) -> Thread:
        """Replace what is not None. Raises NotFoundError."""
        self.get(connection, project_id, thread_id)
        if metadata is not None:
            self._conversations.set_metadata(connection, project_id, thread_id, metadata)
        if tool_resources is not None:
            values = {"tool_resources": json.dumps(dict(tool_resources))}
            connection.execute(update(table).where(table.c.id == thread_id).values(**values))
        return self.get(connection, project_id, thread_id)

    def delete(self, connection: Connection, project_id: str, thread_id: str) -> list[str]:
        """With its messages and its runs, also one under way; the ids of the runs. Raises NotFoundError."""
        self.get(connection, project_id, thread_id)
        own = generations.c
        runs = select(own.id).where(own.conversation_id == thread_id, own.kind == "run")
        run_ids = list(connection.execute(runs).scalars())
        for run_id in run_ids:
            self._generations.delete(connection, project_id, run_id)
        self._conversations.delete(connection, project_id, thread_id)
        return run_ids
