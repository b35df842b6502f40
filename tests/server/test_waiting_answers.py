"""Runs and responses in the background that wait: how many may, for how long, and with which keys."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import openai
import pytest

from pennyweight.store.keys import Keys
from pennyweight.store.runs import Runs
from tests.server.assisting import SHORT
from tests.server.issuing import new_key, new_project
from tests.server.live import eventually, live_server
from tests.store.kept_usage import kept_usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pennyweight.api import Engine
    from pennyweight.store.organization import IssuedKey
    from tests.server.live import LiveServer

MOST = 12
AT_ONCE = 8  # of one project


@pytest.fixture(scope="module")
def keyed(engine: Engine) -> Iterator[LiveServer]:
    with live_server(engine, max_queued_answers=MOST) as server:
        yield server


@contextmanager
def busy(server: LiveServer) -> Iterator[tuple[str, openai.OpenAI, Callable[[], None]]]:
    """A project whose further answers wait, until the function is called or the block ends."""
    project = new_project(server)
    with server.client(new_key(server, project).secret.text) as client:
        ids = [endless(client, server) for _ in range(AT_ONCE)]
        eventually(lambda: all(client.responses.retrieve(own_id).status == "in_progress" for own_id in ids))

        def free() -> None:
            for own_id in ids:
                client.responses.cancel(own_id)

        yield project, client, free
        free()


def endless(client: openai.OpenAI, server: LiveServer) -> str:
    fields: dict[str, Any] = {"max_output_tokens": 30_000, "extra_body": {"ignore_eos": True}}
    return client.responses.create(model=server.model, input="Hi", background=True, **fields).id


def queued(client: openai.OpenAI, server: LiveServer, **fields: Any) -> str:
    fields = {"max_output_tokens": 6, **fields}
    return client.responses.create(model=server.model, input="Hi", background=True, **fields).id


def new_run(client: openai.OpenAI, server: LiveServer) -> Any:
    assistant = client.beta.assistants.create(model=server.model)
    thread: Any = {"messages": [{"role": "user", "content": "Hi"}]}
    return client.beta.threads.create_and_run(assistant_id=assistant.id, thread=thread, **SHORT)


def test_a_project_may_queue_so_many(keyed: LiveServer) -> None:
    stranger = new_key(keyed, new_project(keyed)).secret.text
    with busy(keyed) as (_, client, free), keyed.client(stranger) as other:
        waiting = [queued(client, keyed) for _ in range(MOST - AT_ONCE - 1)]
        run = new_run(client, keyed)
        for one_more in (queued, new_run):
            says = f"{MOST} responses and runs .* limit {MOST}"
            with pytest.raises(openai.RateLimitError, match=says) as caught:
                one_more(client, keyed)
            assert (caught.value.code, caught.value.type) == ("answer_queue_full", "requests")
            assert caught.value.response.headers["x-should-retry"] == "false"
        assert len(list(client.beta.threads.runs.list(run.thread_id))) == 1
        queued(other, keyed)  # the queue is the project's own
        client.responses.cancel(waiting[0])
        waiting.append(queued(client, keyed))
        free()
        eventually(lambda: client.responses.retrieve(waiting[-1]).status in ("completed", "incomplete"))


def test_a_run_that_waits_too_long_has_expired(keyed: LiveServer) -> None:
    """By itself: nobody looks but the one who follows its stream."""
    with busy(keyed) as (_, client, _free), ExitStack() as stack:
        assistant = client.beta.assistants.create(model=keyed.model)
        thread = client.beta.threads.create(messages=[{"role": "user", "content": "Hi"}])
        asked = client.beta.threads.runs.create(thread.id, assistant_id=assistant.id, stream=True)
        stream = stack.enter_context(asked)
        run: Any = next(iter(stream)).data
        assert next(iter(stream)).event == "thread.run.queued"
        keyed.services.database.write_now(lambda c: Runs().extend(c, run.id, expires_at=1))
        events = list(stream)
        assert [(event.event, event.data.status) for event in events] == [  # type: ignore[union-attr]
            ("thread.run.expired", "expired")
        ]


def revoke(server: LiveServer, project: str, key: IssuedKey) -> str:
    database, now = server.services.database, int(time.time())
    database.write_now(lambda c: Keys().revoke(c, project, key.key.id, now=now))
    return "was revoked"


def expire(server: LiveServer, project: str, key: IssuedKey) -> str:
    database = server.services.database
    database.write_now(lambda c: Keys().update(c, project, key.key.id, scopes=None, expires_at=1))
    return "has expired"


def narrow(server: LiveServer, project: str, key: IssuedKey) -> str:
    database = server.services.database
    scopes = ("api.threads.write", "api.responses.read")
    database.write_now(lambda c: Keys().update(c, project, key.key.id, scopes=scopes, expires_at=None))
    return "no longer has the scope model.request"


def test_what_a_key_queued_goes_with_its_rights(keyed: LiveServer) -> None:
    """It is not answered, and says why to those who may still look."""
    with busy(keyed) as (project, client, free):
        made = []
        for change in (revoke, expire, narrow):
            key = new_key(keyed, project)
            with keyed.client(key.secret.text) as maker:
                ask = new_run if change is revoke else queued
                answer = ask(maker, keyed)
            made.append((answer, key, change(keyed, project, key)))
        free()
        for answer, key, says in made:
            noun, error, output = refused(client, answer)
            assert error.code == "invalid_prompt"
            assert error.message == f"The API key that made this {noun} {says}."
            assert output == []
            (row,) = [row for row in used(keyed, project) if row.key_id == key.key.id]
            assert (row.outcome, row.prompt_tokens, row.completion_tokens) == ("refused", 0, 0)


def refused(client: openai.OpenAI, answer: Any) -> tuple[str, Any, list[Any]]:
    """What a failed run or response says, and what it wrote."""
    if isinstance(answer, str):
        eventually(lambda: client.responses.retrieve(answer).status == "failed")
        response = client.responses.retrieve(answer)
        return "response", response.error, list(response.output)
    run = client.beta.threads.runs.poll(answer.id, thread_id=answer.thread_id)
    assert run.status == "failed"
    messages = client.beta.threads.messages.list(run.thread_id)
    return "run", run.last_error, [message for message in messages if message.role == "assistant"]


def test_a_search_needs_its_scope_until_it_is_made(keyed: LiveServer) -> None:
    with busy(keyed) as (project, client, free):
        key = new_key(keyed, project)
        store = client.vector_stores.create()
        tools: Any = [{"type": "file_search", "vector_store_ids": [store.id]}]
        with keyed.client(key.secret.text) as maker:
            response = queued(maker, keyed, tools=tools)
        scopes = ("model.request",)
        keyed.services.database.write_now(
            lambda c: Keys().update(c, project, key.key.id, scopes=scopes, expires_at=None)
        )
        free()
        eventually(lambda: client.responses.retrieve(response).status == "failed")
        error = client.responses.retrieve(response).error
        assert error is not None
        assert error.message.endswith("no longer has the scope api.vector_stores.read.")


def used(server: LiveServer, project: str) -> list[Any]:
    eventually(lambda: server.services.usage.num_waiting == 0)
    return list(server.services.database.read_now(lambda c: kept_usage(c, project)))
