"""Responses with state through the official client: kept, continued, listed and deleted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

if TYPE_CHECKING:
    from tests.server.live import LiveServer

SWITCH: Any = {"type": "function", "name": "switch", "parameters": {"type": "object", "properties": {}}}


def ask(client: openai.OpenAI, server: LiveServer, **fields: Any) -> Any:
    defaults: dict[str, Any] = {"model": server.model, "input": "Hi", "max_output_tokens": 6}
    extra = {"seed": 7, **fields.pop("extra_body", {})}
    return client.responses.create(**{**defaults, **fields}, extra_body=extra)


def called(client: openai.OpenAI, server: LiveServer) -> Any:
    """A response that ends with a call."""
    fields: dict[str, Any] = {"tools": [SWITCH], "tool_choice": "required", "max_output_tokens": 300}
    answer = ask(client, server, **fields)
    assert [item.type for item in answer.output] == ["function_call"]
    return answer


def texts(items: Any) -> list[str]:
    return [item.content[0].text for item in items]


def param_of(caught: Any) -> tuple[str, str | None]:
    return caught.value.param, caught.value.code


def test_what_was_told_is_kept(client: openai.OpenAI, server: LiveServer) -> None:
    told = ask(client, server, metadata={"a": "b"}, instructions="Be brief.", store=True)
    assert client.responses.retrieve(told.id, include=["message.output_text.logprobs"]) == told


def test_a_stream_is_kept_when_it_has_ended(client: openai.OpenAI, server: LiveServer) -> None:
    last = list(ask(client, server, stream=True))[-1]
    assert client.responses.retrieve(last.response.id) == last.response


def test_what_was_not_to_be_kept_is_not(client: openai.OpenAI, server: LiveServer) -> None:
    told = ask(client, server, store=False)
    assert told.model_extra["store"] is False
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(told.id)
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, server, previous_response_id=told.id)
    assert param_of(caught) == ("previous_response_id", "previous_response_not_found")


def test_a_chain_reads_as_one_history(client: openai.OpenAI, server: LiveServer) -> None:
    """The third answer is the one that the whole input sent at once gets."""
    first = ask(client, server, input="One", instructions="Be brief.")
    second = ask(client, server, input=[{"role": "user", "content": "Two"}], previous_response_id=first.id)
    third = ask(client, server, input="Three", previous_response_id=second.id, instructions="Be kind.")
    history: list[Any] = [{"role": "user", "content": "One"}, *first.output]
    history += [{"role": "user", "content": "Two"}, *second.output, {"role": "user", "content": "Three"}]
    at_once = ask(client, server, input=history, instructions="Be kind.", store=False)
    assert third.output_text == at_once.output_text
    assert third.usage.input_tokens == at_once.usage.input_tokens
    assert (second.previous_response_id, third.previous_response_id) == (first.id, second.id)
    assert second.instructions is None
    counted = client.responses.input_tokens.count(
        model=server.model, input="Three", previous_response_id=second.id, instructions="Be kind."
    )
    assert counted.input_tokens == third.usage.input_tokens


def test_two_may_continue_the_same(client: openai.OpenAI, server: LiveServer) -> None:
    first = ask(client, server, input="One")
    left = ask(client, server, input="Left", previous_response_id=first.id)
    right = ask(client, server, input="Right", previous_response_id=first.id, store=False)
    assert right.usage.input_tokens == left.usage.input_tokens + 1
    assert texts(client.responses.input_items.list(left.id, order="asc"))[::2] == ["One", "Left"]


def test_a_chain_costs_its_new_tokens_only(client: openai.OpenAI, server: LiveServer) -> None:
    answer = ask(client, server, input="w" * 200)
    for _ in range(3):
        before = answer.usage.total_tokens
        answer = ask(client, server, input="More.", previous_response_id=answer.id)
        assert answer.usage.input_tokens_details.cached_tokens >= before - 40


def test_input_items(client: openai.OpenAI, server: LiveServer) -> None:
    parts = [{"type": "input_text", "text": "Two"}]
    first = ask(client, server, input="One")
    given = [
        {"role": "developer", "content": "Be kind."},
        {"role": "assistant", "content": "Sure."},
        {"type": "message", "role": "user", "content": parts},
    ]
    second = ask(client, server, input=given, previous_response_id=first.id)
    found: Any = list(client.responses.input_items.list(second.id, order="asc", limit=2))
    assert texts(found) == ["One", first.output_text, "Be kind.", "Sure.", "Two"]
    assert [item.role for item in found] == ["user", "assistant", "developer", "assistant", "user"]
    assert len({item.id for item in found}) == 5
    newest = client.responses.input_items.list(second.id, limit=2)
    assert [item.id for item in newest.data] == [found[4].id, found[3].id]  # type: ignore[union-attr]
    assert newest.has_more


def test_a_call_and_its_output(client: openai.OpenAI, server: LiveServer) -> None:
    first = called(client, server)
    call = first.output[0]
    with pytest.raises(openai.BadRequestError, match=f"{call.call_id}.*begin 'input' with its output"):
        ask(client, server, input="Well?", previous_response_id=first.id)
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "on"}
    second = ask(client, server, input=[output], previous_response_id=first.id, tools=[SWITCH])
    found: Any = list(client.responses.input_items.list(second.id, order="asc"))
    assert [item.type for item in found] == ["message", "function_call", "function_call_output"]
    assert (found[1].id, found[2].output) == (call.id, "on")


def test_references(client: openai.OpenAI, server: LiveServer) -> None:
    first = ask(client, server, input="One")
    own_id = first.output[0].id
    given: list[Any] = [
        {"role": "user", "content": "One"},
        {"type": "item_reference", "id": own_id},
        {"role": "user", "content": "Two"},
    ]
    second = ask(client, server, input=given)
    assert second.output_text == ask(client, server, input="Two", previous_response_id=first.id).output_text
    client.responses.delete(first.id)
    found: Any = list(client.responses.input_items.list(second.id, order="asc"))
    assert found[1].id == own_id
    given[1] = {"id": "msg_nobody"}
    with pytest.raises(openai.NotFoundError, match="msg_nobody") as caught:
        ask(client, server, input=given)
    assert caught.value.param == "input[1].id"


def test_a_broken_chain_is_refused_by_name(client: openai.OpenAI, server: LiveServer) -> None:
    first = ask(client, server, input="One")
    second = ask(client, server, input="Two", previous_response_id=first.id)
    third = ask(client, server, input="Three", previous_response_id=second.id)
    client.responses.delete(first.id)
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match=first.id) as caught:
            ask(client, server, input="Four", previous_response_id=third.id, stream=stream)
        assert param_of(caught) == ("previous_response_id", "previous_response_not_found")
    left: Any = list(client.responses.input_items.list(third.id, order="asc"))
    assert texts(left)[::2] == ["Two", "Three"]


def test_deleted_is_gone(client: openai.OpenAI, server: LiveServer) -> None:
    told = ask(client, server)
    reply = httpx.delete(f"{server.url}/v1/responses/{told.id}")
    assert reply.json() == {"id": told.id, "object": "response", "deleted": True}
    for call in (client.responses.retrieve, client.responses.delete, client.responses.input_items.list):
        with pytest.raises(openai.NotFoundError):
            call(told.id)


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("", "stream_"),
        ("/input_items", "limit"),
    ],
)
def test_queries_are_checked(client: openai.OpenAI, server: LiveServer, path: str, param: str) -> None:
    url = f"{server.url}/v1/responses/{ask(client, server).id}{path}"
    reply = httpx.get(url, params={param: "0"})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    wrong = httpx.get(url, params={"include[]": ["nothing"]})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "include[0]")


def test_texts_that_databases_dislike(client: openai.OpenAI, server: LiveServer) -> None:
    odd = "a\x00b \u2028 \U0001f600"
    told = ask(client, server, input=odd, metadata={"a": odd})
    kept = client.responses.retrieve(told.id)
    assert kept.metadata == {"a": odd}
    assert texts(client.responses.input_items.list(told.id)) == [odd]


def test_a_batch_line_keeps_nothing(client: openai.OpenAI, server: LiveServer) -> None:
    body = {"model": server.model, "input": "Hi", "max_output_tokens": 2}
    lines = [body, {**body, "previous_response_id": "resp_1"}]
    wanted = {"method": "POST", "url": "/v1/responses"}
    raw = "\n".join(json.dumps({"custom_id": str(n), **wanted, "body": line}) for n, line in enumerate(lines))
    file = client.files.create(file=("in.jsonl", raw.encode()), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/responses", completion_window="24h")
    while batch.status not in ("completed", "failed"):
        batch = client.batches.retrieve(batch.id)
    assert batch.output_file_id is not None
    assert batch.error_file_id is not None
    answer = json.loads(client.files.content(batch.output_file_id).text)["response"]["body"]
    assert answer["store"] is False
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(answer["id"])
    refused = json.loads(client.files.content(batch.error_file_id).text)["response"]["body"]
    assert refused["error"]["param"] == "previous_response_id"


def test_a_chain_that_grows_too_long(client: openai.OpenAI, server: LiveServer) -> None:
    """`auto` forgets the oldest turns; without it the chain is refused. Instructions stay."""
    answer = ask(client, server, input="x" * 12_000, instructions="Be brief.")
    for _ in range(2):
        answer = ask(client, server, input="y" * 12_000, previous_response_id=answer.id, truncation="auto")
    assert answer.truncation == "auto"
    assert 12_000 < answer.usage.input_tokens < 32_768 - 6
    last: dict[str, Any] = {"input": "z" * 12_000, "previous_response_id": answer.id}
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, server, **last)
    assert param_of(caught) == ("input", "context_length_exceeded")
    short = ask(client, server, **last, truncation="auto")
    told = ask(client, server, **last, truncation="auto", instructions="Be kind.")
    assert told.usage.input_tokens > short.usage.input_tokens
    counted = client.responses.input_tokens.count(model=server.model, **last, truncation="auto")
    assert abs(counted.input_tokens - short.usage.input_tokens) < 12_010
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, server, input="x" * 40_000, truncation="auto")
    assert param_of(caught) == ("input", "context_length_exceeded")
    assert len(list(client.responses.input_items.list(answer.id))) == 5
