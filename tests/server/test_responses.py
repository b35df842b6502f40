"""Responses through the official client in strict mode, whole, streamed and parsed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from pennyweight.api import Engine
from tests.models.tiny import write_tiny_llama
from tests.server.conftest import LONG_CONTEXT
from tests.server.live import live_server

if TYPE_CHECKING:
    from pathlib import Path

    import openai

    from tests.server.live import LiveServer

QUESTION = "Tell me about the weather."
Z = 3 + ord("z")


def ask(client: openai.OpenAI, server: LiveServer, **fields: Any) -> Any:
    defaults: dict[str, Any] = {"model": server.model, "input": QUESTION, "max_output_tokens": 12}
    extra = {"seed": 7, **fields.pop("extra_body", {})}
    return client.responses.create(**{**defaults, **fields}, extra_body=extra)


def text_of(client: openai.OpenAI, server: LiveServer, **fields: Any) -> str:
    text: str = ask(client, server, **fields).output_text
    return text


def post(server: LiveServer, **fields: Any) -> httpx.Response:
    body = {"model": server.model, "input": QUESTION, "max_output_tokens": 12, "seed": 7, **fields}
    return httpx.post(f"{server.url}/v1/responses", json=body)


def ended(server: LiveServer) -> dict[str, Any]:
    """Fields with which the tiny model ends after three letters."""
    end = min(server.engine.answerer.tokenizer.end_token_ids)
    return {"temperature": 0, "logit_bias": {str(end): 100}, "min_tokens": 3}


def test_an_answer(client: openai.OpenAI, server: LiveServer) -> None:
    answer = ask(client, server)
    assert answer.object == "response"
    assert answer.id.startswith("resp_")
    assert answer.model == server.model
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert answer.error is None
    (message,) = answer.output
    assert (message.type, message.role, message.status) == ("message", "assistant", "incomplete")
    assert answer.output_text == message.content[0].text != ""
    assert answer.usage.output_tokens == 12
    assert answer.usage.total_tokens == answer.usage.input_tokens + 12
    assert answer.usage.output_tokens_details.reasoning_tokens == 0
    assert (answer.service_tier, answer.truncation, answer.background) == ("default", "disabled", False)
    assert answer.model_extra["store"] is True


def test_it_says_what_chat_completions_say(client: openai.OpenAI, server: LiveServer) -> None:
    messages: list[Any] = [
        {"role": "system", "content": "Be brief.\n\nBe kind."},
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": "Sunny."},
        {"role": "user", "content": "And tomorrow?"},
    ]
    chat = client.chat.completions.create(model=server.model, messages=messages, max_tokens=12, seed=7)
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": QUESTION}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Sunny."}]},
        {"type": "message", "role": "developer", "content": "Be kind."},
        {"role": "user", "content": "And tomorrow?"},
    ]
    answer = ask(client, server, instructions="Be brief.", input=items)
    assert answer.output_text == chat.choices[0].message.content
    assert answer.usage.input_tokens == chat.usage.prompt_tokens
    assert answer.instructions == "Be brief."
    assert text_of(client, server, instructions="Be long.", input=items) != answer.output_text


def test_a_complete_answer(client: openai.OpenAI, server: LiveServer) -> None:
    answer = ask(client, server, extra_body=ended(server))
    assert (answer.status, answer.incomplete_details) == ("completed", None)
    assert answer.output[0].status == "completed"
    assert answer.completed_at >= answer.created_at


def test_a_stream_and_its_final_response(client: openai.OpenAI, server: LiveServer) -> None:
    whole = ask(client, server, extra_body=ended(server))
    with client.responses.stream(
        model=server.model, input=QUESTION, max_output_tokens=12, extra_body={"seed": 7, **ended(server)}
    ) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert final.output_text == whole.output_text
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == whole.output_text


def test_the_events_of_a_stream(client: openai.OpenAI, server: LiveServer) -> None:
    events = list(ask(client, server, stream=True, max_output_tokens=3))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type.removeprefix("response.") for event in events]
    assert kinds[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert kinds[-4:] == ["output_text.done", "content_part.done", "output_item.done", "incomplete"]
    assert set(kinds[4:-4]) == {"output_text.delta"}
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert events[-4].text == events[-3].part.text == events[-2].item.content[0].text == text
    assert events[-1].response.output[0] == events[-2].item
    assert len({event.response.id for event in events if hasattr(event, "response")}) == 1


def test_a_stream_on_the_wire(server: LiveServer) -> None:
    reply = post(server, stream=True)
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = reply.text.split("\n\n")
    assert events[-1] == ""
    assert events[0].startswith("event: response.created\ndata: {")
    assert events[-2].startswith("event: response.incomplete\ndata: {")
    assert "[DONE]" not in reply.text


def test_sampling_fields_reach_the_sampler(client: openai.OpenAI, server: LiveServer) -> None:
    greedy = text_of(client, server, temperature=0)
    assert greedy == text_of(client, server, temperature=0, extra_body={"seed": 8})
    assert text_of(client, server) != text_of(client, server, extra_body={"seed": 8})
    assert text_of(client, server, top_p=1e-6) == greedy
    for one in ({"top_k": 1}, {"min_p": 1}):
        assert text_of(client, server, extra_body=one) == greedy
    z = {str(Z): 100}
    assert text_of(client, server, extra_body={"logit_bias": z}) == "z" * 12
    assert text_of(client, server, extra_body={"logit_bias": z, "stop": "zzz"}) == ""
    assert text_of(client, server, extra_body={"logit_bias": z, "stop_token_ids": [Z]}) == ""
    end = {"logit_bias": {str(min(server.engine.answerer.tokenizer.end_token_ids)): 100}}
    assert text_of(client, server, extra_body=end) == ""
    assert ask(client, server, extra_body=end).status == "completed"
    assert ask(client, server, extra_body={**end, "ignore_eos": True}).status == "incomplete"
    assert text_of(client, server, extra_body={**end, "min_tokens": 2}) != ""
    mild = {"logit_bias": {str(Z): 12}}
    plain = text_of(client, server, temperature=0, max_output_tokens=40, extra_body=mild)
    for penalty in ({"presence_penalty": 2}, {"frequency_penalty": 2}, {"repetition_penalty": 5}):
        extra = {**mild, **penalty}
        assert text_of(client, server, temperature=0, max_output_tokens=40, extra_body=extra) != plain


def test_log_probabilities(client: openai.OpenAI, server: LiveServer) -> None:
    include: list[Any] = ["message.output_text.logprobs"]
    answer = ask(client, server, include=include, top_logprobs=2, temperature=0)
    scores = answer.output[0].content[0].logprobs
    assert len(scores) == 12
    assert answer.top_logprobs == 2
    for score in scores:
        assert score.top_logprobs[0].logprob == score.logprob
        assert len(score.top_logprobs) == 2
    assert ask(client, server, include=include).output[0].content[0].logprobs[0].top_logprobs == []
    assert ask(client, server).output[0].content[0].logprobs == []
    deltas = [
        score
        for event in ask(client, server, include=include, top_logprobs=2, temperature=0, stream=True)
        if event.type == "response.output_text.delta"
        for score in event.logprobs
    ]
    assert [score.logprob for score in deltas] == [score.logprob for score in scores]


def test_fields_are_repeated(client: openai.OpenAI, server: LiveServer) -> None:
    answer = ask(
        client,
        server,
        temperature=0.5,
        top_p=0.9,
        metadata={"a": "b"},
        user="u",
        safety_identifier="s",
        prompt_cache_key="k",
        parallel_tool_calls=False,
        service_tier="auto",
        max_tool_calls=3,
        store=False,
        truncation="disabled",
        text={"format": {"type": "text"}, "verbosity": "medium"},
    )
    assert (answer.temperature, answer.top_p, answer.max_output_tokens) == (0.5, 0.9, 12)
    assert (answer.metadata, answer.user, answer.safety_identifier) == ({"a": "b"}, "u", "s")
    assert (answer.prompt_cache_key, answer.parallel_tool_calls, answer.max_tool_calls) == ("k", False, 3)
    assert (answer.tool_choice, answer.tools, answer.text.format.type) == ("auto", [], "text")


def test_an_answer_is_accepted_back(client: openai.OpenAI, server: LiveServer) -> None:
    first = ask(client, server)
    history: list[Any] = [{"role": "user", "content": QUESTION}]
    history += [item.model_dump() for item in first.output]
    history += [{"type": "reasoning", "id": "rs_1", "summary": []}, {"role": "user", "content": "Go on."}]
    raw = client.responses.with_raw_response.create(
        model=server.model, input=history, max_output_tokens=2, include=["reasoning.encrypted_content"]
    )
    assert raw.headers["x-pennyweight-ignored"] == ("include[reasoning.encrypted_content], input[reasoning]")
    assert raw.parse().usage is not None


def test_input_tokens(client: openai.OpenAI, server: LiveServer) -> None:
    fields: dict[str, Any] = {"input": QUESTION, "instructions": "Be brief."}
    counted = client.responses.input_tokens.count(model=server.model, **fields)
    assert counted.object == "response.input_tokens"
    assert counted.input_tokens == ask(client, server, **fields).usage.input_tokens
    assert client.responses.input_tokens.count(**fields).input_tokens == counted.input_tokens


def test_what_is_cached_is_counted(client: openai.OpenAI, server: LiveServer) -> None:
    ask(client, server, input="w" * 200)
    assert ask(client, server, input="w" * 200).usage.input_tokens_details.cached_tokens >= 192


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": {"name": "conv_1"}}, "conversation.name"),
        ({"store": 1}, "store"),
        ({"metadata": {"a": "b" * 513}}, "metadata.a"),
        ({"background": True, "store": False}, "background"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"truncation": "some"}, "truncation"),
        ({"reasoning": {"effort": "low"}}, "reasoning.effort"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"input": [{"type": "item_reference"}]}, "input[0].id"),
        ({"input": "x" * 40_000}, "input"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"messages": []}, "messages"),
        ({"model": "nobody"}, "model"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_wrong_is_named_before_a_stream(
    server: LiveServer, fields: dict[str, Any], param: str, stream: bool
) -> None:
    reply = post(server, stream=stream, **fields)
    assert reply.status_code == (404 if param == "model" else 400)
    assert reply.json()["error"]["param"] == param


def test_a_failure_in_the_middle_is_the_last_event(tmp_path: Path) -> None:
    path = write_tiny_llama(tmp_path / "tiny.gguf", context_length=LONG_CONTEXT)
    with (
        Engine.open(path, parallel=1, threads=1) as engine,
        live_server(engine) as server,
        server.client() as client,
    ):
        stream = ask(client, server, stream=True, max_output_tokens=None, extra_body={"ignore_eos": True})
        events = []
        for event in stream:
            events.append(event)
            if len(events) == 6:
                engine._loop.close()
    assert events[-1].type == "response.failed"
    assert events[-1].response.status == "failed"
    assert events[-1].response.error.code == "server_error"
    assert events[-1].response.output[0].status == "incomplete"
