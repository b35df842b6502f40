"""Generations: eight states, changed by one at a time; leases; nothing of another project."""

from __future__ import annotations

from itertools import product
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from pennyweight.errors import NotFoundError
from pennyweight.store.database import Database
from pennyweight.store.events import Event, Events
from pennyweight.store.generation import (
    ENDED,
    FROM,
    Generation,
    Lease,
    LeaseLostError,
    NewGeneration,
    State,
    WrongStateError,
)
from pennyweight.store.generations import Generations
from pennyweight.store.identifiers import new_id
from pennyweight.store.items import Item, Items
from pennyweight.store.leases import Leases
from pennyweight.store.projects import Projects
from pennyweight.store.tables.conversations import items as item_table
from pennyweight.store.tables.generations import events as event_table
from pennyweight.store.tables.generations import generations as table
from tests.store.begun import begun

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

NOW = 1_700_000_000
PROJECT = "default"
generations, leases, events, items = Generations(), Leases(), Events(), Items()


def a_generation(**values: Any) -> NewGeneration:
    fields: dict[str, Any] = {
        "kind": "response",
        "model": "tiny",
        "request": '{"model": "tiny"}',
        "metadata": {},
    }
    return NewGeneration(**{"id": new_id("resp_"), **fields, **values})


def queued(database: Database, **values: Any) -> str:
    new = a_generation(**values)
    database.write_now(lambda c: generations.queue(c, PROJECT, new, now=NOW))
    return new.id


def claimed(database: Database, *, now: int = NOW, limit: int = 1) -> list[tuple[Generation, Lease]]:
    return database.write_now(
        lambda c: leases.claim(c, ["response"], owner="w", now=now, lease_s=30, limit=limit)
    )


def finished(lease: Lease, to: State = State.COMPLETED, **values: Any) -> Callable[[Connection], Generation]:
    return lambda connection: generations.finish(connection, lease, to=to, now=NOW + 5, **values)


def moved(generation_id: str, to: State) -> Callable[[Connection], Generation]:
    return lambda connection: generations.move(connection, PROJECT, generation_id, to=to, now=NOW + 5)


def got(database: Database, generation_id: str, project: str = PROJECT) -> Generation:
    return database.read_now(lambda connection: generations.get(connection, project, generation_id))


def test_a_life(database: Database) -> None:
    request = '{"model":"tiny", "note":"\\u0000\\ud800", "n":1.0}'
    generation_id = queued(database, request=request, metadata={"a": "b"}, parent_id=None)
    waiting = got(database, generation_id)
    assert (waiting.state, waiting.request, waiting.metadata) == (State.QUEUED, request, {"a": "b"})
    [(working, lease)] = claimed(database, now=NOW + 1)
    assert (working.state, working.started_at, working.attempt) == (State.IN_PROGRESS, NOW + 1, 1)
    assert (lease.generation_id, lease.fence, lease.expires_at) == (generation_id, 1, NOW + 31)
    ended = database.write_now(finished(lease, result='{"id":1}'))
    assert (ended.state, ended.result, ended.ended_at) == (State.COMPLETED, '{"id":1}', NOW + 5)
    assert ended.has_ended
    assert got(database, generation_id) == ended


def test_the_error_of_one_that_failed_is_kept(database: Database) -> None:
    new = a_generation()
    lease = database.write_now(lambda c: begun(c, PROJECT, new, now=NOW))
    assert claimed(database) == []
    assert got(database, new.id).attempt == 1
    error = {"code": "server_error", "message": "no"}
    ended = database.write_now(finished(lease, State.FAILED, error=error))
    assert ended.error == '{"code": "server_error", "message": "no"}'


def put_into(database: Database, state: State) -> tuple[str, Lease]:
    """A generation in `state`, whatever it took to get there."""
    new = a_generation()
    lease = database.write_now(lambda c: begun(c, PROJECT, new, now=NOW))
    values: dict[str, Any] = {"state": state, "ended_at": NOW if state in ENDED else None}
    if state is not State.IN_PROGRESS:
        values["lease_expires_at"] = None
    database.write_now(lambda c: c.execute(update(table).where(table.c.id == new.id).values(**values)))
    return new.id, lease


