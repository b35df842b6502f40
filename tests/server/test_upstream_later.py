"""Runs and responses in the background that a second Pennyweight process answers, until it is killed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from pennyweight.upstreams import Upstream
from tests.server.assisting import CALL, LONG, SHORT, STRICT, thread_with, written
from tests.server.live import LiveServer, eventually, live_server
from tests.server.second import second_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    import openai
    from openai.types.beta import Assistant

    from pennyweight.api import Engine
    from tests.server.second import Second

ENDLESS: Any = {"max_output_tokens": 30_000, "extra_body": {"ignore_eos": True}}
REPORT = b"Apple had 15,552,752,000 shares outstanding at the end of October 2023.\n\nPears are green."


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Iterator[Second]:
    home = tmp_path_factory.mktemp("second")
    arguments = ("--model", str(engine.model.path), "--parallel", "4", "--threads", "1")
    with second_process(home, *arguments) as second:
        yield second


@pytest.fixture(scope="module")
def server(engine: Engine, far: Second) -> Iterator[LiveServer]:
    upstream = Upstream(name="far", url=f"{far.url}/v1", model="tiny-long", kind="pennyweight")
    with live_server(engine, upstream={"far": upstream}) as server:
        yield server


@pytest.fixture
def writer(client: openai.OpenAI) -> Assistant:
    return client.beta.assistants.create(model="far", instructions="Be brief.", temperature=0)


def running(far: Second) -> int:
    queue: int = httpx.get(f"{far.url}/health").json()["queue"]["running"]
    return queue


def test_a_function_is_called_and_its_result_read(client: openai.OpenAI) -> None:
    caller = client.beta.assistants.create(model="far", tools=[STRICT], temperature=0)
    thread = thread_with(client, "Weather?")
    runs = client.beta.threads.runs
    run = runs.create_and_poll(thread_id=thread.id, assistant_id=caller.id, **CALL)
    assert (run.status, run.model) == ("requires_action", "far")
    assert run.required_action is not None
    (call,) = run.required_action.submit_tool_outputs.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments)["city"] in ("Rome", "Oslo")
    outputs: Any = [{"tool_call_id": call.id, "output": "7 degrees"}]
    runs.submit_tool_outputs(run.id, thread_id=thread.id, tool_outputs=outputs)
    done = runs.poll(run.id, thread_id=thread.id)
    assert done.status in ("completed", "requires_action")  # the model is a random one
    assert done.status == "completed" or runs.cancel(run.id, thread_id=thread.id)


def test_files_are_searched_here_and_read_there(client: openai.OpenAI) -> None:
    store = client.vector_stores.create()
    client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("report.txt", REPORT))
    resources: Any = {"file_search": {"vector_store_ids": [store.id]}}
    searcher = client.beta.assistants.create(
        model="far", tools=[{"type": "file_search"}], tool_resources=resources
    )
    thread = thread_with(client, "How many Apple shares?")
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=searcher.id, **SHORT)
    assert run.status == "incomplete"
    search, message = client.beta.threads.runs.steps.list(run.id, thread_id=thread.id, order="asc")
    assert (search.type, message.type) == ("tool_calls", "message_creation")
    assert run.usage is not None
    assert run.usage.prompt_tokens > 100, "the passage was read"
    assert written(iter(client.beta.threads.messages.list(thread.id)))[0][0] == "assistant"


def test_what_is_cancelled_here_stops_there(client: openai.OpenAI, far: Second, writer: Assistant) -> None:
    response = client.responses.create(model="far", input="Hi", background=True, **ENDLESS)
    thread = thread_with(client, "Write for ever.")
    runs = client.beta.threads.runs
    run = runs.create(thread.id, assistant_id=writer.id, response_format=LONG)
    eventually(lambda: running(far) == 2)
    assert client.responses.cancel(response.id).status == "cancelled"
    assert runs.cancel(run.id, thread_id=thread.id).status == "cancelled"
    eventually(lambda: running(far) == 0)


def test_a_service_that_dies_fails_what_it_answered(
    client: openai.OpenAI, far: Second, writer: Assistant
) -> None:
    """Last in this file: nobody answers afterwards, and that too is told."""
    stream = client.responses.create(model="far", input="Hi", background=True, stream=True, **ENDLESS)
    events = iter(stream)
    while "delta" not in next(events).type:
        pass
    thread = thread_with(client, "Write for ever.")
    runs = client.beta.threads.runs
    run = runs.create(thread.id, assistant_id=writer.id, response_format=LONG)
    eventually(lambda: running(far) == 2)
    far.process.kill()
    *_, last = events
    assert last.type == "response.failed"
    assert last.response.error is not None
    failed = runs.poll(run.id, thread_id=thread.id)
    assert failed.status == "failed"
    assert failed.last_error is not None
    for error in (last.response.error, failed.last_error):
        assert error.code == "server_error"
        assert error.message == "The connection to the service behind 'far' broke."
    client.beta.threads.messages.create(thread.id, role="user", content="Hello?")
    run = runs.create_and_poll(thread_id=thread.id, assistant_id=writer.id)
    assert run.last_error is not None
    assert (run.status, run.last_error.code) == ("failed", "server_error")
    assert run.last_error.message == "The service behind 'far' cannot be reached; try again later."
    response = client.responses.create(model="far", input="Hi", background=True)
    eventually(lambda: client.responses.retrieve(response.id).status == "failed")
    error = client.responses.retrieve(response.id).error
    assert error is not None
    assert (error.code, error.message) == ("server_error", run.last_error.message)
