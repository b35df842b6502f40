"""Killed after every durable write of a run, and in its midst: answered once, or failed, never lost."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from pennyweight.store.database import Database
from pennyweight.store.verify import verify
from tests.jobs.places import ASSISTANTS, of_today
from tests.jobs.service import GONE, Service
from tests.models.tiny import write_tiny_llama

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import openai

PLACES = ("generation.claimed", "generation.events", "generation.events@2", "generation.ended@2")
BROKEN = (*GONE, httpx2.HTTPError)  # a stream breaks off without the client's own error
ENDED = ("completed", "incomplete")
ROUNDS = int(os.environ.get("CRASH_ROUNDS", "3"))  # `make crash` runs 50
TOOL: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(write_tiny_llama(tmp_path / "tiny.gguf", context_length=16_384), tmp_path / "data")
    yield service
    service.kill()


def a_thread(client: openai.OpenAI) -> tuple[str, str]:
    """A thread and an assistant that answers greedily."""
    assistant = client.beta.assistants.create(model="gpt-4o-mini", temperature=0)
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "Hi"}])
    return thread.id, assistant.id


def exercise(client: openai.OpenAI) -> None:
    """A run of each kind; returns early when the server has gone."""
    with suppress(*BROKEN):
        thread_id, assistant_id = a_thread(client)
        asked: dict[str, Any] = {"assistant_id": assistant_id, "max_completion_tokens": 8}
        client.beta.threads.runs.create_and_poll(thread_id=thread_id, **asked)
        long = asked | {"max_completion_tokens": 4000}  # its events are surely written in several portions
        with client.beta.threads.runs.stream(thread_id=thread_id, **long) as stream:
            stream.until_done()
        run = client.beta.threads.runs.create(thread_id, assistant_id=assistant_id)
        client.beta.threads.runs.cancel(run.id, thread_id=thread_id)
        time.sleep(0.5)  # where the server dies of what it has just done


def the_run(client: openai.OpenAI, thread_id: str) -> Any:
    """The thread's one run, when it has ended."""
    (run,) = client.beta.threads.runs.list(thread_id)
    return client.beta.threads.runs.poll(run.id, thread_id=thread_id)


def num_answers(client: openai.OpenAI, thread_id: str) -> int:
    return [message.role for message in client.beta.threads.messages.list(thread_id)].count("assistant")


def begun(service: Service, **fields: Any) -> tuple[str, threading.Thread]:
    """A thread with a run that is being asked for."""
    with service.client as asking_first:
        thread_id, assistant_id = a_thread(asking_first)

    def ask() -> None:
        with suppress(*BROKEN), service.client as client:
            client.beta.threads.runs.create(thread_id, assistant_id=assistant_id, **fields)

    asking = threading.Thread(target=ask)
    asking.start()
    return thread_id, asking


def exercise_all(client: openai.OpenAI) -> None:
    """Everything about assistants, threads and messages; returns early when the server has gone."""
    beta: Any = client.beta
    with suppress(*BROKEN):
        thread_id, assistant_id = a_thread(client)
        beta.assistants.update(assistant_id, name="x")
        beta.threads.update(thread_id, metadata={"a": "b"})
        message = beta.threads.messages.create(thread_id, role="user", content="More.").id
        beta.threads.messages.update(message, thread_id=thread_id, metadata={"a": "b"})
        beta.threads.messages.delete(message, thread_id=thread_id)
        run = beta.threads.runs.create_and_poll(
            thread_id=thread_id, assistant_id=assistant_id, max_completion_tokens=8
        )
        beta.threads.runs.update(run.id, thread_id=thread_id, metadata={"a": "b"})
        for _ in range(2):  # on a slow disk all events of one become a single portion
            exercise(client)
        beta.assistants.delete(assistant_id)
        beta.threads.delete(thread_id)


def overdue(service: Service) -> tuple[str, str]:
    """A thread, and its run that waited for its tools for too long."""
    service.start()
    with service.client as client:
        assistant = client.beta.assistants.create(model="gpt-4o-mini", tools=[TOOL], temperature=0)
        run = client.beta.threads.create_and_run_poll(
            assistant_id=assistant.id,
            thread={"messages": [{"role": "user", "content": "Hi"}]},
            tool_choice="required",
        )
        assert run.status == "requires_action"
    service.kill()
    service.sql("UPDATE runs SET expires_at = 1")
    return run.thread_id, run.id


