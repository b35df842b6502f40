"""Threads: messages in order, one run at a time, everything gone with the thread, projects apart."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from pennyweight.errors import NotFoundError
from pennyweight.store.conversations import Conversations
from pennyweight.store.generation import Lease, NewGeneration, State, WrongStateError
from pennyweight.store.generations import Generations
from pennyweight.store.identifiers import new_id
from pennyweight.store.leases import Leases
from pennyweight.store.pages import Cursor
from pennyweight.store.run_steps import RunStep, RunSteps
from pennyweight.store.runs import ActiveRunError, Runs
from pennyweight.store.tables import metadata
from pennyweight.store.thread_messages import ThreadMessage, ThreadMessages
from pennyweight.store.threads import Threads

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pennyweight.store.database import Database
    from pennyweight.store.runs import Run

NOW = 1_700_000_000
PROJECT = "default"
threads, messages, runs, steps = Threads(), ThreadMessages(), Runs(), RunSteps()


def a_thread(database: Database, *texts: str) -> str:
    def create(connection: Connection) -> str:
        made = threads.create(connection, PROJECT, metadata={"k": "v"}, tool_resources={}, now=NOW)
        new = [
            ThreadMessage(
                id=new_id("msg_"),
                thread_id=made.id,
                run_id=None,
                metadata={},
                body={"text": text},
                created_at=NOW,
            )
            for text in texts
        ]
        messages.append(connection, PROJECT, new)
        return made.id

    return database.write_now(create)


def queued(database: Database, thread_id: str, *, now: int = NOW) -> Run:
    new = NewGeneration(
        id=new_id("run_"), kind="run", model="tiny", request="{}", conversation_id=thread_id, metadata={}
    )
    return database.write_now(
        lambda c: runs.queue(c, PROJECT, new, expires_at=now + 600, streams=True, now=now)
    )


def claimed(database: Database) -> Lease:
    ((_, lease),) = database.write_now(
        lambda c: Leases().claim(c, ["run"], owner="w", now=NOW, lease_s=30, limit=1)
    )
    return lease


def waiting(database: Database, thread_id: str) -> Run:
    """A run that waits for its tools, with a step that is open."""
    run = queued(database, thread_id)
    lease = claimed(database)
    step = RunStep(
        id=new_id("step_"),
        run_id=run.id,
        state="in_progress",
        details={"type": "tool_calls"},
        usage=None,
        created_at=NOW,
        ended_at=None,
    )

    def end(connection: Connection) -> None:
        Generations().finish(connection, lease, to=State.REQUIRES_ACTION, now=NOW, result="{}")
        steps.add(connection, [step])

    database.write_now(end)
    return run


def now_is(database: Database, run: Run) -> tuple[State, list[str]]:
    found = database.read_now(lambda c: runs.get(c, PROJECT, run.thread_id, run.id))
    return found.state, [step.state for step in database.read_now(lambda c: steps.of(c, run.id))]


def test_messages_are_in_order_and_can_be_marked(database: Database) -> None:
    thread_id = a_thread(database, *"abcde")
    found = database.read_now(lambda c: messages.of(c, thread_id))
    assert [message.body["text"] for message in found] == list("abcde")
    page = database.read_now(
        lambda c: messages.page(c, thread_id, Cursor(before=found[4].id, limit=2, order="asc"))
    )
    assert ([message.id for message in page.items], page.has_more) == ([found[2].id, found[3].id], True)
    marked = database.write_now(lambda c: messages.set_metadata(c, thread_id, found[0].id, {"a": "\ud800"}))
    assert marked == replace(found[0], metadata={"a": "\ud800"})
    database.write_now(lambda c: messages.remove(c, PROJECT, thread_id, found[1].id))
    left = database.read_now(lambda c: messages.of(c, thread_id))
    assert [message.body["text"] for message in left] == list("acde")
    with pytest.raises(NotFoundError):
        database.read_now(lambda c: messages.get(c, thread_id, found[1].id))


def test_one_run_at_a_time(database: Database) -> None:
    thread_id = a_thread(database)
    first = queued(database, thread_id)
    with pytest.raises(ActiveRunError, match=f"'{first.id}' .* is queued"):
        queued(database, thread_id)
    database.write_now(lambda c: runs.cancel(c, PROJECT, first.id, now=NOW))
    second = queued(database, thread_id)
    page = database.read_now(lambda c: runs.page(c, PROJECT, thread_id, Cursor(order="desc")))
    assert [run.id for run in page.items] == [second.id, first.id]
    with pytest.raises(WrongStateError):
        database.write_now(lambda c: runs.cancel(c, PROJECT, first.id, now=NOW))


def test_a_run_waits_ten_minutes_for_its_tools(database: Database) -> None:
    thread_id = a_thread(database)
    run = waiting(database, thread_id)
    assert not database.read_now(lambda c: runs.have_expired(c, now=NOW + 599))
    with pytest.raises(ActiveRunError):
        queued(database, thread_id, now=NOW + 599)
    database.write_now(lambda c: runs.extend(c, run.id, expires_at=NOW + 700))
    assert not database.read_now(lambda c: runs.have_expired(c, now=NOW + 699))
    assert database.read_now(lambda c: runs.have_expired(c, now=NOW + 700))
    database.write_now(lambda c: runs.expire(c, now=NOW + 700))
    assert now_is(database, run) == (State.EXPIRED, ["expired"])


def test_whoever_comes_next_ends_what_is_overdue(database: Database) -> None:
    thread_id = a_thread(database)
    run = waiting(database, thread_id)
    queued(database, thread_id, now=NOW + 600)
    assert now_is(database, run) == (State.EXPIRED, ["expired"])


def test_cancelling_ends_open_steps(database: Database) -> None:
    run = waiting(database, a_thread(database))
    database.write_now(lambda c: runs.cancel(c, PROJECT, run.id, now=NOW))
    assert now_is(database, run) == (State.CANCELLED, ["cancelled"])


def test_steps_have_an_order_and_an_end(database: Database) -> None:
    run = waiting(database, a_thread(database))
    (step,) = database.read_now(lambda c: steps.of(c, run.id))
    database.write_now(lambda c: steps.complete(c, step.id, {"type": "tool_calls", "n": 1}, now=NOW))
    more = [replace(step, id=new_id("step_"), usage={"total_tokens": n}) for n in range(3)]
    database.write_now(lambda c: steps.add(c, more))
    found = database.read_now(lambda c: steps.page(c, run.id, Cursor(order="asc", limit=10)))
    assert [item.id for item in found.items] == [step.id, *(item.id for item in more)]
    assert (found.items[0].state, found.items[0].details["n"], found.items[3].usage) == (
        "completed",
        1,
        {"total_tokens": 2},
    )
    with pytest.raises(NotFoundError):
        database.read_now(lambda c: steps.get(c, run.id, "step_none"))


def test_a_thread_takes_everything_with_it(database: Database) -> None:
    before = _counts(database)
    thread_id = a_thread(database, "a", "b")
    waiting(database, thread_id)
    other = a_thread(database)
    database.write_now(lambda c: threads.delete(c, PROJECT, thread_id))
    database.write_now(lambda c: threads.delete(c, PROJECT, other))
    assert _counts(database) == before
    with pytest.raises(NotFoundError):
        database.read_now(lambda c: threads.get(c, PROJECT, thread_id))


def test_threads_and_conversations_of_others_are_not_there(database: Database) -> None:
    thread_id = a_thread(database)
    conversation = database.write_now(lambda c: Conversations().create(c, PROJECT, metadata={}, now=NOW))
    for project, wrong in (("other", thread_id), (PROJECT, conversation.id)):
        with pytest.raises(NotFoundError, match=wrong):
            database.read_now(lambda c, p=project, w=wrong: threads.get(c, p, w))  # type: ignore[misc]
    run = queued(database, thread_id)
    with pytest.raises(NotFoundError):
        database.read_now(lambda c: runs.get(c, "other", thread_id, run.id))


def _counts(database: Database) -> dict[str, int]:
    tables = metadata.sorted_tables
    return database.read_now(
        lambda c: {
            table.name: c.execute(select(func.count()).select_from(table)).scalar_one() for table in tables
        }
    )
