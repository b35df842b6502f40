"""Responses in the background through the official client: queued, retrieved, followed, cancelled, paid."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
from sqlalchemy import select

from pennyweight.store.tables.usage import usage
from tests.server.issuing import new_key, new_project
from tests.server.live import eventually, live_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.api import Engine
    from tests.server.live import LiveServer

ENDED = ("completed", "incomplete", "failed", "cancelled")


def ask(client: openai.OpenAI, server: LiveServer, **fields: Any) -> Any:
    defaults: dict[str, Any] = {
        "model": server.model,
        "input": "Hi",
        "max_output_tokens": 6,
        "background": True,
    }
    extra = {"seed": 7, **fields.pop("extra_body", {})}
    return client.responses.create(**{**defaults, **fields}, extra_body=extra)


def ended(client: openai.OpenAI, response_id: str) -> Any:
    while (response := client.responses.retrieve(response_id)).status not in ENDED:
        time.sleep(0.01)
    return response


def test_it_is_queued_and_then_answered(client: openai.OpenAI, server: LiveServer) -> None:
    queued = ask(client, server, metadata={"a": "b"})
    assert (queued.status, queued.background, queued.output, queued.usage) == ("queued", True, [], None)
    answer = ended(client, queued.id)
    at_once = ask(client, server, background=False)
    assert answer.output_text == at_once.output_text
    assert answer.usage.input_tokens == at_once.usage.input_tokens
    assert (answer.id, answer.created_at, answer.metadata) == (queued.id, queued.created_at, {"a": "b"})
    assert len(client.responses.input_items.list(queued.id).data) == 1


def test_it_can_be_continued_when_it_is_answered(client: openai.OpenAI, server: LiveServer) -> None:
    first = ask(client, server, max_output_tokens=600, extra_body={"ignore_eos": True})
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, server, previous_response_id=first.id, background=False)
    assert caught.value.code == "previous_response_not_completed"
    client.responses.cancel(first.id)
    second = ended(client, ask(client, server).id)
    third = ended(client, ask(client, server, input="More.", previous_response_id=second.id).id)
    assert third.usage.input_tokens > second.usage.total_tokens


def test_it_is_said_in_its_conversation(client: openai.OpenAI, server: LiveServer) -> None:
    made = client.conversations.create(items=[{"role": "user", "content": "Hello."}])
    answer = ended(client, ask(client, server, conversation=made.id).id)
    items: Any = list(client.conversations.items.list(made.id, order="asc"))
    assert [item.content[0].text for item in items] == ["Hello.", "Hi", answer.output_text]


def test_a_stream_may_be_left_and_taken_up_again(client: openai.OpenAI, server: LiveServer) -> None:
    stream = ask(client, server, stream=True, max_output_tokens=60)
    seen = [next(stream) for _ in range(5)]
    stream.close()
    response_id = seen[0].response.id
    kinds = [event.type.removeprefix("response.") for event in seen]
    assert kinds == ["created", "queued", "in_progress", "output_item.added", "content_part.added"]
    assert [event.response.status for event in seen[:3]] == ["queued", "queued", "in_progress"]
    rest = list(client.responses.retrieve(response_id, stream=True, starting_after=seen[-1].sequence_number))
    events = [*seen, *rest]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.incomplete"
    again = list(client.responses.retrieve(response_id, stream=True))
    assert again == events
    kept = client.responses.retrieve(response_id)
    assert kept == events[-1].response
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == kept.output_text
    last = events[-1].sequence_number
    assert list(client.responses.retrieve(response_id, stream=True, starting_after=last)) == []


def test_what_was_cancelled_stops(client: openai.OpenAI, server: LiveServer) -> None:
    stream = ask(client, server, stream=True, max_output_tokens=20_000, extra_body={"ignore_eos": True})
    response_id = next(stream).response.id
    for event in stream:
        if event.type == "response.output_text.delta":
            break
    cancelled = client.responses.cancel(response_id)
    assert (cancelled.status, cancelled.output, cancelled.error) == ("cancelled", [], None)
    *_, last = stream
    assert (last.type, last.response.status) == ("response.incomplete", "cancelled")
    eventually(lambda: server.engine.stats().running == 0)
    assert client.responses.cancel(response_id) == cancelled
    assert client.responses.retrieve(response_id) == cancelled


def test_what_has_ended_is_not_cancelled(client: openai.OpenAI, server: LiveServer) -> None:
    answer = ended(client, ask(client, server).id)
    assert client.responses.cancel(answer.id) == answer
    at_once = ask(client, server, background=False)
    with pytest.raises(openai.BadRequestError, match="not made in the background"):
        client.responses.cancel(at_once.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.cancel("resp_nobody")


def test_what_was_deleted_is_not_answered(client: openai.OpenAI, server: LiveServer) -> None:
    queued = ask(client, server, max_output_tokens=20_000, extra_body={"ignore_eos": True})
    client.responses.delete(queued.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(queued.id)
    eventually(lambda: server.engine.stats().running == 0)


def test_what_cannot_be_answered_has_failed(client: openai.OpenAI, server: LiveServer) -> None:
    """Whether it fits is known when it is read, which is later."""
    queued = ask(client, server, input="x" * 40_000)
    answer = ended(client, queued.id)
    assert (answer.status, answer.error.code, answer.output) == ("failed", "invalid_prompt", [])
    *_, last = ask(client, server, input="x" * 40_000, stream=True)
    assert (last.type, last.response.error.code) == ("response.failed", "invalid_prompt")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"store": False}, "background"),
        ({"model": "nobody"}, "model"),
        ({"temperature": 3}, "temperature"),
        ({"previous_response_id": "resp_nobody"}, "previous_response_id"),
    ],
)
def test_what_is_wrong_is_told_at_once(server: LiveServer, fields: dict[str, Any], param: str) -> None:
    body = {"model": server.model, "input": "Hi", "background": True, **fields}
    reply = httpx.post(f"{server.url}/v1/responses", json=body)
    assert reply.status_code in (400, 404)
    assert reply.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"starting_after": "1"}, "starting_after"),
        ({"stream": "yes"}, "stream"),
        ({"stream": "true", "starting_after": "-1"}, "starting_after"),
        ({"stream": "true"}, "stream"),
    ],
)
def test_following_is_for_streams(
    client: openai.OpenAI, server: LiveServer, query: dict[str, str], param: str
) -> None:
    made = ask(client, server)
    reply = httpx.get(f"{server.url}/v1/responses/{made.id}", params=query)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


def test_many_at_once(client: openai.OpenAI, server: LiveServer) -> None:
    ids = [ask(client, server, input=f"{number}").id for number in range(40)]
    for number, response_id in enumerate(ids):
        answer = ended(client, response_id)
        assert answer.output_text != ""
        (item,) = client.responses.input_items.list(response_id)
        assert item.content[0].text == f"{number}"  # type: ignore[union-attr]


def test_one_projects_queue_is_not_everybodys(keyed: LiveServer) -> None:
    busy, idle = (new_key(keyed, new_project(keyed)).secret.text for _ in range(2))
    with keyed.client(busy) as many, keyed.client(idle) as one:
        endless: dict[str, Any] = {"max_output_tokens": 30_000, "extra_body": {"ignore_eos": True}}
        queued = [ask(many, keyed, **endless).id for _ in range(20)]
        answer = ended(one, ask(one, keyed).id)
        assert answer.status in ("completed", "incomplete")
        states = [many.responses.retrieve(response_id).status for response_id in queued]
        assert states.count("in_progress") <= 8
        for response_id in queued:
            many.responses.cancel(response_id)


@pytest.fixture
def keyed(engine: Engine) -> Iterator[LiveServer]:
    with live_server(engine) as server:
        yield server


def test_whoever_asked_pays(keyed: LiveServer) -> None:
    """One row of usage each, a request of the rate, tokens of the budget."""
    project = new_project(keyed)
    key = new_key(keyed, project, requests_per_minute=2, budget=10**12)
    with keyed.client(key.secret.text) as client:
        answers = [ended(client, ask(client, keyed).id) for _ in range(2)]
        with pytest.raises(openai.RateLimitError):
            ask(client, keyed)
    journal, database = keyed.services.usage, keyed.services.database
    eventually(lambda: journal.num_waiting == 0)
    rows = database.read_now(
        lambda c: c.execute(select(usage).where(usage.c.project_id == project)).mappings().all()
    )
    found = {row["request_id"]: row for row in rows if row["outcome"] == "completed"}
    assert found.keys() == {answer.id for answer in answers}
    for answer in answers:
        row = found[answer.id]
        assert (row["prompt_tokens"], row["completion_tokens"]) == (
            answer.usage.input_tokens,
            answer.usage.output_tokens,
        )
        assert (row["endpoint"], row["key_id"]) == ("/v1/responses", key.key.id)
        assert row["price"] > 0


def test_a_budget_that_is_used_up_fails_it(keyed: LiveServer) -> None:
    key = new_key(keyed, new_project(keyed), budget=1)
    with keyed.client(key.secret.text) as client:
        answer = ended(client, ask(client, keyed).id)
    assert (answer.status, answer.error.code) == ("failed", "rate_limit_exceeded")
