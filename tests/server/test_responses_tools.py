"""Tools and formats of Responses through the strict client and a real engine, whole, streamed and parsed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
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
    "name": "weather",
    "description": "Forecast",
    "parameters": SCHEMA,
    "strict": True,
}
DIAL: dict[str, Any] = {**WEATHER, "name": "dial"}
COUNT: dict[str, Any] = {
    "type": "custom",
    "name": "count",
    "format": {"type": "grammar", "syntax": "lark", "definition": 'start: ("a"|"b")~3'},
}
QUESTION = "What is the weather?"
ASKED = [{"role": "user", "content": QUESTION}]


class Flag(BaseModel):
    on: bool
    level: int


def ask(client: openai.OpenAI, server: LiveServer, **fields: Any) -> Any:
    defaults: dict[str, Any] = {"model": server.model, "input": QUESTION, "max_output_tokens": 300}
    return client.responses.create(**{**defaults, **fields}, extra_body={"seed": 7})


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "weather"}])
@pytest.mark.parametrize("temperature", [0, 2])
def test_a_demanded_call(client: openai.OpenAI, server: LiveServer, choice: Any, temperature: float) -> None:
    fields = {"tools": [WEATHER], "tool_choice": choice, "temperature": temperature}
    answer = ask(client, server, parallel_tool_calls=False, **fields)
    (call,) = answer.output
    assert (call.type, call.name, call.status, answer.status) == (
        "function_call",
        "weather",
        "completed",
        "completed",
    )
    arguments = json.loads(call.arguments)
    assert arguments["city"] in ("Paris", "Rome")
    assert 1 <= arguments["days"] <= 9
    assert answer.tools[0].name == "weather"
    assert answer.tool_choice == choice or answer.tool_choice.model_dump() == choice
    events = list(ask(client, server, parallel_tool_calls=False, stream=True, **fields))
    kinds = [event.type.removeprefix("response.") for event in events]
    assert kinds[:3] == ["created", "in_progress", "output_item.added"]
    assert kinds[-3:] == ["function_call_arguments.done", "output_item.done", "completed"]
    assert set(kinds[3:-3]) == {"function_call_arguments.delta"}
    assert "".join(event.delta for event in events[3:-3]) == events[-3].arguments == call.arguments
    assert events[-3].model_extra == {"name": "weather"}
    assert events[2].item.call_id == events[-2].item.call_id == events[-1].response.output[0].call_id


def test_a_choice_restricts_the_tools(client: openai.OpenAI, server: LiveServer) -> None:
    named = {"type": "function", "name": "dial"}
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [named]}
    for choice in (named, allowed):
        answer = ask(client, server, tools=[WEATHER, DIAL], tool_choice=choice)
        assert {item.name for item in answer.output} == {"dial"}
    answer = ask(client, server, tools=[WEATHER], tool_choice="none", max_output_tokens=5)
    assert [item.type for item in answer.output] == ["message"]


def test_a_custom_tool(client: openai.OpenAI, server: LiveServer) -> None:
    fields = {"tools": [COUNT], "tool_choice": {"type": "custom", "name": "count"}}
    answer = ask(client, server, parallel_tool_calls=False, **fields)
    (call,) = answer.output
    assert (call.type, call.name) == ("custom_tool_call", "count")
    assert len(call.input) == 3
    assert set(call.input) <= set("ab")
    events = list(ask(client, server, parallel_tool_calls=False, stream=True, **fields))
    deltas = [e.delta for e in events if e.type == "response.custom_tool_call_input.delta"]
    (done,) = [e for e in events if e.type == "response.custom_tool_call_input.done"]
    assert "".join(deltas) == done.input == call.input
    assert answer.tools[0].format.definition == COUNT["format"]["definition"]


def test_a_conversation_with_calls_goes_on(client: openai.OpenAI, server: LiveServer) -> None:
    first = ask(client, server, tools=[WEATHER], tool_choice="required", parallel_tool_calls=False)
    (call,) = first.output
    history = [
        {"role": "user", "content": QUESTION},
        call.model_dump(),
        {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"},
    ]
    answer = ask(client, server, input=history, tools=[WEATHER], tool_choice="none", max_output_tokens=5)
    chat = client.chat.completions.create(
        model=server.model,
        messages=[
            {"role": "user", "content": QUESTION},
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": call.call_id,
                        "type": "function",
                        "function": {"name": call.name, "arguments": call.arguments},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": call.call_id, "content": "sunny"},
        ],
        seed=7,
        max_tokens=5,
    )
    assert answer.output_text == chat.choices[0].message.content
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, server, input=history[:2], tools=[WEATHER])
    assert caught.value.param == "input[1]"


def test_hosted_tools_are_skipped_and_named(client: openai.OpenAI, server: LiveServer) -> None:
    tools: list[Any] = [{"type": "web_search"}, WEATHER]
    raw = client.responses.with_raw_response.create(
        model=server.model, input=QUESTION, tools=tools, max_output_tokens=5
    )
    assert raw.headers["x-pennyweight-ignored"] == "tools[web_search]"
    assert [tool.type for tool in raw.parse().tools] == ["function"]
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, server, tools=tools, tool_choice={"type": "web_search_preview"})
    assert caught.value.param == "tool_choice"


@pytest.mark.parametrize("temperature", [0, 2])
def test_a_json_schema(client: openai.OpenAI, server: LiveServer, temperature: float) -> None:
    form = {"type": "json_schema", "name": "forecast", "schema": SCHEMA, "strict": True}
    answer = ask(client, server, text={"format": form}, temperature=temperature)
    assert set(json.loads(answer.output_text)) == {"city", "days"}
    assert (answer.status, answer.text.format.name) == ("completed", "forecast")


def test_json_of_any_form(client: openai.OpenAI, server: LiveServer) -> None:
    answer = ask(client, server, text={"format": {"type": "json_object"}})
    assert answer.output_text.startswith("{")
    assert answer.status == "incomplete" or isinstance(json.loads(answer.output_text), dict)


def test_the_clients_own_parsing(client: openai.OpenAI, server: LiveServer) -> None:
    fields: dict[str, Any] = {"model": server.model, "input": QUESTION, "max_output_tokens": 200}
    answer = client.responses.parse(**fields, text_format=Flag, temperature=0)
    assert isinstance(answer.output_parsed, Flag)
    with client.responses.stream(**fields, text_format=Flag, temperature=0) as stream:
        final = stream.get_final_response()
    assert final.output_parsed == answer.output_parsed


def test_what_cannot_be_enforced_is_refused(client: openai.OpenAI, server: LiveServer) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=a)b"}}}
    form = {"type": "json_schema", "name": "n", "schema": schema, "strict": True}
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, server, text={"format": form}, stream=stream)
        assert caught.value.param == "text.format.schema.properties.a.pattern"


def test_tools_are_counted(client: openai.OpenAI, server: LiveServer) -> None:
    fields: dict[str, Any] = {"model": server.model, "input": QUESTION, "tools": [WEATHER]}
    counted = client.responses.input_tokens.count(**fields).input_tokens
    assert counted == client.responses.create(**fields, max_output_tokens=1).usage.input_tokens
    assert counted > client.responses.input_tokens.count(model=server.model, input=QUESTION).input_tokens


LOOSE: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}, "days": {"type": "integer", "maximum": 9}},
    "required": ["city"],
}


def loose_tool(**fields: Any) -> dict[str, Any]:
    return {"type": "function", "name": "weather", "parameters": LOOSE, **fields}


def test_without_a_word_a_function_is_strict(client: openai.OpenAI, server: LiveServer) -> None:
    for fields in ({}, {"strict": None}):
        answer = ask(client, server, tools=[loose_tool(**fields)], tool_choice="required")
        assert answer.tools[0].strict is True
        assert answer.tools[0].parameters == {
            **LOOSE,
            "required": ["city", "days"],
            "additionalProperties": False,
        }
        assert set(json.loads(answer.output[0].arguments)) == {"city", "days"}
    answer = ask(client, server, tools=[loose_tool(strict=False)], tool_choice="required")
    assert (answer.tools[0].strict, answer.tools[0].parameters) == (False, LOOSE)


def test_a_schema_that_cannot_be_strict_is_not(client: openai.OpenAI, server: LiveServer) -> None:
    lookaround = {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=b)b{3}"}}}
    raw = client.responses.with_raw_response.create(
        model=server.model,
        input=QUESTION,
        max_output_tokens=300,
        tools=[loose_tool(parameters=lookaround)],  # type: ignore[list-item]
        tool_choice="required",
    )
    assert raw.headers["x-pennyweight-ignored"] == "tools[0].parameters.properties.a.pattern"
    (echoed,) = raw.parse().tools
    assert isinstance(echoed, openai.types.responses.FunctionTool)
    assert (echoed.strict, echoed.parameters) == (False, lookaround)


def test_a_schema_that_closes_and_is_too_much_is_not_strict(
    client: openai.OpenAI, server: LiveServer
) -> None:
    """Only the grammar's own compiler knows."""
    steep = {"type": "string", "pattern": "^(?:[a-y]*b[a-z]{200}){40}$", "minLength": 50}
    large: dict[str, Any] = {"type": "object", "properties": {"a": steep}}
    tools = [loose_tool(parameters=large)]
    answer = list(ask(client, server, tools=tools, tool_choice="required", stream=True, max_output_tokens=16))
    begun = next(event for event in answer if event.type == "response.created")
    assert (begun.response.tools[0].strict, begun.response.tools[0].parameters) == (False, large)


