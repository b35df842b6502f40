"""The threads of every project: made, changed, added to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pennyweight.history.assistants.message_writing import write_messages
from pennyweight.history.assistants.thread_creation import create_thread
from pennyweight.history.assistants.tool_resources import check_stores
from pennyweight.store.runs import Runs
from pennyweight.store.threads import Thread, Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

    from pennyweight.store.database import Database
    from pennyweight.store.thread_messages import ThreadMessage


class ThreadShelf:
    """`read_files` is called when files beside messages wait to be read into a vector store."""

    def __init__(self, database: Database, *, read_files: Callable[[], None]) -> None:
        self._database = database
        self._threads, self._runs = Threads(), Runs()
        self.read_files = read_files

    async def create(self, project_id: str, values: Mapping[str, Any]) -> Thread:
        """`values` were read by `CREATE_THREAD`. Raises NotFoundError."""
        now = int(time.time())
        thread = await self._database.write(
            lambda c: create_thread(c, project_id, values, now), at="thread.made"
        )
        self.read_files()
        return thread

    async def get(self, project_id: str, thread_id: str) -> Thread:
        """Raises NotFoundError."""
        return await self._database.read(lambda c: self._threads.get(c, project_id, thread_id))

    async def change(self, project_id: str, thread_id: str, values: Mapping[str, Any]) -> Thread:
        """`values` were read by `UPDATE_THREAD`. Raises NotFoundError."""
        resources = values.get("tool_resources")

        def work(connection: Connection) -> Thread:
            check_stores(connection, project_id, resources or {})
            return self._threads.change(
                connection,
                project_id,
                thread_id,
                metadata=values.get("metadata"),
                tool_resources=resources,
            )

        return await self._database.write(work, at="thread.changed")

    async def add_message(self, project_id: str, thread_id: str, values: Mapping[str, Any]) -> ThreadMessage:
        """`values` were read by `CREATE_MESSAGE`. Raises NotFoundError, ActiveRunError."""
        now = int(time.time())

        def work(connection: Connection) -> ThreadMessage:
            self._threads.get(connection, project_id, thread_id)
            wish = "No message can be added to the thread"
            self._runs.check_idle(connection, project_id, thread_id, now=now, wish=wish)
            (new,) = write_messages(connection, project_id, thread_id, [values], now=now)
            return new

        message = await self._database.write(work, at="message.added")
        self.read_files()
        return message
