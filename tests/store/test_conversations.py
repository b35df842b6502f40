"""Conversations: items in order, as they came; deleted with the last place they stand in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from pennyweight.errors import NotFoundError
from pennyweight.store.conversations import Conversations
from pennyweight.store.generation import NewGeneration
from pennyweight.store.generations import Generations
from pennyweight.store.identifiers import new_id
from pennyweight.store.items import Item, Items
from pennyweight.store.pages import Cursor
from pennyweight.store.projects import Projects
from pennyweight.store.tables.conversations import conversation_items as place_table
from pennyweight.store.tables.conversations import items as item_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from pennyweight.store.database import Database
    from pennyweight.store.pages import Order

NOW = 1_700_000_000
PROJECT = "default"
conversations, generations, items = Conversations(), Generations(), Items()


def an_item(text: str) -> Item:
    wire = f'{{"type":"message", "text":"{text}"}}'
    return Item(id=new_id("msg_"), type="message", wire=wire, created_at=NOW)


def a_conversation(database: Database, *texts: str) -> tuple[str, list[Item]]:
    new = [an_item(text) for text in texts]

    def create(connection: Connection) -> str:
        made = conversations.create(connection, PROJECT, metadata={"k": "v"}, now=NOW)
        conversations.append(connection, PROJECT, made.id, new)
        return made.id

    return database.write_now(create), new


def held(database: Database, conversation_id: str) -> list[Item]:
    return database.read_now(lambda c: conversations.items(c, PROJECT, conversation_id))


def stored(database: Database) -> set[str]:
    return set(database.read_now(lambda c: c.execute(select(item_table.c.id)).scalars().all()))


def places(database: Database, conversation_id: str) -> list[int]:
    own = select(place_table.c.position).where(place_table.c.conversation_id == conversation_id)
    ordered = own.order_by(place_table.c.position)
    return list(database.read_now(lambda c: c.execute(ordered).scalars().all()))


def test_items_stay_in_order_and_as_they_came(database: Database) -> None:
    conversation_id, new = a_conversation(database, "a", "b\\u0000\\ud800", "c")
    more = [an_item("d"), an_item("e")]
    database.write_now(lambda c: conversations.append(c, PROJECT, conversation_id, more))
    assert held(database, conversation_id) == new + more
    found = database.read_now(lambda c: conversations.get(c, PROJECT, conversation_id))
    assert (found.metadata, found.created_at) == ({"k": "v"}, NOW)


def test_an_item_that_is_removed_leaves_the_others_where_they_are(database: Database) -> None:
    conversation_id, new = a_conversation(database, "a", "b", "c")
    database.write_now(lambda c: conversations.remove(c, PROJECT, conversation_id, new[2].id))
    more = [an_item("d")]
    database.write_now(lambda c: conversations.append(c, PROJECT, conversation_id, more))
    assert held(database, conversation_id) == [*new[:2], *more]
    assert places(database, conversation_id) == [1, 2, 4], "the third one's is not given again"
    database.write_now(lambda c: conversations.remove(c, PROJECT, conversation_id, more[0].id))
    database.write_now(lambda c: conversations.append(c, PROJECT, conversation_id, [an_item("e")]))
    assert places(database, conversation_id) == [1, 2, 5]
    assert new[2].id not in stored(database)
    with pytest.raises(NotFoundError, match=new[2].id):
        database.write_now(lambda c: conversations.remove(c, PROJECT, conversation_id, new[2].id))


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_list_ends_although_an_item_stands_twice(database: Database, order: Order) -> None:
    """As conversations of earlier versions may have it."""
    conversation_id, new = a_conversation(database, "a", "b", "c")
    ids = [item.id for item in new]
    again = [ids[0], ids[1], ids[0]]
    database.write_now(lambda c: conversations.append_stored(c, PROJECT, conversation_id, again))
    listed: list[str] = []
    cursor: Cursor | None = Cursor(limit=1, order=order)
    while cursor is not None and len(listed) < 9:
        page = database.read_now(lambda c, at=cursor: conversations.page(c, PROJECT, conversation_id, at))  # type: ignore[misc]
        listed += [item.id for item in page.items]
        cursor = Cursor(after=listed[-1], limit=1, order=order) if page.has_more else None
    assert listed == (ids if order == "asc" else ids[::-1])


def test_what_also_stands_in_a_generation_outlives_the_conversation(database: Database) -> None:
    conversation_id, new = a_conversation(database, "a", "b")
    generation = NewGeneration(
        id=new_id("resp_"),
        kind="response",
        model="tiny",
        request="{}",
        conversation_id=conversation_id,
        metadata={},
    )
    database.write_now(lambda c: generations.queue(c, PROJECT, generation, now=NOW))
    database.write_now(lambda c: items.give(c, generation.id, "input", [new[0].id]))
    database.write_now(lambda c: conversations.delete(c, PROJECT, conversation_id))
    assert stored(database) == {new[0].id}
    left = database.read_now(lambda c: generations.get(c, PROJECT, generation.id))
    assert left.conversation_id is None
    database.write_now(lambda c: generations.delete(c, PROJECT, generation.id))
    assert stored(database) == set()


def test_a_long_conversation_goes_as_a_whole(database: Database) -> None:
    conversation_id, _ = a_conversation(database, *(str(number) for number in range(1100)))
    assert len(held(database, conversation_id)) == 1100
    database.write_now(lambda c: conversations.delete(c, PROJECT, conversation_id))
    assert stored(database) == set()


def test_another_project_finds_nothing(database: Database) -> None:
    other = database.write_now(lambda c: Projects().create(c, name="other", now=NOW).id)
    conversation_id, new = a_conversation(database, "a")
    works: list[Callable[[Connection], object]] = [
        lambda c: conversations.get(c, other, conversation_id),
        lambda c: conversations.items(c, other, conversation_id),
        lambda c: conversations.append(c, other, conversation_id, [an_item("x")]),
        lambda c: conversations.remove(c, other, conversation_id, new[0].id),
        lambda c: conversations.set_metadata(c, other, conversation_id, {}),
        lambda c: conversations.delete(c, other, conversation_id),
    ]
    for work in works:
        with pytest.raises(NotFoundError, match=conversation_id):
            database.write_now(work)
    assert held(database, conversation_id) == new
    assert stored(database) == {new[0].id}


def test_metadata_is_replaced(database: Database) -> None:
    conversation_id, _ = a_conversation(database)
    changed = database.write_now(
        lambda c: conversations.set_metadata(c, PROJECT, conversation_id, {"x": "y"})
    )
    assert changed.metadata == {"x": "y"}