@pytest.mark.parametrize("to", [state for state in State if state is not State.IN_PROGRESS])
def test_every_change_of_state_that_there_is_and_no_other(database: Database, to: State) -> None:
    for state in State:
        generation_id, _ = put_into(database, state)
        if state in FROM[to]:
            assert database.write_now(moved(generation_id, to)).state is to
        else:
            with pytest.raises(WrongStateError, match=f"is {state} and cannot become {to}"):
                database.write_now(moved(generation_id, to))
            assert got(database, generation_id).state is state


def test_the_database_itself_refuses_states_that_cannot_be(database: Database) -> None:
    generation_id, _ = put_into(database, State.IN_PROGRESS)
    impossible = [{"state": "asleep"}, {"state": "completed"}, {"lease_expires_at": None}, {"ended_at": NOW}]
    for values in impossible:
        with pytest.raises(IntegrityError):
            database.write_now(
                lambda c, values=values: c.execute(  # type: ignore[misc]
                    update(table).where(table.c.id == generation_id).values(**values)
                )
            )


def test_what_was_cancelled_is_not_completed_afterwards(database: Database) -> None:
    generation_id = queued(database)
    [(_, lease)] = claimed(database)
    database.write_now(moved(generation_id, State.CANCELLED))
    with pytest.raises(WrongStateError, match="is cancelled and cannot become completed"):
        database.write_now(finished(lease))
    with pytest.raises(LeaseLostError):
        database.write_now(lambda c: leases.renew(c, lease, now=NOW, lease_s=30))


def test_an_outlived_worker_changes_nothing(database: Database) -> None:
    generation_id = queued(database)
    [(_, old)] = claimed(database)
    late = old.expires_at
    assert database.write_now(lambda c: leases.expire(c, ["response"], now=late - 1, max_attempts=3)) == 0
    assert database.write_now(lambda c: leases.expire(c, ["response"], now=late, max_attempts=3)) == 1
    [(again, new)] = claimed(database, now=late)
    assert (again.attempt, new.fence) == (2, old.fence + 1)
    for work in (
        finished(old),
        lambda c: leases.renew(c, old, now=late, lease_s=30),
        lambda c: events.append(c, old, [Event(sequence_number=0, wire="{}")], now=late),
    ):
        with pytest.raises(LeaseLostError):
            database.write_now(work)
    renewed = database.write_now(lambda c: leases.renew(c, new, now=late + 20, lease_s=30))
    assert (renewed.fence, renewed.expires_at) == (new.fence, late + 50)
    assert database.write_now(finished(renewed)).id == generation_id


def test_what_always_takes_its_worker_down_fails(database: Database) -> None:
    generation_id = queued(database)
    now = NOW
    for _ in range(3):
        assert len(claimed(database, now=now)) == 1
        now += 30
        at = now
        database.write_now(lambda c, at=at: leases.expire(c, ["response"], now=at, max_attempts=3))  # type: ignore[misc]
    ended = got(database, generation_id)
    assert (ended.state, ended.ended_at) == (State.FAILED, now)
    assert ended.error is not None
    assert "server_error" in ended.error


def test_claims_come_in_order_and_of_the_kind_asked_for(database: Database) -> None:
    queued(database, kind="run")
    wanted = {queued(database) for _ in range(5)}
    first = claimed(database, limit=3)
    assert [g.id for g, _ in first] == sorted(g.id for g, _ in first)
    assert {g.id for g, _ in first + claimed(database, limit=9)} == wanted


