"""Following a run: what is stored of it, as it comes, until it has ended or waits for tools.

Events are read from the store, so it does not matter which process answers the run, nor how late somebody
comes. The last event is told from the run's state: also when it was cancelled, or its worker died.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from pennyweight.history.assistants.run_object import run_object
from pennyweight.store.events import Events
from pennyweight.store.generation import State
from pennyweight.store.runs import Runs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from sqlalchemy import Connection

    from pennyweight.history.bell import Bell
    from pennyweight.store.database import Database
    from pennyweight.store.events import Event
    from pennyweight.store.runs import Run

_UNDER_WAY: Final = (State.QUEUED, State.IN_PROGRESS)


async def follow_run(
    database: Database, bell: Bell, run: Run, *, first: Iterable[dict[str, Any]] = ()
) -> AsyncGenerator[dict[str, Any]]:
    """Objects with `event` and `data`: `first`, then those of `run` from where it is now."""
    project, thread_id, run_id = run.generation.project_id, run.thread_id, run.id
    for payload in first:
        yield payload
    runs, events, number = Runs(), Events(), -1

    def look(connection: Connection) -> tuple[Run, list[Event]]:
        now = runs.get(connection, project, thread_id, run_id)
        return now, events.after(connection, project, run_id, number=number)

    with bell.listening(run_id) as listener:
        while True:
            listener.clear()
            run, new = await database.read(look)
            for event in new:
                yield json.loads(event.wire)
                number = event.sequence_number
            if not new and run.state not in _UNDER_WAY:
                yield told(f"thread.run.{run.state}", run_object(run))
                return
            if not new:
                await listener.wait()


def told(name: str, data: dict[str, Any]) -> dict[str, Any]:
    """One event."""
    return {"event": name, "data": data}
