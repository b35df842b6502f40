"""Answers of a second Pennyweight process through this server, by the official client in strict mode."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from pennyweight.upstreams import Upstream
from tests.server.live import LiveServer, eventually, live_server
from tests.server.second import second_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.api import Engine

KEY = "sk-of-the-second-server"
HI: Any = [{"role": "user", "content": "Hi"}]
SCHEMA = {
    "type": "object",
    "properties": {"on": {"type": "boolean"}},
    "required": ["on"],
    "additionalProperties": False,
}
FUNCTION = {"name": "switch", "parameters": SCHEMA, "strict": True}


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Iterator[str]:
    home = tmp_path_factory.mktemp("second")
    arguments = ("--model", str(engine.model.path), "--parallel", "4", "--threads", "1")
    with second_server(home, *arguments, PENNYWEIGHT_API_KEY=KEY) as url:
        yield url


@pytest.fixture(scope="module")
def server(engine: Engine, far: str) -> Iterator[LiveServer]:
    """Serves its own model, and the second server's twice: as a Pennyweight and as if it were OpenAI."""
    upstreams = {
        name: Upstream(name=name, url=f"{far}/v1", model="tiny-long", kind=kind, key_env="FAR_KEY")
        for name, kind in (("far", "pennyweight"), ("plain", "openai"))
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAR_KEY", KEY)
        with live_server(engine, upstream=upstreams, aliases={"house": "far"}) as server:
            yield server


def answers(client: openai.OpenAI, **fields: Any) -> Any:
    """What the model here says, and what the same model says by way of the second server."""
    defaults: dict[str, Any] = {"messages": HI, "seed": 7, "max_completion_tokens": 12}
    create = client.chat.completions.create
    return [create(**{**defaults, "model": model, **fields}) for model in ("tiny-long", "far")]


def test_the_same_model_says_the_same(client: openai.OpenAI) -> None:
    here, there = answers(client, n=2)
    assert [choice.message.content for choice in there.choices] == [c.message.content for c in here.choices]
    assert [choice.finish_reason for choice in there.choices] == ["length", "length"]
    assert there.model == "far"
    assert there.system_fingerprint is None
    assert there.usage.completion_tokens == here.usage.completion_tokens == 24
    assert there.usage.prompt_tokens == here.usage.prompt_tokens


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 0.1),
        ("top_p", 0.05),
        ("top_k", 1),
        ("min_p", 0.9),
        ("repetition_penalty", 10.0),
        ("presence_penalty", 2.0),
        ("frequency_penalty", 2.0),
        ("logit_bias", {"100": 100}),
        ("max_completion_tokens", 3),
        ("stop", ["e", "a", "r", "t", "s"]),
        ("seed", -8),
        ("ignore_eos", True),
    ],
)
def test_a_field_reaches_the_model_there(server: LiveServer, field: str, value: Any) -> None:
    def text(model: str, **fields: Any) -> str:
        body = {"seed": 7, "max_completion_tokens": 60, **fields, "model": model, "messages": HI}
        reply = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)
        content: str = reply.json()["choices"][0]["message"]["content"]
        return content

    assert text("far", **{field: value}) == text("tiny-long", **{field: value})
    if field != "ignore_eos":
        assert text("far", **{field: value}) != text("far")


def test_log_probabilities(client: openai.OpenAI) -> None:
    here, there = answers(client, logprobs=True, top_logprobs=2)
    assert there.choices[0].logprobs.content == here.choices[0].logprobs.content
    assert len(there.choices[0].logprobs.content) == 12


def test_a_stream(client: openai.OpenAI) -> None:
    whole = answers(client)[1]
    with client.chat.completions.create(
        model="house",
        messages=HI,
        seed=7,
        max_completion_tokens=12,
        stream=True,
        stream_options={"include_usage": True},
    ) as chunks:
        *pieces, last = list(chunks)
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
    assert text == whole.choices[0].message.content
    assert pieces[0].choices[0].delta.role == "assistant"
    assert pieces[-1].choices[0].finish_reason == "length"
    assert last.usage == whole.usage


