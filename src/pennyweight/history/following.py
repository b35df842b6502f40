"""Following a response in the background: what is stored of it, as it comes, from any event on.

Events are read from the store, so it does not matter which process answers, nor how late somebody comes. The
first two are told from the response itself; so is the last one if none was stored: it was cancelled, its
worker died, or its events are too old to be kept.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from pennyweight.store.events import Events
from pennyweight.store.generation import State
from pennyweight.store.generations import Generations

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from sqlalchemy import Connection

    from pennyweight.history.bell import Bell
    from pennyweight.store.database import Database
    from pennyweight.store.events import Event
    from pennyweight.store.generation import Generation

OPENING: Final = ("response.created", "response.queued")
"""The events of a response that waits; the engine's begin behind them."""
_LAST: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})


async def follow_response(
    database: Database, bell: Bell, generation: Generation, *, after: int
) -> AsyncGenerator[dict[str, Any]]:
    """The events numbered above `after`, until the response has ended. Raises NotFoundError if deleted."""
    for payload in _opening(generation):
        if payload["sequence_number"] > after:
            yield payload
    number = max(after, len(OPENING) - 1)
    project, own_id = generation.project_id, generation.id

    def look(connection: Connection) -> tuple[Generation, list[Event]]:
        now = Generations().get(connection, project, own_id)
        return now, Events().after(connection, project, own_id, number=number)

    with bell.listening(own_id) as listener:
        while True:
            listener.clear()
            generation, new = await database.read(look)
            for event in new:
                yield json.loads(event.wire)
                number = event.sequence_number
            if not new and generation.has_ended:
                break
            if not new:
                await listener.wait()
    last = await database.read(lambda c: Events().last(c, project, own_id))
    for payload in _closing(generation, last):
        if payload["sequence_number"] > number:
            yield payload


def _opening(generation: Generation) -> Iterator[dict[str, Any]]:
    nothing_yet = dict.fromkeys(("completed_at", "error", "incomplete_details", "usage"))
    response = {**told(generation), "status": "queued", "output": [], **nothing_yet}
    for number, kind in enumerate(OPENING):
        yield {"type": kind, "sequence_number": number, "response": response}


def _closing(generation: Generation, last: Event | None) -> Iterator[dict[str, Any]]:
    """The end, if it is not among the events stored. A cancelled response is told as incomplete."""
    if last is not None and json.loads(last.wire)["type"] in _LAST:
        return
    kind = "incomplete" if generation.state is State.CANCELLED else str(generation.state)
    number = len(OPENING) if last is None else last.sequence_number + 1
    yield {"type": f"response.{kind}", "sequence_number": number, "response": told(generation)}


def told(generation: Generation) -> dict[str, Any]:
    """The `response` object of a stored response, whatever its state."""
    assert generation.result is not None, "a response is stored with what is told of it"
    body: dict[str, Any] = json.loads(generation.result)
    if generation.state not in (State.COMPLETED, State.INCOMPLETE):
        body["status"] = str(generation.state)
        body["error"] = None if generation.error is None else json.loads(generation.error)
    return body
