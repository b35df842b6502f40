"""Leases of what workers answer: looked for, given back, and lost with what somebody may have seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pennyweight.store.events import Event, Events
from pennyweight.store.generation import NewGeneration, State
from pennyweight.store.generations import Generations
from pennyweight.store.identifiers import new_id
from pennyweight.store.leases import Leases

if TYPE_CHECKING:
    from pennyweight.store.database import Database
    from pennyweight.store.generation import Generation, Lease

NOW = 1_700_000_000
KINDS = ("response",)
generations, leases, events = Generations(), Leases(), Events()


def queued(database: Database) -> str:
    new = NewGeneration(id=new_id("resp_"), kind="response", model="m", request="{}", metadata={}, key_id="k")
    database.write_now(lambda c: generations.queue(c, "default", new, now=NOW))
    return new.id


def claimed(database: Database) -> Lease:
    [(_, lease)] = database.write_now(
        lambda c: leases.claim(c, KINDS, owner="w", now=NOW, lease_s=30, limit=1)
    )
    return lease


def told(database: Database, lease: Lease) -> None:
    event = Event(sequence_number=2, wire='{"n":2}')
    database.write_now(lambda c: events.append(c, lease, [event], now=NOW))


def expire(database: Database, *, max_attempts: int = 2) -> int:
    return database.write_now(lambda c: leases.expire(c, KINDS, now=NOW + 30, max_attempts=max_attempts))


def got(database: Database, generation_id: str) -> Generation:
    return database.read_now(lambda c: generations.get(c, "default", generation_id))


def test_what_waits_is_seen(database: Database) -> None:
    def waits() -> bool:
        return database.read_now(lambda c: leases.any_waits(c, KINDS))

    def expired() -> bool:
        return database.read_now(lambda c: leases.have_expired(c, KINDS, now=NOW + 30))

    assert not waits()
    generation_id = queued(database)
    assert waits()
    assert not database.read_now(lambda c: leases.any_waits(c, ("run",)))
    claimed(database)
    assert (waits(), expired()) == (False, True)
    assert got(database, generation_id).key_id == "k"
    assert expire(database) == 1
    assert (waits(), expired()) == (True, False)


def test_what_nobody_has_seen_is_answered_once_more(database: Database) -> None:
    generation_id = queued(database)
    for state in (State.QUEUED, State.FAILED):
        claimed(database)
        assert expire(database) == 1
        assert got(database, generation_id).state is state


def test_what_somebody_may_have_seen_is_not_answered_anew(database: Database) -> None:
    generation_id = queued(database)
    told(database, claimed(database))
    assert expire(database, max_attempts=9) == 1
    ended = got(database, generation_id)
    assert ended.state is State.FAILED
    assert ended.error is not None
    assert "server_error" in ended.error


def test_giving_back_is_no_attempt(database: Database) -> None:
    generation_id = queued(database)
    for _ in range(3):
        lease = claimed(database)
        database.write_now(lambda c, lease=lease: leases.release(c, lease))  # type: ignore[misc]
        waiting = got(database, generation_id)
        assert (waiting.state, waiting.attempt) == (State.QUEUED, 0)


@pytest.mark.parametrize("why", ["told", "ended", "taken over"])
def test_what_is_not_given_back(database: Database, why: str) -> None:
    generation_id, lease = queued(database), claimed(database)
    if why == "told":
        told(database, lease)
    elif why == "ended":
        database.write_now(
            lambda c: generations.move(c, "default", generation_id, to=State.CANCELLED, now=NOW)
        )
    else:
        expire(database)
        claimed(database)
    before = got(database, generation_id)
    database.write_now(lambda c: leases.release(c, lease))
    assert got(database, generation_id) == before


def test_the_last_event(database: Database) -> None:
    generation_id, lease = queued(database), claimed(database)
    assert database.read_now(lambda c: events.last(c, "default", generation_id)) is None
    told(database, lease)
    more = [Event(sequence_number=number, wire="{}") for number in (3, 10)]
    database.write_now(lambda c: events.append(c, lease, more, now=NOW))
    last = database.read_now(lambda c: events.last(c, "default", generation_id))
    assert last is not None
    assert last.sequence_number == 10
    assert database.read_now(lambda c: events.last(c, "other", generation_id)) is None