@pytest.mark.parametrize("place", [*of_today(ASSISTANTS), *PLACES])
def test_killed_after_a_durable_write(service: Service, place: str) -> None:
    late = overdue(service) if place == "run.expired" else None
    service.start(failpoint=place)
    with service.client as first:
        if late is None:
            exercise_all(first)
        else:
            with suppress(*BROKEN):
                first.beta.threads.runs.retrieve(late[1], thread_id=late[0])
    assert service.wait_until_dead() == -signal.SIGKILL, f"{place} was not reached"
    settled(service)


def settled(service: Service) -> dict[str, str]:
    """Started again every run gets its end, and each answer is there once; the ends by run."""
    service.start()
    with Database.open(f"sqlite:///{next(service.folder.glob('*.db'))}") as database:
        thread_ids = database.read_now(
            lambda c: c.exec_driver_sql("SELECT DISTINCT thread_id FROM runs").scalars().all()
        )
        assert not [v.findings for v in verify(database, service.folder) if v.findings]
    client, ends = service.client, {}
    for thread_id in thread_ids:
        own = {
            run.id: client.beta.threads.runs.poll(run.id, thread_id=thread_id).status
            for run in client.beta.threads.runs.list(thread_id)
        }
        assert set(own.values()) <= {*ENDED, "failed", "cancelled", "expired"}
        assert num_answers(client, thread_id) == sum(end in ENDED for end in own.values())
        ends |= own
    return ends


def test_killed_at_random_moments(service: Service) -> None:
    moments = random.Random(os.environ.get("CRASH_SEED", "1"))
    told: dict[str, str] = {}  # what clients were told of runs; an end stays
    for _ in range(ROUNDS):
        service.start()
        asking = threading.Thread(target=ask_on, args=(service, told))
        asking.start()
        time.sleep(moments.uniform(0.1, 1.0))
        service.kill()
        asking.join()
    ends = settled(service)
    for run_id, status in told.items():
        assert run_id in ends
        assert status not in ENDED or ends[run_id] == status


def ask_on(service: Service, told: dict[str, str]) -> None:
    """Runs one after the other, every third one followed, until the server has gone."""
    with suppress(*BROKEN), service.client as client:
        for number in range(1000):
            thread_id, assistant_id = a_thread(client)
            asked: dict[str, Any] = {"assistant_id": assistant_id, "max_completion_tokens": 40 * (number + 1)}
            if number % 3 == 1:
                for event in client.beta.threads.runs.create(thread_id, stream=True, **asked):
                    if event.event.startswith("thread.run.") and ".step" not in event.event:
                        told[event.data.id] = event.data.status
                continue
            run = client.beta.threads.runs.create(thread_id, **asked)
            told[run.id] = run.status
            told[run.id] = client.beta.threads.runs.poll(run.id, thread_id=thread_id).status


def test_what_nobody_has_seen_is_answered_again(service: Service) -> None:
    service.start()
    thread_id, asking = begun(service, max_completion_tokens=4000)
    asking.join()
    time.sleep(0.3)  # it is being written
    service.kill()
    service.start()
    assert the_run(service.client, thread_id).status in ENDED
    assert num_answers(service.client, thread_id) == 1


def test_what_somebody_has_seen_is_not(service: Service) -> None:
    service.start()
    with service.client as client, suppress(*BROKEN):
        thread_id, assistant_id = a_thread(client)
        asked = client.beta.threads.runs.create(
            thread_id, assistant_id=assistant_id, max_completion_tokens=12_000, stream=True
        )
        for event in asked:
            if event.event == "thread.message.delta":
                service.kill()
    service.start()
    run = the_run(service.client, thread_id)
    assert run.last_error is not None
    assert (run.status, run.last_error.code) == ("failed", "server_error")
    assert num_answers(service.client, thread_id) == 0


def test_a_restart_in_between(service: Service) -> None:
    """Calls that wait for their results wait on."""
    service.start()
    client = service.client
    assistant = client.beta.assistants.create(model="gpt-4o-mini", tools=[TOOL], temperature=0)
    run = client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id,
        thread={"messages": [{"role": "user", "content": "Hi"}]},
        tool_choice="required",
        parallel_tool_calls=False,
    )
    assert run.status == "requires_action"
    service.stop()
    service.start()
    found = client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)
    assert found == run
    assert found.required_action is not None
    calls = found.required_action.submit_tool_outputs.tool_calls
    outputs: Any = [{"tool_call_id": call.id, "output": "done"} for call in calls]
    then = client.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id, thread_id=run.thread_id, tool_outputs=outputs
    )
    assert then.status in (*ENDED, "requires_action")
