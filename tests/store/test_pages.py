"""Pages of generations, of what went into and came out of them, and of conversations."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, update

from pennyweight.errors import NotFoundError
from pennyweight.store.conversations import Conversations
from pennyweight.store.database import Database
from pennyweight.store.generation import GenerationFilter, NewGeneration, State
from pennyweight.store.generations import Generations
from pennyweight.store.identifiers import new_id
from pennyweight.store.items import Item
from pennyweight.store.pages import Cursor, CursorError
from pennyweight.store.projects import Projects
from pennyweight.store.tables.generations import generations as table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from pennyweight.store.pages import Order, Page

NOW = 1_700_000_000
PROJECT = "default"
conversations, generations = Conversations(), Generations()
CHATS = GenerationFilter(kind="chat_completion")


def added(database: Database, *, now: int = NOW, **values: Any) -> str:
    fields: dict[str, Any] = {"kind": "chat_completion", "model": "tiny", "request": "{}", "metadata": {}}
    new = NewGeneration(**{"id": new_id("chatcmpl-"), **fields, **values})
    database.write_now(lambda c: generations.queue(c, PROJECT, new, now=now))
    return new.id


def listed(database: Database, wanted: GenerationFilter, cursor: Cursor | None = None) -> list[str]:
    at = cursor or Cursor(limit=100)
    return [one.id for one in database.read_now(lambda c: generations.page(c, PROJECT, wanted, at)).items]


def an_item(number: int) -> Item:
    return Item(id=new_id("msg_"), type="message", wire=f'{{"n":{number}}}', created_at=NOW)


def walked(page: Callable[[Cursor], Page[Any]], *, limit: int, order: Order) -> list[str]:
    """All ids of a list, page by page, forwards; then checked backwards."""
    seen: list[str] = []
    while True:
        found = page(Cursor(after=seen[-1] if seen else None, limit=limit, order=order))
        seen += [one.id for one in found.items]
        if not found.has_more:
            break
    back = seen[-1:]
    while True:
        found = page(Cursor(before=back[0], limit=limit, order=order))
        back = [one.id for one in found.items] + back
        if not found.has_more:
            break
    assert back == seen
    return seen


def two_orders(page: Callable[[Cursor], Page[Any]], expected: Sequence[str]) -> None:
    for limit in (1, 3, len(expected), 100):
        assert walked(page, limit=limit, order="asc") == list(expected)
        assert walked(page, limit=limit, order="desc") == list(reversed(expected))


def test_generations_in_the_order_they_came(database: Database) -> None:
    ids = [added(database, now=NOW + number // 3) for number in range(8)]  # three in one second
    added(database, kind="response", id=new_id("resp_"))
    expected = sorted(ids, key=lambda one: (ids.index(one) // 3, one))
    two_orders(lambda at: database.read_now(lambda c: generations.page(c, PROJECT, CHATS, at)), expected)


def test_conversation_items_in_their_own_order(database: Database) -> None:
    new = [an_item(number) for number in range(8)]  # ids are random: the order is that of the places

    made = database.write_now(lambda c: _in_a_conversation(c, new))
    database.write_now(lambda c: conversations.remove(c, PROJECT, made, new[3].id))
    expected = [one.id for one in new if one is not new[3]]
    two_orders(lambda at: database.read_now(lambda c: conversations.page(c, PROJECT, made, at)), expected)
    got = database.read_now(lambda c: conversations.item(c, PROJECT, made, new[5].id))
    assert got == new[5]
    other = database.write_now(lambda c: Projects().create(c, name="other", now=NOW).id)
    for works in (
        lambda c: conversations.item(c, PROJECT, made, new[3].id),
        lambda c: conversations.item(c, other, made, new[5].id),
        lambda c: conversations.page(c, other, made, Cursor()),
    ):
        with pytest.raises(NotFoundError):
            database.read_now(works)


def test_both_cursors_and_cursors_that_are_gone(database: Database) -> None:
    ids = [added(database, now=NOW + number) for number in range(6)]
    between = Cursor(after=ids[0], before=ids[4], limit=2)
    assert listed(database, CHATS, between) == ids[1:3]
    found = database.read_now(lambda c: generations.page(c, PROJECT, CHATS, between))
    assert found.has_more
    down = Cursor(after=ids[4], before=ids[0], order="desc")
    assert listed(database, CHATS, down) == ids[3:0:-1]
    database.write_now(lambda c: generations.delete(c, PROJECT, ids[0]))
    assert listed(database, CHATS, Cursor(after=ids[0], limit=2)) == ids[1:3], (
        "who deletes page by page gets on"
    )
    wrong = {"after": (Cursor(after="x"), Cursor(after="chatcmpl-\0")), "before": (Cursor(before=ids[0]),)}
    for param, cursors in wrong.items():
        for cursor in cursors:
            with pytest.raises(CursorError) as refused:
                listed(database, CHATS, cursor)
            assert refused.value.param == param
            assert repr(cursor.after or cursor.before) in refused.value.message


def test_a_cursor_tells_nothing_of_other_projects(database: Database) -> None:
    mine = [added(database, now=NOW + number) for number in range(3)]
    other = database.write_now(lambda c: Projects().create(c, name="other", now=NOW).id)
    named = NewGeneration(
        id="chatcmpl-theirs", kind="chat_completion", model="tiny", request="{}", metadata={}
    )
    database.write_now(lambda c: generations.queue(c, other, named, now=NOW + 1))
    for cursor in (Cursor(after=named.id), Cursor(after="chatcmpl-never"), Cursor(before=named.id)):
        with pytest.raises(CursorError):
            listed(database, CHATS, cursor)
    assert listed(database, CHATS, Cursor(after=mine[0])) == mine[1:]


def test_filters(database: Database) -> None:
    conversation = database.write_now(lambda c: conversations.create(c, PROJECT, metadata={}, now=NOW)).id
    first = added(database, model="a", metadata={"user": "x", "plan": "p"})
    second = added(database, model="b", metadata={"user": "x"}, now=NOW + 1)
    third = added(database, model="b", conversation_id=conversation, now=NOW + 2)
    database.write_now(lambda c: c.execute(update(table).where(table.c.id == third).values(_ENDED)))
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({}, [first, second, third]),
        ({"model": "b"}, [second, third]),
        ({"model": "B"}, []),
        ({"metadata": {"user": "x"}}, [first, second]),
        ({"metadata": {"user": "x", "plan": "p"}}, [first]),
        ({"metadata": {"user": "x"}, "model": "b"}, [second]),
        ({"states": [State.COMPLETED]}, [third]),
        ({"states": [State.COMPLETED, State.QUEUED]}, [first, second, third]),
        ({"conversation_id": conversation}, [third]),
    ]
    for values, expected in cases:
        assert listed(database, GenerationFilter(kind="chat_completion", **values)) == expected, values


_ENDED = {"state": "completed", "ended_at": NOW, "result": "{}"}


def test_entries_of_metadata_are_found_exactly(database: Database) -> None:
    """Whatever stands in them, and nothing that only looks alike."""
    chosen = random.Random(5)
    parts = ['"', "\\", ": ", ", ", "\n", "a", "A", "%", "_", "ü", "\ud800", "\0", "{", "}"]
    texts = ["".join(chosen.choices(parts, k=chosen.randint(1, 4))) for _ in range(40)]
    maps = [{chosen.choice(texts): chosen.choice(texts) for _ in range(3)} for _ in range(40)]
    maps += [{"foo, ": ": ", "next": "z"}, {'x"k\\': "v"}, {"k": "v"}, {"K": "v"}]
    ids = [added(database, metadata=one, now=NOW + number) for number, one in enumerate(maps)]
    kept = database.read_now(lambda c: generations.page(c, PROJECT, CHATS, Cursor(limit=100)))
    assert [one.metadata for one in kept.items] == maps
    asked = [*(entry for one in maps for entry in one.items()), (": ", ", "), ("k\\", "v")]
    for name, value in asked:
        expected = [one for one, entries in zip(ids, maps, strict=True) if entries.get(name) == value]
        assert listed(database, GenerationFilter(kind="chat_completion", metadata={name: value})) == expected


def _in_a_conversation(connection: Connection, new: Sequence[Item]) -> str:
    made = conversations.create(connection, PROJECT, metadata={}, now=NOW)
    conversations.append(connection, PROJECT, made.id, new)
    return made.id


def test_pages_are_read_from_an_index(sqlite_url: str) -> None:
    """No list is sorted, however long it is, and none is read from its start."""
    with Database.open(sqlite_url) as database:
        first, _ = added(database), added(database)
        new = [an_item(1), an_item(2)]
        made = database.write_now(lambda c: _in_a_conversation(c, new))
        here, there = Cursor(after=first), Cursor(after=new[0].id)
        plans: list[tuple[Callable[[Connection], object], str]] = [
            (lambda c: generations.page(c, PROJECT, CHATS, here), "kind=? AND (created_at,id)>(?,?)"),
            (lambda c: conversations.page(c, PROJECT, made, there), "conversation_id=? AND position>?"),
        ]
        for select, expected in plans:
            told = database.read_now(lambda c, select=select: _plan(c, select))  # type: ignore[misc]
            assert expected in told
            assert "TEMP B-TREE" not in told


def _plan(connection: Connection, select: Callable[[Connection], object]) -> str:
    """How SQLite would carry out the last statement that `select` asks."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        asked.append((statement, values))

    event.listen(connection, "before_cursor_execute", note)
    select(connection)
    event.remove(connection, "before_cursor_execute", note)
    statement, values = asked[-1]
    rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
    return " ".join(str(row[-1]) for row in rows)
