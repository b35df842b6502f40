"""Responses in the background: queued, followed from any event on, cancelled."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from pennyweight.answers.fields import ParameterError
from pennyweight.errors import InvalidRequestError
from pennyweight.history.following import follow_response, told
from pennyweight.history.standing import require_link
from pennyweight.history.wire_items import kept_input, wire_text
from pennyweight.store.generation import NewGeneration, State
from pennyweight.store.generations import Generations
from pennyweight.store.identifiers import new_id
from pennyweight.store.items import Items

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from sqlalchemy import Connection

    from pennyweight.answers.principal import Principal
    from pennyweight.history.responses import Prepared, Responses
    from pennyweight.history.work import Later
    from pennyweight.store.database import Database
    from pennyweight.store.generation import Generation


class Background:
    """The way in for responses that nobody waits for, and the way to look at them."""

    def __init__(self, database: Database, responses: Responses, later: Later) -> None:
        self._database = database
        self._responses = responses
        self._later = later

    async def prepare(self, principal: Principal, body: Mapping[str, object]) -> Prepared:
        """`body` understood, with an id. Raises as `Responses.exchange`, and where all is redacted."""
        if self._responses.redacts:
            message = (
                "'background' is not served here: what is queued could not be redacted before it is stored."
            )
            raise ParameterError(message, param="background", code="unsupported_value")
        identity = (new_id("resp_"), int(time.time()))
        return await self._responses.prepared(principal.project, body, identity)

    async def queue(self, principal: Principal, prepared: Prepared) -> Generation:
        """Durable when this returns.

        Raises ParameterError, NotFoundError, AnswerQueueError, StorageFullError.
        """
        exchange = prepared.exchange
        new = NewGeneration(
            id=exchange.identity.id,
            kind="response",
            model=exchange.model,
            request=wire_text(prepared.standing.body),  # an item it names may be gone when it is answered
            parent_id=exchange.state.previous_response_id,
            conversation_id=exchange.state.conversation_id,
            metadata=exchange.metadata,
            key_id=principal.key,
            result=wire_text(exchange.queued()),
        )
        project, now = principal.project, exchange.identity.created_at

        def work(connection: Connection) -> Generation:
            self._later.check_room(connection, project)
            if new.parent_id is not None:
                require_link(connection, project, new.parent_id)
            items, standing = Items(), prepared.standing
            items.require(connection, project, standing.referenced.values())
            # What the conversation will hold when the answer ends is not known: copies stand there once.
            referenced = {} if new.conversation_id is not None else standing.referenced
            given = kept_input(standing.body["input"], referenced, now=now)
            Generations().queue(connection, project, new, now=now)
            items.add(connection, project, given.new)
            items.give(connection, new.id, "input", given.ids)
            return Generations().get(connection, project, new.id)

        generation = await self._database.write(work, at="response.queued")
        self._later.wake()
        return generation

    async def cancel(self, project_id: str, response_id: str) -> dict[str, Any]:
        """The response, which is cancelled unless it had ended. Raises NotFoundError, InvalidRequestError."""

        def work(connection: Connection) -> Generation:
            generation = self._responses.found(connection, project_id, response_id)
            if not told(generation)["background"]:
                message = (
                    f"The response '{response_id}' was not made in the background: it cannot be cancelled."
                )
                raise InvalidRequestError(message)
            if generation.has_ended:
                return generation
            return Generations().move(
                connection, project_id, response_id, to=State.CANCELLED, now=int(time.time())
            )

        generation = await self._database.write(work, at="response.cancelled")
        self.drop(response_id)
        return told(generation)

    def drop(self, response_id: str) -> None:
        """Nobody is to work on it any more, and who follows it is to look."""
        self._later.drop(response_id)
        self._later.bell.ring(response_id)

    async def followed(
        self, project_id: str, response_id: str, *, after: int
    ) -> AsyncGenerator[dict[str, Any]]:
        """Its events behind the one numbered `after`. Raises NotFoundError, ParameterError."""
        generation = await self._database.read(lambda c: self._responses.found(c, project_id, response_id))
        if not _streams(generation):
            message = f"The response '{response_id}' was not made with 'background' and 'stream'."
            raise ParameterError(message, param="stream", code="invalid_value")
        return self.follow(generation, after=after)

    def follow(self, generation: Generation, *, after: int = -1) -> AsyncGenerator[dict[str, Any]]:
        """Its events behind the one numbered `after`, until it has ended."""
        return follow_response(self._database, self._later.bell, generation, after=after)


def _streams(generation: Generation) -> bool:
    asked = json.loads(generation.request)
    return bool(asked.get("background") and asked.get("stream"))
