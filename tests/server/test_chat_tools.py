"""Tools and formats through the official client and a real engine, streamed and not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pytest
from pydantic import BaseModel

if TYPE_CHECKING:
    from tests.server.live import LiveServer

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"enum": ["Paris", "Rome"]},
        "days": {"type": "integer", "maximum": 9, "minimum": 1},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {"name": "weather", "description": "Forecast", "parameters": SCHEMA, "strict": True},
}
COUNT: dict[str, Any] = {
    "type": "custom",
    "custom": {
        "name": "count",
        "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": 'start: ("a"|"b")~3'}},
    },
}
QUESTION: list[Any] = [{"role": "user", "content": "What is the weather?"}]


def ask(client: openai.OpenAI, server: LiveServer, **fields: Any) -> Any:
    defaults: dict[str, Any] = {"model": server.model, "messages": QUESTION, "max_tokens": 200, "seed": 7}
    return client.chat.completions.create(**{**defaults, **fields})


def joined(chunks: Any) -> tuple[list[dict[str, Any]], str | None]:
    """The calls of a stream, put together as the protocol says, and the reason it ended."""
    calls: list[dict[str, Any]] = []
    reason = None
    for chunk in chunks:
        for choice in chunk.choices:
            reason = choice.finish_reason or reason
            for piece in choice.delta.tool_calls or []:
                data = piece.model_dump(exclude_none=True)
                if piece.index == len(calls):
                    calls.append({"id": data["id"], "type": data["type"], "name": "", "written": ""})
                else:
                    assert "id" not in data
                inner = data.get("function") or data["custom"]
                calls[piece.index]["name"] += inner.get("name", "")
                calls[piece.index]["written"] += inner.get("arguments", inner.get("input", ""))
    return calls, reason


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "weather"}}])
@pytest.mark.parametrize("temperature", [0, 2])
def test_a_demanded_call(client: openai.OpenAI, server: LiveServer, choice: Any, temperature: float) -> None:
    fields = {"tools": [WEATHER], "tool_choice": choice, "temperature": temperature}
    answer = ask(client, server, parallel_tool_calls=False, **fields)
    (call,) = answer.choices[0].message.tool_calls
    assert (call.type, call.function.name, answer.choices[0].finish_reason) == (
        "function",
        "weather",
        "tool_calls",
    )
    arguments = json.loads(call.function.arguments)
    assert arguments["city"] in ("Paris", "Rome")
    assert 1 <= arguments["days"] <= 9
    assert answer.choices[0].message.content is None
    streamed, reason = joined(ask(client, server, parallel_tool_calls=False, stream=True, **fields))
    assert reason == "tool_calls"
    assert [(c["name"], c["written"]) for c in streamed] == [("weather", call.function.arguments)]


def test_a_custom_tool(loose_client: openai.OpenAI, server: LiveServer) -> None:
    named = {"type": "custom", "custom": {"name": "count"}}
    answer = ask(loose_client, server, tools=[WEATHER, COUNT], tool_choice=named)
    (call,) = answer.choices[0].message.tool_calls
    assert (call.type, call.custom.name) == ("custom", "count")
    assert len(call.custom.input) == 3
    assert set(call.custom.input) <= set("ab")
    streamed, _ = joined(ask(loose_client, server, tools=[COUNT], tool_choice="required", stream=True))
    assert streamed[0]["type"] == "custom"
    assert set(streamed[0]["written"]) <= set("ab")


def test_a_conversation_with_calls_goes_on(client: openai.OpenAI, server: LiveServer) -> None:
    first = ask(client, server, tools=[WEATHER], tool_choice="required", parallel_tool_calls=False)
    message = first.choices[0].message
    history = [
        *QUESTION,
        message.model_dump(),
        {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny"},
    ]
    answer = ask(client, server, messages=history, tools=[WEATHER], tool_choice="none", max_tokens=5)
    assert answer.choices[0].finish_reason in ("length", "stop")
    assert answer.choices[0].message.tool_calls is None
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, server, messages=history[:2], tools=[WEATHER])
    assert caught.value.param == "messages[1].tool_calls"


def test_the_older_functions(client: openai.OpenAI, server: LiveServer) -> None:
    fields = {"functions": [WEATHER["function"]], "function_call": {"name": "weather"}}
    answer = ask(client, server, **fields)
    call = answer.choices[0].message.function_call
    assert (call.name, answer.choices[0].finish_reason) == ("weather", "function_call")
    assert json.loads(call.arguments)["city"] in ("Paris", "Rome")
    pieces = [chunk.choices[0].delta.function_call for chunk in ask(client, server, stream=True, **fields)]
    assert "".join(piece.arguments for piece in pieces if piece) == call.arguments


@pytest.mark.parametrize("temperature", [0, 1, 2])
def test_a_json_schema(client: openai.OpenAI, server: LiveServer, temperature: float) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "forecast", "schema": SCHEMA, "strict": True}}
    answer = ask(client, server, response_format=form, temperature=temperature)
    data = json.loads(answer.choices[0].message.content)
    assert set(data) == {"city", "days"}
    assert answer.choices[0].finish_reason == "stop"


def test_json_of_any_form(client: openai.OpenAI, server: LiveServer) -> None:
    answer = ask(client, server, response_format={"type": "json_object"}, max_tokens=400)
    choice = answer.choices[0]
    assert choice.message.content.startswith("{")
    assert choice.finish_reason == "length" or isinstance(json.loads(choice.message.content), dict)


def test_the_clients_own_parsing(client: openai.OpenAI, server: LiveServer) -> None:
    class Flag(BaseModel):
        on: bool
        level: int

    answer = client.chat.completions.parse(
        model=server.model, messages=QUESTION, response_format=Flag, max_tokens=200, seed=3, temperature=0
    )
    assert isinstance(answer.choices[0].message.parsed, Flag)
    with client.chat.completions.stream(
        model=server.model, messages=QUESTION, response_format=Flag, max_tokens=200, seed=3, temperature=0
    ) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.parsed == answer.choices[0].message.parsed


def test_what_cannot_be_enforced_is_refused(client: openai.OpenAI, server: LiveServer) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "pattern": "(?=a)b"}},
        "required": ["a"],
    }
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, server, response_format=form, stream=stream)
        assert caught.value.param == "response_format.json_schema.schema.properties.a.pattern"


def test_log_probabilities_of_calls(client: openai.OpenAI, server: LiveServer) -> None:
    fields = {"tools": [WEATHER], "tool_choice": "required", "logprobs": True, "top_logprobs": 2}
    whole = ask(client, server, parallel_tool_calls=False, **fields)
    tokens = whole.choices[0].logprobs.content
    text = b"".join(bytes(token.bytes) for token in tokens).decode()
    assert whole.choices[0].message.tool_calls[0].function.arguments in text
    chunks = list(ask(client, server, parallel_tool_calls=False, stream=True, **fields))
    streamed = [t for c in chunks if c.choices[0].logprobs for t in c.choices[0].logprobs.content]
    assert [t.token for t in streamed] == [t.token for t in tokens]


def test_a_schema_that_takes_too_long_in_the_middle_fails_for_good(
    client: openai.OpenAI, server: LiveServer
) -> None:
    items = [[{"$ref": "#/$defs/x"}, {"const": number}] for number in range(1500)]
    pairs = [{"type": "array", "prefixItems": pair, "items": False, "minItems": 2} for pair in items]
    properties = {"first": {"const": "one"}, "then": {"$ref": "#/$defs/x"}}
    schema = {
        **SCHEMA,
        "properties": properties,
        "required": list(properties),
        "$defs": {"x": {"anyOf": pairs}},
    }
    schema["$defs"]["x"]["anyOf"].append({"type": "null"})
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
    with pytest.raises(openai.InternalServerError, match="takes longer than") as caught:
        ask(client, server, response_format=form)
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert ask(client, server, max_tokens=3).choices[0].message.content
