"""OpenAI's walk-through of file search in Assistants: a store, a file beside a message, and what is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.server.issuing import new_key
from tests.server.live import eventually, live_server

if TYPE_CHECKING:
    from openai.types.beta import Assistant
    from openai.types.beta.threads.runs import FileSearchToolCall, RunStep

    from pennyweight.api import Engine
    from tests.server.live import LiveServer

SHORT: Any = {"max_completion_tokens": 8}
REPORT = b"Apple had 15,552,752,000 shares outstanding at the end of October 2023.\n\nPears are green."
RESULTS: Any = ["step_details.tool_calls[*].file_search.results[*].content"]


@pytest.fixture
def searcher(client: openai.OpenAI, server: LiveServer) -> Assistant:
    assistant = client.beta.assistants.create(
        name="Financial Analyst Assistant",
        instructions="You are an expert financial analyst.",
        model=server.model,
        tools=[{"type": "file_search"}],
    )
    store = client.vector_stores.create(name="Financial Statements")
    batch = client.vector_stores.file_batches.upload_and_poll(
        vector_store_id=store.id, files=[("report.txt", REPORT)]
    )
    assert batch.file_counts.completed == 1
    return client.beta.assistants.update(
        assistant_id=assistant.id, tool_resources={"file_search": {"vector_store_ids": [store.id]}}
    )


def call_of(step: RunStep) -> FileSearchToolCall:
    assert step.step_details.type == "tool_calls"
    (call,) = step.step_details.tool_calls
    assert call.type == "file_search"
    return call


def test_what_is_found_is_a_step_and_stands_before_the_thread(
    client: openai.OpenAI, searcher: Assistant
) -> None:
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "How many Apple shares?"}])
    wanted: Any = {"thread_id": thread.id, "assistant_id": searcher.id, **SHORT}
    run = client.beta.threads.runs.create_and_poll(**wanted)
    assert run.status == "incomplete"
    steps = client.beta.threads.runs.steps
    search, _ = steps.list(run.id, thread_id=thread.id, order="asc")
    assert (search.type, search.status) == ("tool_calls", "completed")
    results = call_of(search).file_search.results
    assert results
    assert (results[0].file_name, results[0].content) == ("report.txt", None)
    told = steps.retrieve(search.id, thread_id=thread.id, run_id=run.id, include=RESULTS)
    whole = call_of(told).file_search.results
    assert whole
    assert whole[0].content
    assert "15,552,752,000" in (whole[0].content[0].text or "")
    assert run.usage is not None
    assert run.usage.prompt_tokens > 100, "the passage was read"


def test_without_tools_nothing_is_searched(client: openai.OpenAI, searcher: Assistant) -> None:
    thread: Any = {"messages": [{"role": "user", "content": "How many Apple shares?"}]}
    run = client.beta.threads.create_and_run_poll(
        assistant_id=searcher.id, thread=thread, tool_choice="none", **SHORT
    )
    (step,) = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id)
    assert step.type == "message_creation"


def test_followed(client: openai.OpenAI, searcher: Assistant) -> None:
    thread: Any = {"messages": [{"role": "user", "content": "How many Apple shares?"}]}
    with client.beta.threads.create_and_run_stream(
        assistant_id=searcher.id, thread=thread, **SHORT
    ) as stream:
        names = [event.event for event in stream if event.event.startswith("thread.run.step.")]
        (search, _) = stream.get_final_run_steps()
    begun = ["thread.run.step.created", "thread.run.step.in_progress"]
    assert names == [*begun, "thread.run.step.delta", "thread.run.step.completed", *begun, names[3]]
    assert call_of(search).type == "file_search"


@pytest.mark.parametrize("choice", [{"type": "file_search"}, "required"])
def test_a_file_beside_a_message_is_read_before_the_answer(
    client: openai.OpenAI, server: LiveServer, choice: Any
) -> None:
    assistant = client.beta.assistants.create(model=server.model, tools=[{"type": "file_search"}])
    file = client.files.create(file=("pears.txt", b"Pears are blue on Mondays."), purpose="assistants")
    beside: Any = [{"file_id": file.id, "tools": [{"type": "file_search"}]}]
    question: Any = {"role": "user", "content": "What are pears on Mondays?", "attachments": beside}
    run = client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id,
        thread={"messages": [question]},
        tool_choice=choice,
        **SHORT,
    )
    search, _ = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id, order="asc")
    results = call_of(search).file_search.results
    assert results
    assert results[0].file_id == file.id


def test_a_key_that_may_not_read_stores_cannot_have_a_run_read_them(engine: Engine) -> None:
    scopes = frozenset({"model.request", "api.assistants.write", "api.threads.read", "api.threads.write"})
    with live_server(engine) as server, server.client(new_key(server, scopes=scopes).secret.text) as narrow:
        threads = narrow.beta.threads
        searcher = narrow.beta.assistants.create(model=server.model, tools=[{"type": "file_search"}])
        thread = threads.create(messages=[{"role": "user", "content": "How many Apple shares?"}])
        for run in (
            lambda: threads.runs.create(thread.id, assistant_id=searcher.id),
            lambda: threads.create_and_run(assistant_id=searcher.id),
        ):
            with pytest.raises(openai.PermissionDeniedError, match=r"api\.vector_stores\.read"):
                run()
        asked: Any = {"thread_id": thread.id, "assistant_id": searcher.id, **SHORT}
        run = threads.runs.create_and_poll(**asked, tools=[])
        assert run.status == "incomplete"
        # Parts of files are not shown either, of whosever run.
        own: Any = {"thread_id": thread.id, "run_id": run.id}
        (step,) = threads.runs.steps.list(**own)
        with pytest.raises(openai.PermissionDeniedError, match=r"api\.vector_stores\.read"):
            threads.runs.steps.list(**own, include=RESULTS)
        with pytest.raises(openai.PermissionDeniedError, match=r"api\.vector_stores\.read"):
            threads.runs.steps.retrieve(step.id, **own, include=RESULTS)


def test_a_store_that_is_gone(client: openai.OpenAI, searcher: Assistant) -> None:
    resources = searcher.tool_resources
    assert resources is not None
    assert resources.file_search is not None
    (store_id,) = resources.file_search.vector_store_ids or []
    client.vector_stores.delete(store_id)
    thread: Any = {"messages": [{"role": "user", "content": "How many?"}]}
    run = client.beta.threads.create_and_run_poll(assistant_id=searcher.id, thread=thread, **SHORT)
    assert run.status == "failed"
    assert run.last_error is not None
    assert store_id in run.last_error.message
    assert run.last_error.code == "invalid_prompt"
    eventually(lambda: client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id).status == "failed")