def test_a_schema(client: openai.OpenAI) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "light", "schema": SCHEMA, "strict": True}}
    for model in ("far", "plain"):
        answer = client.chat.completions.create(model=model, messages=HI, response_format=form)
        assert set(json.loads(answer.choices[0].message.content or "")) == {"on"}
        assert answer.choices[0].finish_reason == "stop"


def test_calls_whole_and_streamed(client: openai.OpenAI) -> None:
    tools: Any = [{"type": "function", "function": FUNCTION}]
    answer = client.chat.completions.create(model="far", messages=HI, tools=tools, tool_choice="required")
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "switch"
    assert set(json.loads(call.function.arguments)) == {"on"}
    assert answer.choices[0].finish_reason == "tool_calls"
    history: Any = [
        *HI,
        answer.choices[0].message.model_dump(),
        {"role": "tool", "tool_call_id": call.id, "content": "done"},
    ]
    with client.chat.completions.create(
        model="far", messages=history, tools=tools, tool_choice="required", stream=True
    ) as chunks:
        deltas = [delta for chunk in chunks for delta in chunk.choices[0].delta.tool_calls or []]
    assert [delta.id for delta in deltas if delta.id] != []
    assert set(json.loads("".join(delta.function.arguments or "" for delta in deltas if delta.function))) == {
        "on"
    }


def test_responses(client: openai.OpenAI) -> None:
    tools: Any = [{"type": "function", **FUNCTION}]
    answer = client.responses.create(model="far", input="Hi", max_output_tokens=8, extra_body={"seed": 7})
    assert answer.model == "far"
    assert answer.output_text == answers(client, max_completion_tokens=8)[0].choices[0].message.content
    called = client.responses.create(model="far", input="Hi", tools=tools, tool_choice="required")
    assert called.output[0].type == "function_call"
    with client.responses.stream(
        model="far", input="Hi", max_output_tokens=8, extra_body={"seed": 7}
    ) as events:
        kinds = [event.type for event in events]
    assert (kinds[0], kinds[-1]) == ("response.created", "response.incomplete")


def test_what_was_dropped_there_is_named(client: openai.OpenAI) -> None:
    """Each by its place in what the client sent, behind a tool that was not passed on."""
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=b)b"}}}
    function = {"name": "f", "parameters": schema}
    hosted: Any = {"type": "web_search"}
    raw = client.chat.completions.with_raw_response.create(
        model="far",
        messages=[{**HI[0], "wat": 1}],
        tools=[hosted, {"type": "function", "function": function}],
        max_completion_tokens=4,
    )
    place = "tools[1].function.parameters.properties.a.pattern"
    assert raw.headers["x-pennyweight-ignored"].split(", ") == ["messages[].wat", place, "tools[web_search]"]
    flat: Any = [hosted, {"type": "function", **function, "strict": False}]
    answer = client.responses.with_raw_response.create(
        model="far", input="Hi", tools=flat, max_output_tokens=16
    )
    place = "tools[1].parameters.properties.a.pattern"
    assert answer.headers["x-pennyweight-ignored"].split(", ") == [place, "tools[web_search]"]


def test_a_function_is_strict_there_where_it_can_be(client: openai.OpenAI) -> None:
    open_schema = {"type": "object", "properties": {"on": {"type": "boolean"}}}
    lookaround = {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=b)b{3}"}}}
    for schema, strict in ((open_schema, True), (lookaround, False)):
        tools: Any = [{"type": "function", "name": "f", "parameters": schema}]
        answer = client.responses.create(model="far", input="Hi", tools=tools, tool_choice="required")
        (echoed,) = answer.tools
        assert isinstance(echoed, openai.types.responses.FunctionTool)
        assert echoed.strict is strict
        assert (echoed.parameters == schema) is not strict
    explicit: Any = [{"type": "function", "name": "f", "parameters": lookaround, "strict": True}]
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="far", input="Hi", tools=explicit)
    assert caught.value.param == "tools[0].parameters.properties.a.pattern"


