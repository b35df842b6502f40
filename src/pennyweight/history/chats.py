"""Stored chat completions: what was asked and answered, listed, labelled and deleted."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from pennyweight.answers.chat_exchange import ChatExchange
from pennyweight.history.kept_exchange import KeptExchange
from pennyweight.history.wire_items import wire_text
from pennyweight.store.generation import GenerationFilter, NewGeneration, State
from pennyweight.store.generations import Generations, not_found
from pennyweight.store.pages import Page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from pennyweight.answers.exchange import Answered, Backend
    from pennyweight.answers.principal import Principal
    from pennyweight.history.recording import Recording
    from pennyweight.store.database import Database
    from pennyweight.store.generation import Generation
    from pennyweight.store.pages import Cursor


class Chats:
    """The stored chat completions of every project, and the door through which new ones come."""

    def __init__(self, database: Database, backend: Backend, recording: Recording) -> None:
        self._database = database
        self._backend = backend
        self._recording = recording
        self._generations = Generations()

    def exchange(
        self, principal: Principal, body: Mapping[str, object]
    ) -> ChatExchange | KeptExchange[ChatExchange]:
        """What answers `body`. Raises as `ChatExchange`."""
        exchange = ChatExchange(self._backend, self._recording.wanted(body), principal.project, stores=True)
        if not exchange.store:
            return exchange
        return KeptExchange(exchange, partial(self._keep, principal, body, exchange))

    async def get(self, project_id: str, chat_id: str) -> dict[str, Any]:
        """The `chat.completion`. Raises NotFoundError."""
        return told(await self._database.read(lambda c: self._found(c, project_id, chat_id)))

    async def page(
        self, project_id: str, cursor: Cursor, *, model: str | None, metadata: Mapping[str, str]
    ) -> Page[dict[str, Any]]:
        """A page of them, of one model (an alias stands for what it runs) and with these entries."""
        wanted = GenerationFilter(
            kind="chat_completion",
            model=None if model is None else self._backend.served.name_of(model),
            metadata=metadata,
        )
        found = await self._database.read(lambda c: self._generations.page(c, project_id, wanted, cursor))
        return Page([told(generation) for generation in found.items], found.has_more)

    async def set_metadata(
        self, project_id: str, chat_id: str, metadata: Mapping[str, str]
    ) -> dict[str, Any]:
        """The completion, its metadata replaced. Raises NotFoundError."""

        def work(connection: Connection) -> Generation:
            self._found(connection, project_id, chat_id)
            return self._generations.set_metadata(connection, project_id, chat_id, metadata)

        changed = await self._database.write(work, at="chat.labelled")
        return told(changed)

    async def delete(self, project_id: str, chat_id: str) -> None:
        """Raises NotFoundError."""

        def work(connection: Connection) -> None:
            self._found(connection, project_id, chat_id)
            self._generations.delete(connection, project_id, chat_id)

        await self._database.write(work, at="chat.deleted")

    async def messages(self, project_id: str, chat_id: str) -> list[dict[str, Any]]:
        """The messages that were asked with, in order. Raises NotFoundError."""
        generation = await self._database.read(lambda c: self._found(c, project_id, chat_id))
        asked = json.loads(generation.request)["messages"]
        return [_message(message, f"{chat_id}-{index}") for index, message in enumerate(asked)]

    async def _keep(
        self,
        principal: Principal,
        body: Mapping[str, object],
        exchange: ChatExchange,
        answered: Answered,
    ) -> None:
        words = await self._recording.words("/v1/chat/completions", body, answered.body.decode())
        if words is None:
            return
        new = NewGeneration(
            id=exchange.identity.id,
            kind="chat_completion",
            model=exchange.model,
            request=wire_text(words.request),
            metadata=words.metadata,
            key_id=principal.key,
            result=words.response,
        )
        now = int(time.time())
        await self._database.write(
            lambda c: self._generations.keep(c, principal.project, new, state=State.COMPLETED, now=now),
            at="chat.kept",
        )

    def _found(self, connection: Connection, project_id: str, chat_id: str) -> Generation:
        generation = self._generations.get(connection, project_id, chat_id)
        if generation.kind != "chat_completion":
            raise not_found(chat_id)
        return generation


def told(generation: Generation) -> dict[str, Any]:
    """The `chat.completion` object of a stored one, with its metadata as it is now."""
    assert generation.result is not None, "it was stored with its answer"
    return {**json.loads(generation.result), "metadata": dict(generation.metadata)}


def _message(message: Mapping[str, Any], own_id: str) -> dict[str, Any]:
    """One message as the client's types read it: text in `content`, parts beside it."""
    content = message.get("content")
    parts = None if content is None or isinstance(content, str) else content
    if parts is not None:
        content = "".join(part.get("text") or "" for part in parts)
    return {"refusal": None, **message, "id": own_id, "content": content, "content_parts": parts}