def test_two_processes_never_claim_the_same(database_url: str) -> None:
    with Database.open(database_url) as one, Database.open(database_url) as other:
        wanted = {queued(one) for _ in range(60)}
        found: list[str] = []

        def work(database: Database) -> None:
            while some := claimed(database, limit=3):
                found.extend(generation.id for generation, _ in some)

        threads = [Thread(target=work, args=(database,)) for database in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == sorted(wanted)


def test_another_project_finds_nothing(database: Database) -> None:
    other = database.write_now(lambda c: Projects().create(c, name="other", now=NOW).id)
    generation_id = queued(database)
    [(_, lease)] = claimed(database)
    database.write_now(lambda c: events.append(c, lease, [Event(sequence_number=0, wire="{}")], now=NOW))
    works: list[Callable[[Connection], object]] = [
        lambda c: generations.get(c, other, generation_id),
        lambda c: generations.move(c, other, generation_id, to=State.CANCELLED, now=NOW),
        lambda c: generations.set_metadata(c, other, generation_id, {}),
        lambda c: generations.delete(c, other, generation_id),
    ]
    for work in works:
        with pytest.raises(NotFoundError, match=generation_id):
            database.write_now(work)
    assert database.read_now(lambda c: events.after(c, other, generation_id)) == []
    assert database.read_now(lambda c: len(events.after(c, PROJECT, generation_id))) == 1


def test_events_are_replayed_from_any_number(database: Database) -> None:
    generation_id = queued(database)
    [(_, lease)] = claimed(database)
    sent = [Event(sequence_number=number, wire=f'{{"n":{number}}}') for number in range(6)]
    for start, stop in ((0, 4), (4, 6)):
        database.write_now(lambda c, new=sent[start:stop]: events.append(c, lease, new, now=NOW))  # type: ignore[misc]
    assert database.read_now(lambda c: events.after(c, PROJECT, generation_id)) == sent
    assert database.read_now(lambda c: events.after(c, PROJECT, generation_id, number=3)) == sent[4:]
    assert (
        database.read_now(lambda c: events.after(c, PROJECT, generation_id, number=1, limit=2)) == sent[2:4]
    )
    with pytest.raises(IntegrityError):
        database.write_now(lambda c: events.append(c, lease, sent[5:], now=NOW))


def test_deleting_takes_everything_along(database: Database) -> None:
    parent, child = queued(database), a_generation()
    child = NewGeneration(**{name: getattr(child, name) for name in child.__slots__} | {"parent_id": parent})
    database.write_now(lambda c: generations.queue(c, PROJECT, child, now=NOW))
    shared, own = (Item(id=new_id("msg_"), type="message", wire="{}", created_at=NOW) for _ in range(2))
    database.write_now(lambda c: items.add(c, PROJECT, [shared, own]))
    database.write_now(lambda c: items.give(c, parent, "input", [shared.id, own.id]))
    database.write_now(lambda c: items.give(c, child.id, "input", [shared.id]))
    database.write_now(
        lambda c: c.execute(
            insert(event_table).values(generation_id=parent, sequence_number=0, wire="", created_at=0)
        )
    )
    assert database.read_now(lambda c: items.of(c, PROJECT, parent, "input")) == [shared, own]
    database.write_now(lambda c: generations.delete(c, PROJECT, parent))
    assert database.read_now(lambda c: c.execute(select(item_table.c.id)).scalars().all()) == [shared.id]
    assert database.read_now(lambda c: c.execute(select(event_table)).all()) == []
    assert got(database, child.id).parent_id is None
    with pytest.raises(NotFoundError):
        got(database, parent)


def test_metadata_is_replaced(database: Database) -> None:
    generation_id = queued(database, metadata={"a": "1"})
    changed = database.write_now(lambda c: generations.set_metadata(c, PROJECT, generation_id, {"b": "2"}))
    assert changed.metadata == got(database, generation_id).metadata == {"b": "2"}


def test_every_state_is_entered_from_somewhere() -> None:
    assert set(FROM) == set(State)
    assert all(not (ENDED & sources) for sources in FROM.values())
    assert all(to in ENDED or state not in ENDED for to, state in product(State, State) if state in FROM[to])
