"""Runs by the official client: one at a time, cancelled, limited, refused, paid, and by project."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from pennyweight.store.runs import Runs
from tests.server.assisting import CALL, LONG, SHORT, STRICT, thread_with, written
from tests.server.issuing import new_key, new_project
from tests.server.live import eventually, live_server
from tests.server.test_assistants import WEATHER
from tests.store.kept_usage import kept_usage

if TYPE_CHECKING:
    from openai.types.beta import Assistant
    from openai.types.beta.threads import Run

    from pennyweight.api import Engine
    from pennyweight.store.usage import UsageRow
    from tests.server.live import LiveServer


def test_results_must_fit_the_calls(client: openai.OpenAI, caller: Assistant) -> None:
    thread = thread_with(client, "Weather?")
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=caller.id, **CALL)
    submit = client.beta.threads.runs.submit_tool_outputs
    with pytest.raises(openai.BadRequestError, match="one output for each call"):
        submit(run.id, thread_id=thread.id, tool_outputs=[{"tool_call_id": "call_1", "output": ""}])
    cancelled = client.beta.threads.runs.cancel(run.id, thread_id=thread.id)
    assert cancelled.status == "cancelled"
    (step,) = client.beta.threads.runs.steps.list(run.id, thread_id=thread.id)
    assert step.status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="status 'cancelled' do not accept"):
        submit(run.id, thread_id=thread.id, tool_outputs=[{"tool_call_id": "call_1", "output": ""}])
    with pytest.raises(openai.BadRequestError, match="status 'cancelled'"):
        client.beta.threads.runs.cancel(run.id, thread_id=thread.id)


def test_a_thread_takes_nothing_while_a_run_is_active(
    client: openai.OpenAI, caller: Assistant, assistant: Assistant
) -> None:
    thread = thread_with(client, "Weather?")
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=caller.id, **CALL)
    with pytest.raises(openai.BadRequestError, match=f"'{run.id}' .* is requires_action"):
        client.beta.threads.messages.create(thread.id, role="user", content="Hello?")
    with pytest.raises(openai.BadRequestError, match="already has an active run"):
        client.beta.threads.runs.create(thread.id, assistant_id=assistant.id)
    client.beta.threads.runs.cancel(run.id, thread_id=thread.id)
    client.beta.threads.messages.create(thread.id, role="user", content="Hello?")
    second = client.beta.threads.runs.create_and_poll(
        thread_id=thread.id,
        assistant_id=assistant.id,
        additional_messages=[{"role": "user", "content": "Still there?"}],
        additional_instructions="Be kind.",
        metadata={"n": "2"},
        **SHORT,
    )
    assert second.instructions == "Be brief.\n\nBe kind."
    assert [r.id for r in client.beta.threads.runs.list(thread.id)] == [second.id, run.id]
    changed = client.beta.threads.runs.update(second.id, thread_id=thread.id, metadata={"n": "3"})
    assert changed.metadata == {"n": "3"}
    texts = [text for _, text in written(iter(client.beta.threads.messages.list(thread.id, order="asc")))]
    assert texts[:3] == ["Weather?", "Hello?", "Still there?"]


def test_a_run_that_is_being_written_can_be_cancelled(
    client: openai.OpenAI, server: LiveServer, assistant: Assistant
) -> None:
    thread = thread_with(client, "Write for ever.")
    names: list[str] = []
    with client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id, response_format=LONG
    ) as stream:
        for event in stream:
            names.append(event.event)
            if event.event == "thread.message.delta" and names.count(event.event) == 1:
                run = stream.current_run
                assert run is not None
                client.beta.threads.runs.cancel(run.id, thread_id=thread.id)
    assert names[-1] == "thread.run.cancelled"
    assert len(list(client.beta.threads.messages.list(thread.id))) == 1
    eventually(lambda: server.engine.stats().running == 0)


def test_a_client_that_goes_away_does_not_end_the_run(client: openai.OpenAI, assistant: Assistant) -> None:
    thread = thread_with(client, "Write a while.")
    with client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id, response_format=LONG, max_completion_tokens=1000
    ) as stream:
        for event in stream:
            if event.event == "thread.message.delta":
                break
    (run,) = client.beta.threads.runs.list(thread.id)
    done = client.beta.threads.runs.poll(run.id, thread_id=thread.id)
    assert done.status in ("completed", "incomplete")
    assert len(list(client.beta.threads.messages.list(thread.id))) == 2


def test_a_thread_may_be_deleted_while_it_is_answered(
    client: openai.OpenAI, server: LiveServer, assistant: Assistant
) -> None:
    thread = thread_with(client, "Write for ever.")
    client.beta.threads.runs.create(thread.id, assistant_id=assistant.id, response_format=LONG)
    eventually(lambda: server.engine.stats().running > 0)
    client.beta.threads.delete(thread.id)
    eventually(lambda: server.engine.stats().running == 0)


def test_many_threads_at_a_time(client: openai.OpenAI, assistant: Assistant) -> None:
    done: list[Run] = []

    def run(number: int) -> None:
        created = client.beta.threads.create_and_run_poll(
            assistant_id=assistant.id,
            thread={"messages": [{"role": "user", "content": f"Number {number}"}]},
            **SHORT,
        )
        done.append(created)

    workers = [threading.Thread(target=run, args=(number,)) for number in range(12)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [item.status for item in done] == ["incomplete"] * 12


def test_truncation(client: openai.OpenAI, assistant: Assistant) -> None:
    thread = thread_with(client, *(f"Message {n} " + "and so on " * 30 for n in range(8)))
    used = {}
    for name, wanted in {
        "all": {},
        "two": {"truncation_strategy": {"type": "last_messages", "last_messages": 2}},
        "auto": {"max_prompt_tokens": 600, "truncation_strategy": {"type": "auto"}},
        "none": {"max_prompt_tokens": 5},
    }.items():
        given: Any = wanted
        run = client.beta.threads.runs.create_and_poll(
            thread_id=thread.id, assistant_id=assistant.id, **SHORT, **given
        )
        assert run.usage is not None
        used[name] = run.usage.prompt_tokens
        last = run
    assert 0 == used["none"] < used["two"] < used["all"]
    assert used["two"] < used["auto"] <= 600
    assert last.status == "incomplete"
    assert last.incomplete_details is not None
    assert last.incomplete_details.reason == "max_prompt_tokens"


def test_a_run_that_cannot_be_answered_fails_with_the_reason(
    client: openai.OpenAI, assistant: Assistant
) -> None:
    thread = thread_with(client, "word " * 200_000)
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
    assert run.status == "failed"
    assert run.failed_at is not None
    assert run.last_error is not None
    assert run.last_error.code == "invalid_prompt"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "gpt-17"}, "model"),
        ({"tools": [{"type": "code_interpreter"}]}, "tools[0].type"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice.function.name"),
        ({"tool_choice": {"type": "file_search"}}, "tool_choice"),
        ({"truncation_strategy": {"type": "last_messages"}}, "truncation_strategy.last_messages"),
        ({"max_prompt_tokens": 0}, "max_prompt_tokens"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"additional_messages": [{"role": "user"}]}, "additional_messages[0].content"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_what_a_run_cannot_be(
    client: openai.OpenAI, server: LiveServer, assistant: Assistant, fields: dict[str, Any], param: str
) -> None:
    thread = thread_with(client, "Hi")
    body = {"assistant_id": assistant.id, **fields}
    reply = httpx.post(f"{server.url}/v1/threads/{thread.id}/runs", json=body)
    assert reply.status_code == (404 if "model" in fields else 400), reply.text
    assert reply.json()["error"]["param"] == param
    assert list(client.beta.threads.runs.list(thread.id)) == []


def test_response_format(client: openai.OpenAI, assistant: Assistant) -> None:
    schema = STRICT["function"]["parameters"]
    run = client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id,
        thread={"messages": [{"role": "user", "content": "A city?"}]},
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "city", "schema": schema, "strict": True},
        },
    )
    (answer, _) = written(iter(client.beta.threads.messages.list(run.thread_id)))
    assert json.loads(answer[1])["city"] in ("Rome", "Oslo")


def test_results_that_come_too_late(client: openai.OpenAI, server: LiveServer, caller: Assistant) -> None:
    thread = thread_with(client, "Weather?")
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=caller.id, **CALL)
    assert run.expires_at is not None
    assert 590 <= run.expires_at - run.created_at <= 610
    server.services.database.write_now(lambda c: Runs().extend(c, run.id, expires_at=1))
    outputs: Any = [{"tool_call_id": "call_1", "output": ""}]
    with pytest.raises(openai.BadRequestError, match="status 'expired'"):
        client.beta.threads.runs.submit_tool_outputs(run.id, thread_id=thread.id, tool_outputs=outputs)
    with pytest.raises(openai.BadRequestError, match="status 'expired'"):
        client.beta.threads.runs.cancel(run.id, thread_id=thread.id)
    database = server.services.database
    eventually(lambda: not database.read_now(lambda c: Runs().have_expired(c, now=2)))  # nobody looks
    assert client.beta.threads.runs.retrieve(run.id, thread_id=thread.id).status == "expired"
    (step,) = client.beta.threads.runs.steps.list(run.id, thread_id=thread.id)
    assert (step.status, step.expired_at is None) == ("expired", False)
    client.beta.threads.messages.create(thread.id, role="user", content="Hello?")


def hello(client: openai.OpenAI, assistant_id: str) -> Run:
    thread: Any = {"messages": [{"role": "user", "content": "Hi"}]}
    return client.beta.threads.create_and_run_poll(assistant_id=assistant_id, thread=thread, **SHORT)


def test_runs_are_counted(engine: Engine) -> None:
    with live_server(engine) as server:
        secret = new_key(server, requests_per_minute=1).secret.text
        with server.client(secret) as client:
            assistant = client.beta.assistants.create(model=server.model)
            run = hello(client, assistant.id)
            with pytest.raises(openai.RateLimitError):
                hello(client, assistant.id)
        eventually(lambda: len(rows_of(server, run.id)) == 1)
        (row,) = rows_of(server, run.id)
        assert run.usage is not None
        assert (row.endpoint, row.outcome) == ("/v1/threads/runs", "completed")
        assert (row.prompt_tokens, row.completion_tokens) == (run.usage.prompt_tokens, 8)
        assert row.price > 0


def test_every_answer_of_a_run_is_counted(
    client: openai.OpenAI, server: LiveServer, caller: Assistant
) -> None:
    """It calls a function, and answers when it has the result."""
    thread = thread_with(client, "Weather?")
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=caller.id, **CALL)
    assert run.required_action is not None
    calls = run.required_action.submit_tool_outputs.tool_calls
    outputs: Any = [{"tool_call_id": call.id, "output": "7"} for call in calls]
    run = client.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id, thread_id=thread.id, tool_outputs=outputs
    )
    assert run.usage is not None
    eventually(lambda: len(rows_of(server, run.id)) == 2)
    rows = rows_of(server, run.id)
    assert sum(row.prompt_tokens for row in rows) == run.usage.prompt_tokens
    assert sum(row.completion_tokens for row in rows) == run.usage.completion_tokens
    assert {row.outcome for row in rows} == {"completed"}


def test_a_run_that_cannot_be_paid_fails(engine: Engine) -> None:
    with live_server(engine) as server:
        secret = new_key(server, budget=1, budget_period="total").secret.text
        with server.client(secret) as client:
            run = hello(client, client.beta.assistants.create(model=server.model).id)
        assert run.last_error is not None
        assert (run.status, run.last_error.code) == ("failed", "rate_limit_exceeded")


def rows_of(server: LiveServer, run_id: str) -> list[UsageRow]:
    rows = server.services.database.read_now(lambda c: kept_usage(c, "default"))
    return [row for row in rows if row.request_id.partition(".")[0] == run_id]


def test_projects_do_not_see_each_others_runs(engine: Engine) -> None:
    with live_server(engine) as server:
        mine, theirs = (server.client(new_key(server, new_project(server)).secret.text) for _ in range(2))
        assistant = mine.beta.assistants.create(model=server.model, tools=[WEATHER])
        run = mine.beta.threads.create_and_run_poll(
            assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "Hi"}]}, **SHORT
        )
        runs, own = theirs.beta.threads.runs, theirs.beta.threads.create()
        for thread_id in (run.thread_id, own.id):
            for ask in (
                lambda t=thread_id: runs.retrieve(run.id, thread_id=t),
                lambda t=thread_id: runs.cancel(run.id, thread_id=t),
                lambda t=thread_id: runs.update(run.id, thread_id=t, metadata={}),
                lambda t=thread_id: runs.steps.list(run.id, thread_id=t),
                lambda t=thread_id: runs.create(t, assistant_id=assistant.id),
                lambda t=thread_id: runs.submit_tool_outputs(
                    run.id, thread_id=t, tool_outputs=[{"tool_call_id": "c", "output": ""}]
                ),
            ):
                with pytest.raises(openai.NotFoundError):
                    ask()
        for one in (mine, theirs):
            one.close()


def test_a_key_needs_the_right_to_ask_models(engine: Engine) -> None:
    with live_server(engine) as server:
        scopes = frozenset({"api.threads.write", "api.assistants.write", "api.threads.read"})
        with server.client(new_key(server, scopes=scopes).secret.text) as client:
            assistant = client.beta.assistants.create(model=server.model)
            thread = thread_with(client, "Hi")
            with pytest.raises(openai.PermissionDeniedError, match=r"model\.request"):
                client.beta.threads.runs.create(thread.id, assistant_id=assistant.id)
