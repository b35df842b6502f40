"""The repository of conversations: items in an order that only grows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, exists, insert, select, update

from pennyweight.errors import NotFoundError
from pennyweight.store.idempotent_answers import forget_answers
from pennyweight.store.identifiers import new_id
from pennyweight.store.items import Item, Items
from pennyweight.store.pages import page_by
from pennyweight.store.tables.conversations import conversation_items, conversations, items
from pennyweight.store.text_map import read_text_map, write_text_map

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Select

    from pennyweight.store.pages import Cursor, Page


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """The time is in seconds since 1970."""

    id: str
    metadata: Mapping[str, str]
    created_at: int


class Conversations:
    """What belongs to another project is not found."""

    def __init__(self) -> None:
        self._items = Items()

    def create(
        self,
        connection: Connection,
        project_id: str,
        *,
        metadata: Mapping[str, str],
        now: int,
        prefix: str = "conv_",
    ) -> Conversation:
        """An empty conversation."""
        made = Conversation(id=new_id(prefix), metadata=metadata, created_at=now)
        row = {
            "id": made.id,
            "project_id": project_id,
            "metadata": write_text_map(metadata),
            "created_at": now,
        }
        connection.execute(insert(conversations).values(**row))
        return made

    def get(self, connection: Connection, project_id: str, conversation_id: str) -> Conversation:
        """Raises NotFoundError."""
        columns = [conversations.c[name] for name in Conversation.__slots__]
        row = connection.execute(select(*columns).where(*_named(project_id, conversation_id))).one_or_none()
        if row is None:
            raise _no_conversation(conversation_id)
        return Conversation(**dict(row._mapping) | {"metadata": read_text_map(row.metadata)})

    def set_metadata(
        self, connection: Connection, project_id: str, conversation_id: str, metadata: Mapping[str, str]
    ) -> Conversation:
        """Replace the metadata. Raises NotFoundError."""
        named = _named(project_id, conversation_id)
        connection.execute(update(conversations).where(*named).values(metadata=write_text_map(metadata)))
        return self.get(connection, project_id, conversation_id)

    def append(
        self, connection: Connection, project_id: str, conversation_id: str, new: Sequence[Item]
    ) -> None:
        """Store items at the end of the conversation. Raises NotFoundError."""
        self._items.add(connection, project_id, new)
        self.append_stored(connection, project_id, conversation_id, [item.id for item in new])

    def append_stored(
        self, connection: Connection, project_id: str, conversation_id: str, item_ids: Sequence[str]
    ) -> None:
        """Append items that are stored already: those of a generation. Raises NotFoundError."""
        own = conversations.c
        given = update(conversations).where(*_named(project_id, conversation_id))
        counted = given.values(num_given=own.num_given + len(item_ids)).returning(own.num_given)
        last = connection.execute(counted).scalar_one_or_none()
        if last is None:
            raise _no_conversation(conversation_id)
        rows = [
            {"conversation_id": conversation_id, "position": position, "item_id": item_id}
            for position, item_id in enumerate(item_ids, last - len(item_ids) + 1)
        ]
        if rows:
            connection.execute(insert(conversation_items), rows)

    def item_ids(self, connection: Connection, conversation_id: str) -> Sequence[str]:
        """The ids of all items in order."""
        place = conversation_items.c
        ids = select(place.item_id).where(place.conversation_id == conversation_id).order_by(place.position)
        return connection.execute(ids).scalars().all()

    def items(self, connection: Connection, project_id: str, conversation_id: str) -> list[Item]:
        """All items in order. Raises NotFoundError."""
        self.get(connection, project_id, conversation_id)
        rows = connection.execute(_items_of(conversation_id).order_by(conversation_items.c.position))
        return [Item(**row._mapping) for row in rows]

    def page(
        self, connection: Connection, project_id: str, conversation_id: str, cursor: Cursor
    ) -> Page[Item]:
        """One page of its items, each where it stands first: a cursor names one place.

        Raises NotFoundError.
        """
        self.get(connection, project_id, conversation_id)
        keys = [conversation_items.c.position]
        earlier = conversation_items.alias("earlier")
        again = exists().where(
            earlier.c.conversation_id == conversation_id,
            earlier.c.item_id == items.c.id,
            earlier.c.position < conversation_items.c.position,
        )
        wanted = _items_of(conversation_id).where(~again)
        return page_by(
            connection, wanted, cursor, lambda row: Item(**row._mapping), own_id=items.c.id, keys=keys
        )

    def item(self, connection: Connection, project_id: str, conversation_id: str, item_id: str) -> Item:
        """One of its items. Raises NotFoundError."""
        self.get(connection, project_id, conversation_id)
        row = connection.execute(_items_of(conversation_id).where(items.c.id == item_id)).first()
        if row is None:
            raise _no_item(item_id)
        return Item(**row._mapping)

    def remove(self, connection: Connection, project_id: str, conversation_id: str, item_id: str) -> None:
        """Take an item out. Raises NotFoundError."""
        self.get(connection, project_id, conversation_id)
        place = conversation_items.c
        removed = delete(conversation_items).where(
            place.conversation_id == conversation_id, place.item_id == item_id
        )
        if connection.execute(removed).rowcount == 0:
            raise _no_item(item_id)
        self._items.delete_unplaced(connection, [item_id])
        forget_answers(connection, [item_id])

    def delete(self, connection: Connection, project_id: str, conversation_id: str) -> None:
        """Delete the conversation and the items that stand nowhere else. Raises NotFoundError."""
        held = [item.id for item in self.items(connection, project_id, conversation_id)]
        connection.execute(delete(conversations).where(*_named(project_id, conversation_id)))
        self._items.delete_unplaced(connection, held)
        forget_answers(connection, [conversation_id])


def _named(project_id: str, conversation_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return conversations.c.project_id == project_id, conversations.c.id == conversation_id


def _items_of(conversation_id: str) -> Select[Any]:
    columns = [items.c[name] for name in Item.__slots__]
    joined = select(*columns).join(conversation_items, conversation_items.c.item_id == items.c.id)
    return joined.where(conversation_items.c.conversation_id == conversation_id)


def _no_conversation(conversation_id: str) -> NotFoundError:
    return NotFoundError(f"No conversation has the id '{conversation_id:.80}'.", param="conversation")


def _no_item(item_id: str) -> NotFoundError:
    return NotFoundError(f"No item of this conversation has the id '{item_id:.80}'.")