def test_what_is_counted_is_what_is_read(client: openai.OpenAI, server: LiveServer) -> None:
    """A function that cannot be strict is shown as it was given, in both."""
    lookaround = {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=b)b{3}"}}}
    tools = [loose_tool(parameters=lookaround)]
    told = client.responses.input_tokens.count(model=server.model, input=QUESTION, tools=tools)  # type: ignore[arg-type]
    answer = ask(client, server, tools=tools, max_output_tokens=1)
    assert answer.usage.input_tokens == told.input_tokens
    explicit = ask(
        client, server, tools=[loose_tool(parameters=lookaround, strict=False)], max_output_tokens=1
    )
    assert explicit.usage.input_tokens == told.input_tokens


def test_a_call_that_was_cut_off_is_accepted_back(client: openai.OpenAI, server: LiveServer) -> None:
    fields = {"tools": [WEATHER], "tool_choice": "required", "parallel_tool_calls": False}
    limit = ask(client, server, **fields).usage.output_tokens
    call = None
    while call is None or call.arguments.endswith("}"):
        limit -= 2
        cut = ask(client, server, max_output_tokens=limit, **fields)
        (call,) = cut.output
    assert (cut.status, call.status, call.type) == ("incomplete", "incomplete", "function_call")
    assert call.arguments.startswith("{")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "cut off"}
    history = [*ASKED, call.model_dump(), result]
    assert ask(client, server, input=history, tools=[WEATHER], max_output_tokens=5).output_text
    nested = {"name": call.name, "arguments": call.arguments}
    chat = client.chat.completions.create(
        model=server.model,
        messages=[
            {"role": "user", "content": QUESTION},
            {
                "role": "assistant",
                "tool_calls": [{"id": call.call_id, "type": "function", "function": nested}],  # type: ignore[typeddict-item]
            },
            {"role": "tool", "tool_call_id": call.call_id, "content": "cut off"},
        ],
        max_tokens=5,
    )
    assert chat.choices[0].message.content


@pytest.mark.parametrize("streamed", [False, True])
def test_keywords_that_are_not_enforced_are_named(server: LiveServer, streamed: bool) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=b)b{3}"}}}
    form = {"name": "n", "schema": schema}
    function = {"name": "f", "parameters": schema}
    asked: list[tuple[str, dict[str, Any], str]] = [
        (
            "responses",
            {"input": QUESTION, "text": {"format": {"type": "json_schema", **form}}},
            "text.format.schema",
        ),
        (
            "chat/completions",
            {"messages": ASKED, "response_format": {"type": "json_schema", "json_schema": form}},
            "response_format.json_schema.schema",
        ),
        (
            "chat/completions",
            {"messages": ASKED, "tools": [{"type": "function", "function": function}]},
            "tools[0].function.parameters",
        ),
    ]
    for path, body, place in asked:
        sent = {"model": server.model, "seed": 7, "stream": streamed, **body}
        reply = httpx.post(f"{server.url}/v1/{path}", json=sent, timeout=60)
        assert reply.headers["x-pennyweight-ignored"] == f"{place}.properties.a.pattern"
