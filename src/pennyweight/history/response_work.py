"""One answer of a response in the background: what it stands on is read, the model asked, its end stored.

All that an answer changes is one transaction at its end. A crash before it leaves a response that is answered
again, or, if somebody may have followed it already, one that has failed.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pennyweight.answers.responses_object import failure_code
from pennyweight.answers.scopes import MODEL_REQUEST
from pennyweight.errors import OverloadedError, PennyweightError, StorageFullError, UnavailableError
from pennyweight.history.event_journal import EventJournal
from pennyweight.history.standing import (
    ConversationChangedError,
    reading_scopes,
    require_unchanged,
)
from pennyweight.history.wire_items import output_items, wire_text
from pennyweight.store.conversations import Conversations
from pennyweight.store.events import Events
from pennyweight.store.generation import LeaseLostError, State
from pennyweight.store.generations import Generations
from pennyweight.store.items import Items

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pennyweight.answers.events import AnswerEvent
    from pennyweight.history.responses import Prepared, Responses
    from pennyweight.history.work import Claimed
    from pennyweight.store.database import Database
    from pennyweight.store.events import Event
    from pennyweight.store.generation import Generation

_ATTEMPTS: Final = 4  # at a service elsewhere that cannot be reached
_PATIENCE_S: Final = 600.0  # with an engine, or a service elsewhere, that has too much to do
_STAYS: Final = (UnavailableError.code, StorageFullError.code, "database_unavailable")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending:
    """`result` is the JSON text of the response as it is told from now on; None: as before."""

    state: State
    result: str | None = None
    error: dict[str, str] | None = None
    resumed: Prepared | None = None


class ResponseWork:
    """Answers responses that were queued."""

    def __init__(self, database: Database, responses: Responses) -> None:
        self._database = database
        self._responses = responses

    def scopes(self, generation: Generation) -> list[str]:
        """As `Work.scopes`."""
        return [MODEL_REQUEST, *reading_scopes(json.loads(generation.request))]

    async def answer(self, generation: Generation, claimed: Claimed) -> None:
        """As `Work.answer`."""
        streams = bool(json.loads(generation.request).get("stream"))
        journal = EventJournal(self._database, claimed, streams=streams)
        try:
            ending = await self._ending(generation, claimed, journal)
            rest = await journal.rest()
        finally:
            await journal.close()
        try:
            await self._end(generation, claimed, ending, rest)
        except ConversationChangedError as error:
            await self._end(generation, claimed, _failed(error), [])

    async def _ending(self, generation: Generation, claimed: Claimed, journal: EventJournal) -> _Ending:
        attempts, began = 0, time.monotonic()
        while True:
            attempts += 1
            resumed: Prepared | None = None
            seen: list[AnswerEvent] = []
            try:
                resumed = await self._responses.resumed(generation)
                exchange = resumed.exchange
                account = claimed.account(exchange.model)
                async with aclosing(exchange.events(claimed.principal, account=account)) as events:
                    async for event in events:
                        seen.append(event)
                        journal.tell(exchange.pieces(event))
                body = exchange.answered(seen).body.decode()
            except PennyweightError as error:
                if isinstance(error, LeaseLostError) or error.code in _STAYS:
                    raise
                if not seen and _may_pass(error, attempts, time.monotonic() - began):
                    await asyncio.sleep(error.retry_after_s or 0)
                    continue
                return _broken(error, resumed, journal)
            return _Ending(state=State(json.loads(body)["status"]), result=body, resumed=resumed)

    async def _end(
        self, generation: Generation, claimed: Claimed, ending: _Ending, rest: list[Event]
    ) -> None:
        now = int(time.time())

        def work(connection: Connection) -> None:
            Events().append(connection, claimed.lease, rest, now=now)
            Generations().finish(
                connection,
                claimed.lease,
                to=ending.state,
                now=now,
                result=ending.result,
                error=ending.error,
            )
            if ending.resumed is not None and ending.result is not None:
                _keep(connection, generation, ending.resumed, ending.result, now=now)

        await self._database.write(work, at="generation.ended")
        claimed.told()


def _keep(
    connection: Connection, generation: Generation, resumed: Prepared, result: str, *, now: int
) -> None:
    """The output, and in a conversation what was said. Raises ConversationChangedError."""
    items, project = Items(), generation.project_id
    made = output_items(json.loads(result)["output"], now=now)
    items.add(connection, project, made)
    items.give(connection, generation.id, "output", [item.id for item in made])
    conversation_id = resumed.exchange.state.conversation_id
    if conversation_id is not None:
        require_unchanged(connection, conversation_id, resumed.standing)
        said = [*items.of(connection, project, generation.id, "input"), *made]
        Conversations().append_stored(connection, project, conversation_id, [item.id for item in said])


def _broken(error: PennyweightError, resumed: Prepared | None, journal: EventJournal) -> _Ending:
    """An answer that broke off: what there is of it is told, and belongs to nothing."""
    if resumed is None:
        return _failed(error)
    (last,) = resumed.exchange.failed(error)
    journal.tell([last])
    return _failed(error, result=wire_text(last["response"]))


def _failed(error: PennyweightError, *, result: str | None = None) -> _Ending:
    told = {"code": failure_code(error), "message": error.message}
    return _Ending(state=State.FAILED, result=result, error=told)


def _may_pass(error: PennyweightError, attempts: int, waited_s: float) -> bool:
    """Whether the same request may be taken later: nothing of it was answered."""
    if error.retry_after_s is None or error.status not in (429, 503):
        return False
    if isinstance(error, OverloadedError):
        return waited_s < _PATIENCE_S
    return error.status == 429 or attempts < _ATTEMPTS
