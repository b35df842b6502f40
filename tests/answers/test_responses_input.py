"""Items become turns; what is not whole, not text or not ours is named."""

from __future__ import annotations

from typing import Any

import pytest

from pennyweight.answers.conversation import Message, TextPart, ToolCall
from pennyweight.answers.fields import ParameterError
from pennyweight.answers.responses_fields import INPUT_TOKENS_FIELDS, RESPONSES_FIELDS
from pennyweight.answers.responses_input import read_input
from pennyweight.answers.responses_schema import parse_input_count, parse_response

USER = {"role": "user", "content": "Hi"}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "1"}
BODY: dict[str, Any] = {"model": "m", "input": "Hi"}


def said(role: Any, *texts: str, **fields: Any) -> Message:
    return Message(role=role, parts=tuple(map(TextPart, texts)), **fields)


def read(items: object, *, instructions: str | None = None) -> tuple[Message, ...]:
    return read_input(items, instructions=instructions, ignored=set())


def refused(items: object) -> ParameterError:
    with pytest.raises(ParameterError) as caught:
        read(items)
    assert caught.value.param is not None
    assert caught.value.param in caught.value.message or caught.value.code == "invalid_value"
    return caught.value


def test_a_text_is_a_message_of_the_user() -> None:
    assert read("Hi") == (said("user", "Hi"),)


def test_all_that_instructs_is_one_message_in_front() -> None:
    items = [
        {"role": "system", "content": "b"},
        USER,
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "c"}]},
    ]
    assert read(items, instructions="a") == (said("system", "a\n\nb\n\nc"), said("user", "Hi"))


def test_calls_side_by_side_are_one_turn() -> None:
    other = {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "x"}
    items = [
        USER,
        {"role": "assistant", "content": [{"type": "output_text", "text": "Let me see."}]},
        CALL,
        other,
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "2"}]},
        OUTPUT,
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    ]
    calls = (
        ToolCall(id="c1", name="f", arguments="{}"),
        ToolCall(id="c2", name="g", arguments="x", kind="custom"),
    )
    assert read(items) == (
        said("user", "Hi"),
        said("assistant", "Let me see.", tool_calls=calls),
        said("tool", "2", tool_call_id="c2"),
        said("tool", "1", tool_call_id="c1"),
        said("assistant", "No."),
    )
    assert read([USER, CALL, OUTPUT, CALL, OUTPUT])[1:3] == read([USER, CALL, OUTPUT, CALL, OUTPUT])[3:]


def test_what_is_dropped_is_named() -> None:
    ignored: set[str] = set()
    items = [
        {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "x"},
        {**USER, "id": "msg", "status": "completed", "colour": 1},
        {**CALL, "id": "fc", "status": "completed", "namespace": "n"},
        {**OUTPUT, "id": None},
    ]
    read_input(items, instructions=None, ignored=ignored)
    assert ignored == {"input[reasoning]", "input[].colour", "input[].namespace"}


@pytest.mark.parametrize(
    ("items", "param"),
    [
        (5, "input"),
        ([], "input"),
        ([{"role": "developer", "content": "only"}], "input"),
        (["Hi"], "input[0]"),
        ([{"content": "Hi"}], "input[0].type"),
        ([{"type": "message", "content": "Hi"}], "input[0].role"),
        ([{"role": "user"}], "input[0].content"),
        ([{"role": "tool", "content": "x"}], "input[0].role"),
        (
            [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}],
            "input[0].content[0].type",
        ),
        ([{"role": "user", "content": [{"type": "output_text", "text": "x"}]}], "input[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "input_text"}]}], "input[0].content[0].text"),
        ([USER, OUTPUT], "input[1].call_id"),
        ([USER, CALL, OUTPUT, OUTPUT], "input[3].call_id"),
        ([USER, CALL], "input[1]"),
        ([USER, CALL, USER], "input[1]"),
        ([USER, CALL, CALL, OUTPUT], "input[2].call_id"),
        ([USER, {**CALL, "arguments": None}], "input[1].arguments"),
        ([USER, {"type": "item_reference", "id": "x"}], "input[1].type"),
        ([USER, {"type": "web_search_call", "id": "x"}], "input[1].type"),
        ([{"role": "user", "content": "\ud800"}], "input[0].content"),
    ],
)
def test_what_is_refused_is_named_by_its_place(items: object, param: str) -> None:
    assert refused(items).param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"n": 2}, "n"),
        ({"max_tokens": 5}, "max_tokens"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "blender"}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "name": "f"}] * 129}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.name"),
        ({"include": ["colour"]}, "include[0]"),
        ({"reasoning": {"effort": "high"}}, "reasoning.effort"),
        ({"stream_options": {"include_obfuscation": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": True}}, "stream_options.include_usage"),
        ({"service_tier": "golden"}, "service_tier"),
        ({"metadata": {"who": "x" * 513}}, "metadata.who"),
    ],
)
def test_fields_that_are_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_response({**BODY, **fields})
    assert caught.value.param == param


@pytest.mark.parametrize("neutral", RESPONSES_FIELDS.neutral, ids=lambda neutral: neutral.name)
def test_neutral_values_pass_and_others_are_refused(neutral: Any) -> None:
    for value in neutral.values:
        parse_response({**BODY, neutral.name: value})
    with pytest.raises(ParameterError) as caught:
        parse_response({**BODY, neutral.name: {"some": "thing"}})
    assert (caught.value.param, caught.value.code) == (neutral.name, "unsupported_parameter")


@pytest.mark.parametrize("name", sorted(set(RESPONSES_FIELDS.schema["properties"]) - {"model", "input"}))
def test_null_is_absent(name: str) -> None:
    assert parse_response({**BODY, name: None}) == parse_response(BODY)


def test_advisory_fields_ask_nothing() -> None:
    fields = {
        "user": "u",
        "metadata": {"a": "b"},
        "client_metadata": {"a": 1},
        "prompt_cache_key": "k",
        "max_tool_calls": 3,
        "service_tier": "flex",
        "stream_options": {"include_obfuscation": False},
    }
    asked, plain = parse_response({**BODY, "stream": True, **fields}), parse_response(BODY)
    assert (asked.conversation, asked.options) == (plain.conversation, plain.options)


def test_a_reasoning_that_asks_nothing_passes() -> None:
    asked = parse_response({**BODY, "reasoning": {"effort": "none", "summary": "auto"}})
    assert asked.ignored == ("reasoning.summary",)


def test_counting_reads_what_answering_reads() -> None:
    fields = {"instructions": "a", "input": [USER], "tools": [{"type": "function", "name": "f"}]}
    assert parse_input_count(fields).conversation == parse_response({"model": "m", **fields}).conversation
    with pytest.raises(ParameterError):
        parse_input_count({**fields, "temperature": 1})


def test_the_schemas_describe_every_field() -> None:
    for tables in (RESPONSES_FIELDS, INPUT_TOKENS_FIELDS):
        assert all(item["description"] for item in tables.schema["properties"].values())
