"""Conversations and their items, as people make and change them; answers are appended by `kept_response`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from pennyweight.history.standing import require_conversation
from pennyweight.history.wire_items import kept_input
from pennyweight.store.conversations import Conversations
from pennyweight.store.pages import Page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from pennyweight.store.conversations import Conversation
    from pennyweight.store.database import Database
    from pennyweight.store.pages import Cursor


class ConversationShelf:
    """The conversations of every project. Everything raises NotFoundError for one that is not there."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._conversations = Conversations()

    async def create(
        self, project_id: str, items: Sequence[Mapping[str, Any]], metadata: Mapping[str, str]
    ) -> Conversation:
        """A new one, with its first items."""
        now = int(time.time())

        def work(connection: Connection) -> Conversation:
            made = self._conversations.create(connection, project_id, metadata=metadata, now=now)
            given = kept_input(items, {}, now=now).new
            self._conversations.append(connection, project_id, made.id, given)
            return made

        return await self._database.write(work, at="conversation.made")

    async def get(self, project_id: str, conversation_id: str) -> Conversation:
        """Without its items."""
        require_conversation(conversation_id)
        return await self._database.read(lambda c: self._conversations.get(c, project_id, conversation_id))

    async def set_metadata(
        self, project_id: str, conversation_id: str, metadata: Mapping[str, str]
    ) -> Conversation:
        """The conversation, its metadata replaced."""
        require_conversation(conversation_id)
        return await self._database.write(
            lambda c: self._conversations.set_metadata(c, project_id, conversation_id, metadata),
            at="conversation.labelled",
        )

    async def delete(self, project_id: str, conversation_id: str) -> None:
        """With the items that stand nowhere else."""
        require_conversation(conversation_id)
        await self._database.write(
            lambda c: self._conversations.delete(c, project_id, conversation_id), at="conversation.deleted"
        )

    async def append(
        self, project_id: str, conversation_id: str, items: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """The items as they were appended."""
        require_conversation(conversation_id)
        new = kept_input(items, {}, now=int(time.time())).new
        await self._database.write(
            lambda c: self._conversations.append(c, project_id, conversation_id, new), at="conversation.grown"
        )
        return [json.loads(item.wire) for item in new]

    async def items(self, project_id: str, conversation_id: str, cursor: Cursor) -> Page[dict[str, Any]]:
        """A page of its items."""
        require_conversation(conversation_id)
        page = await self._database.read(
            lambda c: self._conversations.page(c, project_id, conversation_id, cursor)
        )
        return Page([json.loads(item.wire) for item in page.items], page.has_more)

    async def item(self, project_id: str, conversation_id: str, item_id: str) -> dict[str, Any]:
        """One of its items."""
        require_conversation(conversation_id)
        item = await self._database.read(
            lambda c: self._conversations.item(c, project_id, conversation_id, item_id)
        )
        wire: dict[str, Any] = json.loads(item.wire)
        return wire

    async def remove(self, project_id: str, conversation_id: str, item_id: str) -> Conversation:
        """Take an item out; responses that have it keep it."""
        require_conversation(conversation_id)

        def work(connection: Connection) -> Conversation:
            self._conversations.remove(connection, project_id, conversation_id, item_id)
            return self._conversations.get(connection, project_id, conversation_id)

        return await self._database.write(work, at="conversation.shrunk")


def conversation_object(conversation: Conversation) -> dict[str, Any]:
    """OpenAI's object (https://platform.openai.com/docs/api-reference/conversations/object)."""
    return {
        "id": conversation.id,
        "object": "conversation",
        "created_at": conversation.created_at,
        "metadata": dict(conversation.metadata),
    }
