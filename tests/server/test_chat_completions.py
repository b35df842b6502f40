"""Chat completions through the official client in strict mode, streamed and not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

if TYPE_CHECKING:
    from tests.server.live import LiveServer

QUESTION: list[Any] = [{"role": "user", "content": "Tell me about the weather."}]


def ask(client: openai.OpenAI, server: LiveServer, **fields: Any) -> Any:
    defaults: dict[str, Any] = {"model": server.model, "messages": QUESTION, "max_tokens": 12, "seed": 7}
    return client.chat.completions.create(**{**defaults, **fields})


def streamed_text(chunks: Any, choice: int = 0) -> str:
    return "".join(
        piece.delta.content or "" for chunk in chunks for piece in chunk.choices if piece.index == choice
    )


def test_an_answer(client: openai.OpenAI, server: LiveServer) -> None:
    answer = ask(client, server)
    assert answer.object == "chat.completion"
    assert answer.model == server.model
    assert answer.id.startswith("chatcmpl-")
    assert answer._request_id.startswith("req_")
    (choice,) = answer.choices
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert choice.finish_reason == "length"
    assert answer.usage.completion_tokens == 12
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 12


def test_a_stream_says_what_the_whole_answer_says(client: openai.OpenAI, server: LiveServer) -> None:
    whole = ask(client, server, max_tokens=40)
    chunks = list(ask(client, server, max_tokens=40, stream=True))
    assert streamed_text(chunks) == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == [
        "length"
    ]
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)


def test_usage_at_the_end_of_a_stream(client: openai.OpenAI, server: LiveServer) -> None:
    chunks = list(ask(client, server, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 12
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_a_repeated_prompt_is_cached(client: openai.OpenAI, server: LiveServer) -> None:
    messages = [{"role": "user", "content": "x" * 200}]
    first = ask(client, server, messages=messages)
    second = ask(client, server, messages=messages)
    assert first.usage.prompt_tokens_details.cached_tokens < 200
    assert second.usage.prompt_tokens_details.cached_tokens >= 192
    assert second.choices[0].message.content == first.choices[0].message.content


def test_several_choices(client: openai.OpenAI, server: LiveServer) -> None:
    whole = ask(client, server, n=3)
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    texts = [choice.message.content for choice in whole.choices]
    assert len(set(texts)) == 3
    assert whole.usage.completion_tokens == 36
    chunks = list(ask(client, server, n=3, stream=True))
    assert [streamed_text(chunks, choice) for choice in range(3)] == texts


def test_log_probabilities(client: openai.OpenAI, server: LiveServer) -> None:
    whole = ask(client, server, logprobs=True, top_logprobs=3, temperature=0)
    content = whole.choices[0].logprobs.content
    assert len(content) == 12
    assert b"".join(bytes(token.bytes) for token in content).decode(errors="replace") == (
        whole.choices[0].message.content
    )
    for token in content:
        assert len(token.top_logprobs) == 3
        assert token.logprob == pytest.approx(token.top_logprobs[0].logprob)
        assert token.logprob <= 0
    chunks = list(ask(client, server, logprobs=True, top_logprobs=3, temperature=0, stream=True))
    streamed = [
        token for chunk in chunks if chunk.choices[0].logprobs for token in chunk.choices[0].logprobs.content
    ]
    assert streamed == content


def test_a_stop_string(client: openai.OpenAI, server: LiveServer) -> None:
    text = ask(client, server, max_tokens=40).choices[0].message.content
    stop = text[10:13]
    for stream in (False, True):
        answer = ask(client, server, max_tokens=40, stop=stop, stream=stream)
        if stream:
            chunks = list(answer)
            assert streamed_text(chunks) == text[: text.index(stop)]
            assert chunks[-1].choices[0].finish_reason == "stop"
        else:
            assert answer.choices[0].message.content == text[: text.index(stop)]
            assert answer.choices[0].finish_reason == "stop"
            assert answer.usage.completion_tokens < 40


def test_sampling_fields_reach_the_sampler(client: openai.OpenAI, server: LiveServer) -> None:
    greedy = [ask(client, server, temperature=0, seed=seed).choices[0].message.content for seed in (1, 2)]
    assert greedy[0] == greedy[1]
    one = ask(client, server, extra_body={"top_k": 1}).choices[0].message.content
    assert one == greedy[0]
    other = ask(client, server, seed=8).choices[0].message.content
    assert other != ask(client, server, seed=9).choices[0].message.content
    biased = ask(client, server, logit_bias={str(3 + ord("z")): 100}, temperature=0)
    assert biased.choices[0].message.content == "z" * 12
    ended = ask(
        client, server, extra_body={"stop_token_ids": [3 + ord("z")]}, logit_bias={str(3 + ord("z")): 100}
    )
    assert (ended.choices[0].message.content, ended.choices[0].finish_reason) == ("", "stop")


def test_null_fields_and_replays_of_answers(client: openai.OpenAI, server: LiveServer) -> None:
    first = ask(client, server)
    replay = first.choices[0].message.model_dump()
    messages = [*QUESTION, replay, {"role": "user", "content": [{"type": "text", "text": "And tomorrow?"}]}]
    nulls = {"temperature": None, "stop": None, "tools": None, "response_format": {"type": "text"}, "n": None}
    raw = client.chat.completions.with_raw_response.create(
        model=server.model, messages=messages, max_tokens=3, extra_body=nulls
    )
    assert "x-pennyweight-ignored" not in raw.headers
    assert raw.parse().usage is not None


def test_ignored_keys_are_named_in_a_header(client: openai.OpenAI, server: LiveServer) -> None:
    messages: list[Any] = [{"role": "user", "content": "Hi", "name": "Ann", "wei\nrd,é": 1}]
    for stream in (False, True):
        raw = client.chat.completions.with_raw_response.create(
            model=server.model, messages=messages, max_tokens=1, stream=stream
        )
        assert raw.headers["x-pennyweight-ignored"] == "messages[].name, messages[].wei%0Ard%2C%C3%A9"
        raw.parse()


def test_long_ignored_keys_leave_room_for_others(client: openai.OpenAI, server: LiveServer) -> None:
    keys = {"a" * 5000: 1, **{f"k{number:03}": 1 for number in range(500)}}
    messages: list[Any] = [{"role": "user", "content": "Hi", **keys}]
    raw = client.chat.completions.with_raw_response.create(
        model=server.model, messages=messages, max_tokens=1
    )
    long, *others = raw.headers["x-pennyweight-ignored"].split(", ")
    assert (len(long), long[-4:]) == (203, "a...")
    assert others[:2] == ["messages[].k000", "messages[].k001"]
    assert (others[-1], len(others[-2])) == ("...", len(others[0]))


def test_headers_on_every_answer(server: LiveServer) -> None:
    for path in ("/v1/models", "/health", "/docs", "/nowhere", "/openapi.json"):
        headers = httpx.get(server.url + path).headers
        assert headers["x-request-id"].startswith("req_")
        assert int(headers["openai-processing-ms"]) >= 0


def test_a_stream_on_the_wire(server: LiveServer) -> None:
    body = {"model": server.model, "messages": QUESTION, "max_tokens": 2, "stream": True}
    reply = httpx.post(f"{server.url}/v1/chat/completions", json=body)
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "content-length" not in reply.headers
    events = reply.text.split("\n\n")
    assert all(event.startswith("data: {") for event in events[:-2])
    assert events[-2:] == ["data: [DONE]", ""]


def test_many_streams_at_once_say_what_they_say_alone(client: openai.OpenAI, server: LiveServer) -> None:
    prompts: list[list[Any]] = [[{"role": "user", "content": f"Number {i}. " * (i + 1)}] for i in range(32)]
    alone = [
        ask(client, server, messages=messages, max_tokens=30, seed=index).choices[0].message.content
        for index, messages in enumerate(prompts)
    ]

    async def stream(client: openai.AsyncOpenAI, index: int) -> str:
        stream = await client.chat.completions.create(
            model=server.model, messages=prompts[index], max_tokens=30, seed=index, stream=True
        )
        return streamed_text([chunk async for chunk in stream])

    async def together() -> list[str]:
        async with openai.AsyncOpenAI(
            base_url=f"{server.url}/v1", api_key="any", max_retries=0, _strict_response_validation=True
        ) as client:
            return await asyncio.gather(*(stream(client, index) for index in range(len(prompts))))

    assert asyncio.run(together()) == alone
