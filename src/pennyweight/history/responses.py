"""Responses with state: what a body continues is looked up, and its answer kept before its end is told."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pennyweight.answers.responses_exchange import ResponsesExchange
from pennyweight.answers.responses_state import Past, asked_state
from pennyweight.history.following import told
from pennyweight.history.item_pages import page_of_wires
from pennyweight.history.kept_exchange import KeptExchange
from pennyweight.history.kept_response import KeptAnswer, keep_response
from pennyweight.history.standing import stand
from pennyweight.history.wire_items import wires
from pennyweight.store.chains import Chains
from pennyweight.store.generations import Generations, not_found

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection

    from pennyweight.answers.exchange import Answered, Backend
    from pennyweight.answers.principal import Principal
    from pennyweight.errors import PennyweightError
    from pennyweight.history.recording import Recording
    from pennyweight.history.standing import Standing
    from pennyweight.store.database import Database
    from pennyweight.store.generation import Generation
    from pennyweight.store.pages import Cursor, Page


class KeptResponse(KeptExchange[ResponsesExchange]):
    """A response that is kept."""

    def failed(self, error: PennyweightError) -> Iterable[dict[str, Any]]:
        """The typed event of an answer that broke off."""
        return self.inner.failed(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A response that can be answered, and what it stands on."""

    standing: Standing
    exchange: ResponsesExchange


class Responses:
    """The stored responses of every project, and the door through which new ones come."""

    def __init__(self, database: Database, backend: Backend, recording: Recording) -> None:
        self._database = database
        self._backend = backend
        self._recording = recording
        self._generations = Generations()

    @property
    def redacts(self) -> bool:
        """Whether nothing may be stored as it came."""
        return self._recording.redact is not None

    async def exchange(
        self, principal: Principal, body: Mapping[str, object]
    ) -> ResponsesExchange | KeptResponse:
        """What answers `body`. Raises as `ResponsesExchange`; NotFoundError for what the body names."""
        prepared = await self.prepared(principal.project, body)
        exchange = prepared.exchange
        if not exchange.state.store and exchange.state.conversation_id is None:
            return exchange
        return KeptResponse(exchange, partial(self._keep, principal, body, prepared))

    async def past(
        self, principal: Principal, body: Mapping[str, object]
    ) -> tuple[Mapping[str, object], Past]:
        """What `body` continues, and the body with the items its references name."""
        standing = await self._standing(principal.project, body)
        return standing.body, Past(items=standing.past)

    async def get(self, project_id: str, response_id: str) -> dict[str, Any]:
        """The response as it is now. Raises NotFoundError."""
        generation = await self._database.read(lambda c: self.found(c, project_id, response_id))
        return told(generation)

    async def delete(self, project_id: str, response_id: str) -> None:
        """Raises NotFoundError."""

        def work(connection: Connection) -> None:
            self.found(connection, project_id, response_id)
            self._generations.delete(connection, project_id, response_id)

        await self._database.write(work, at="response.deleted")

    async def input_items(self, project_id: str, response_id: str, cursor: Cursor) -> Page[dict[str, Any]]:
        """A page of what went in, earlier responses of the chain included. Raises NotFoundError."""

        def work(connection: Connection) -> Page[dict[str, Any]]:
            self.found(connection, project_id, response_id)
            given = Chains().inputs(connection, project_id, response_id)
            return page_of_wires(wires(given), cursor)

        return await self._database.read(work)

    async def prepared(
        self, project_id: str, body: Mapping[str, object], identity: tuple[str, int] | None = None
    ) -> Prepared:
        """`body` understood; `identity` as in `Past`. Raises as `exchange`."""
        standing = await self._standing(project_id, body)
        past = Past(items=standing.past, identity=identity)
        exchange = ResponsesExchange(self._backend, standing.body, project_id, past)
        return Prepared(standing=standing, exchange=exchange)

    async def resumed(self, generation: Generation) -> Prepared:
        """What was queued, as things are now."""
        identity = (generation.id, generation.created_at)
        return await self.prepared(generation.project_id, json.loads(generation.request), identity)

    async def _standing(self, project_id: str, body: Mapping[str, object]) -> Standing:
        state = asked_state(body)
        return await self._database.read(lambda c: stand(c, project_id, state, body))

    async def _keep(
        self,
        principal: Principal,
        body: Mapping[str, object],
        prepared: Prepared,
        answered: Answered,
    ) -> None:
        exchange, standing = prepared.exchange, prepared.standing
        words = await self._recording.words("/v1/responses", standing.body, answered.body.decode())
        if words is None:
            return
        if self.redacts:
            body, standing = words.request, replace(standing, body=words.request)
        answer = KeptAnswer(
            body=body,
            standing=standing,
            state=exchange.state,
            model=exchange.model,
            metadata=words.metadata,
            result=words.response,
        )
        now = int(time.time())
        await self._database.write(lambda c: keep_response(c, principal, answer, now=now), at="response.kept")

    def found(self, connection: Connection, project_id: str, response_id: str) -> Generation:
        """Raises NotFoundError, for other kinds of generations too."""
        generation = self._generations.get(connection, project_id, response_id)
        if generation.kind != "response":
            raise not_found(response_id)
        return generation