def test_what_the_service_refuses_is_named_as_the_client_wrote_it(client: openai.OpenAI) -> None:
    form: Any = {"type": "json_schema", "name": "n", "strict": True, "schema": {"type": "string", "not": {}}}
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="far", input="Hi", text={"format": form})
    assert caught.value.param == "text.format.schema.not"
    assert "text.format.schema.not" in caught.value.message
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="far", input="x" * 40_000)
    assert (caught.value.param, caught.value.code) == ("input", "context_length_exceeded")


def test_what_only_a_model_here_can_do(client: openai.OpenAI, server: LiveServer) -> None:
    with pytest.raises(openai.BadRequestError, match="runs elsewhere") as caught:
        client.completions.create(model="far", prompt="Hi")
    assert caught.value.param == "model"
    for path, body in (
        ("/tokenize", {"prompt": "Hi"}),
        ("/detokenize", {"tokens": [5]}),
        ("/v1/responses/input_tokens", {"input": "Hi"}),
    ):
        reply = httpx.post(f"{server.url}{path}", json={"model": "far", **body})
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "model")


def test_a_field_the_service_does_not_know(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="'top_k' is not supported by the service") as caught:
        client.chat.completions.create(model="plain", messages=HI, extra_body={"top_k": 5})
    assert caught.value.param == "top_k"


def test_what_the_service_refuses_is_refused(client: openai.OpenAI) -> None:
    long: Any = [{"role": "user", "content": "x" * 40_000}]
    for model in ("far", "plain"):
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model=model, messages=long)
        assert caught.value.code == "context_length_exceeded"


def test_ids_of_another_vocabulary(engine: Engine, far: str) -> None:
    named = Upstream(name="gpt-4o-mini", url=f"{far}/v1", model="tiny-long")
    with live_server(engine, upstream={named.name: named}) as other, other.client() as client:
        with pytest.raises(openai.BadRequestError, match="o200k_base") as caught:
            client.chat.completions.create(model=named.name, messages=HI, logit_bias={"5": 1})
        assert caught.value.param == "logit_bias"


def test_models_are_listed(client: openai.OpenAI) -> None:
    owners = {model.id: model.owned_by for model in client.models.list()}
    assert owners["far"] == owners["house"] == "upstream"
    assert owners["tiny-long"] == owners["gpt-4o-mini"] == "pennyweight"


def test_a_client_that_goes_away_ends_the_answer_there(server: LiveServer, far: str) -> None:
    body = {"model": "far", "messages": HI, "stream": True, "ignore_eos": True}

    key = {"authorization": f"Bearer {KEY}"}

    def running() -> int:
        queue: int = httpx.get(f"{far}/health", headers=key).json()["queue"]["running"]
        return queue

    with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body, timeout=60) as reply:
        lines = reply.iter_lines()
        while '"content":"' not in next(lines).replace('"content":""', ""):
            pass
        assert running() == 1
    eventually(lambda: running() == 0)


def test_many_at_once(server: LiveServer) -> None:
    async def ask(client: httpx.AsyncClient, seed: int) -> str:
        body = {"model": "far", "messages": HI, "seed": seed, "max_tokens": 8}
        reply = await client.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)
        text: str = reply.json()["choices"][0]["message"]["content"]
        return text

    async def everybody() -> list[str]:
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=None)) as client:
            return await asyncio.gather(*(ask(client, seed % 4) for seed in range(32)))

    texts = asyncio.run(everybody())
    assert texts[:4] * 8 == texts


def test_answers_from_elsewhere_are_kept_too(server: LiveServer) -> None:
    """Through the same door: chats, chains and what is answered in the background."""
    with server.client() as client:
        chat = client.chat.completions.create(
            model="far", messages=[{"role": "user", "content": "Hi"}], max_tokens=4, store=True
        )
        assert client.chat.completions.retrieve(chat.id).choices == chat.choices
        first = client.responses.create(model="far", input="One", max_output_tokens=4)
        second = client.responses.create(
            model="far", input="Two", max_output_tokens=4, previous_response_id=first.id, background=True
        )
        while second.status in ("queued", "in_progress"):
            second = client.responses.retrieve(second.id)
        assert second.usage is not None
        assert first.usage is not None
        assert second.usage.input_tokens > first.usage.total_tokens
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(model="far", input="Hi", truncation="auto")
        assert caught.value.param == "truncation"
