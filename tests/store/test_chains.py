"""Chains of generations: read from the root on, within a project, whatever was deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pennyweight.errors import NotFoundError
from pennyweight.store.chains import Chains
from pennyweight.store.generation import NewGeneration, State
from pennyweight.store.generations import Generations
from pennyweight.store.identifiers import new_id
from pennyweight.store.items import Item, Items
from pennyweight.store.projects import Projects

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pennyweight.store.database import Database

NOW = 1_700_000_000
PROJECT = "default"
chains, generations, items = Chains(), Generations(), Items()


def link(connection: Connection, parent_id: str | None, project: str = PROJECT) -> str:
    """A completed response that continues `parent_id`, with two items in and one out."""
    new = NewGeneration(
        id=new_id("resp_"), kind="response", model="m", request="{}", parent_id=parent_id, metadata={}
    )
    generations.keep(connection, project, new, state=State.COMPLETED, now=NOW)
    given = [Item(id=new_id("msg_"), type="message", wire="{}", created_at=NOW) for _ in range(3)]
    items.add(connection, project, given)
    items.give(connection, new.id, "output", [given[2].id])
    items.give(connection, new.id, "input", [given[0].id, given[1].id])
    return new.id


def linked(database: Database, length: int) -> list[str]:
    ids: list[str] = []
    for _ in range(length):
        parent = ids[-1] if ids else None
        ids.append(database.write_now(lambda c, parent=parent: link(c, parent)))  # type: ignore[misc]
    return ids


def own_items(database: Database, generation_id: str) -> list[str]:
    both = (items.of, "input"), (items.of, "output")
    return [
        item.id
        for of, role in both
        for item in database.read_now(lambda c, of=of, role=role: of(c, PROJECT, generation_id, role))  # type: ignore[misc]
    ]


def test_a_chain_is_read_from_its_root(database: Database) -> None:
    ids = linked(database, 4)
    chain = database.read_now(lambda c: chains.get(c, PROJECT, ids[2]))
    assert (chain.root.id, chain.last.id) == (ids[0], ids[2])
    wanted = [item for one in ids[:3] for item in own_items(database, one)]
    found = database.read_now(lambda c: chains.items(c, PROJECT, ids[2]))
    assert [item.id for item in found] == wanted
    given = database.read_now(lambda c: chains.inputs(c, PROJECT, ids[2]))
    assert [item.id for item in given] == wanted[:-1]


def test_a_chain_may_be_long(database: Database) -> None:
    ids = linked(database, 60)
    assert len(database.read_now(lambda c: chains.items(c, PROJECT, ids[-1]))) == 180


def test_a_chain_begins_where_its_parent_was_deleted(database: Database) -> None:
    ids = linked(database, 3)
    database.write_now(lambda c: generations.delete(c, PROJECT, ids[0]))
    assert database.read_now(lambda c: chains.get(c, PROJECT, ids[2])).root.id == ids[1]


def test_another_project_has_no_such_chain(database: Database) -> None:
    ids = linked(database, 2)
    other = database.write_now(lambda c: Projects().create(c, name="o", now=NOW)).id
    with pytest.raises(NotFoundError):
        database.read_now(lambda c: chains.get(c, other, ids[1]))
    assert database.read_now(lambda c: chains.items(c, other, ids[1])) == []
    held = own_items(database, ids[0])
    assert database.read_now(lambda c: items.find(c, other, held)) == {}
    assert database.read_now(lambda c: items.find(c, PROJECT, held)).keys() == set(held)
    with pytest.raises(NotFoundError, match=held[0] if held[0] < held[1] else held[1]):
        database.read_now(lambda c: items.require(c, other, held[:2]))
