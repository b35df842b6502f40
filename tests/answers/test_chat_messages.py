"""Messages become a conversation; what asks nothing is dropped and named, what would matter is refused."""

from __future__ import annotations

from typing import Any

import pytest

from pennyweight.answers.chat_messages import read_messages
from pennyweight.answers.conversation import Message, TextPart, ToolCall
from pennyweight.answers.fields import ParameterError

CALL: dict[str, Any] = {
    "id": "call_1",
    "type": "function",
    "index": 0,
    "function": {"name": "f", "arguments": '{"a": 1}'},
}


def read(*messages: object) -> tuple[list[Message], set[str]]:
    ignored: set[str] = set()
    return list(read_messages(list(messages), ignored=ignored).messages), ignored


def refused(*messages: object) -> ParameterError:
    with pytest.raises(ParameterError) as caught:
        read(*messages)
    return caught.value


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant"])
def test_a_message_of_text(role: Any) -> None:
    messages, ignored = read({"role": role, "content": "Hi"})
    assert messages == [Message(role=role, parts=(TextPart("Hi"),))]
    assert not ignored


def test_parts_keep_their_order() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages, _ = read({"role": "user", "content": parts})
    assert messages[0].parts == (TextPart("a"), TextPart("b"))
    assert messages[0].text == "ab"


def test_an_answer_of_the_official_client_can_be_replayed() -> None:
    replay: dict[str, object] = {
        "role": "assistant",
        "content": "Paris",
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
        "tool_calls": None,
        "name": None,
    }
    messages, ignored = read({"role": "user", "content": "?"}, replay, {"role": "user", "content": "!"})
    assert messages[1].text == "Paris"
    assert not ignored


def test_a_refusal_is_what_the_model_said() -> None:
    messages, _ = read({"role": "assistant", "content": None, "refusal": "No."})
    assert (messages[0].text, messages[0].refusal) == ("No.", "No.")
    messages, _ = read({"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]})
    assert messages[0].text == "No."


def test_unknown_keys_are_dropped_and_named() -> None:
    part = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}, "extra": None}
    messages, ignored = read({"role": "user", "content": [part], "name": "Ann", "weight": 1})
    assert messages[0].text == "a"
    assert ignored == {"messages[].name", "messages[].weight", "messages[].content[].cache_control"}


def test_calls_and_their_results() -> None:
    custom = {"id": "call_2", "type": "custom", "custom": {"name": "g", "input": "free text", "extra": 1}}
    messages, ignored = read(
        {"role": "assistant", "content": None, "tool_calls": [CALL, custom], "reasoning_content": "Hm."},
        {"role": "tool", "tool_call_id": "call_2", "content": "two"},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "one"}], "name": "f"},
        {"role": "user", "content": "Thanks"},
    )
    assert messages[0].tool_calls == (
        ToolCall(id="call_1", name="f", arguments='{"a": 1}'),
        ToolCall(id="call_2", name="g", arguments="free text", kind="custom"),
    )
    assert messages[0].reasoning == "Hm."
    assert [(m.role, m.tool_call_id, m.text) for m in messages[1:3]] == [
        ("tool", "call_2", "two"),
        ("tool", "call_1", "one"),
    ]
    assert ignored == {"messages[].tool_calls[].custom.extra"}


def test_the_older_form_of_calls() -> None:
    messages, _ = read(
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
    )
    (call,) = messages[0].tool_calls
    assert (call.name, call.arguments) == ("f", "{}")
    assert (messages[1].role, messages[1].tool_call_id, messages[1].name) == ("tool", call.id, "f")


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([{"role": "assistant", "tool_calls": [CALL]}, {"role": "user", "content": "!"}], 0),
        (
            [
                {"role": "assistant", "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "call_1", "content": ""},
                {"role": "tool", "tool_call_id": "call_1", "content": ""},
            ],
            2,
        ),
    ],
)
def test_a_history_that_is_not_whole(messages: list[object], param: int) -> None:
    error = refused(*messages)
    assert error.param is not None
    assert error.param.startswith(f"messages[{param}].")
    assert "call_1" in error.message


@pytest.mark.parametrize(
    ("message", "param", "code"),
    [
        ("Hi", "messages[0]", "invalid_type"),
        ({"content": "Hi"}, "messages[0].role", "missing_required_parameter"),
        ({"role": "bot", "content": "Hi"}, "messages[0].role", "invalid_value"),
        ({"role": 1, "content": "Hi"}, "messages[0].role", "invalid_type"),
        ({"role": "tool", "content": "Hi"}, "messages[0].tool_call_id", "missing_required_parameter"),
        ({"role": "tool", "content": "Hi", "tool_call_id": "x"}, "messages[0].tool_call_id", "invalid_value"),
        ({"role": "function", "content": "Hi"}, "messages[0].name", "missing_required_parameter"),
        ({"role": "function", "name": "f", "content": "Hi"}, "messages[0].name", "invalid_value"),
        ({"role": "user", "content": "", "tool_calls": [{}]}, "messages[0].tool_calls", "invalid_value"),
        ({"role": "user"}, "messages[0].content", "missing_required_parameter"),
        ({"role": "user", "content": []}, "messages[0].content", "empty_array"),
        ({"role": "user", "content": 1}, "messages[0].content", "invalid_type"),
        ({"role": "user", "content": "\udc00"}, "messages[0].content", "invalid_value"),
        ({"role": "user", "content": ["a"]}, "messages[0].content[0]", "invalid_type"),
        ({"role": "user", "content": [{"text": "a"}]}, "messages[0].content[0].type", "invalid_type"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
            "messages[0].content[0].type",
            "unsupported_value",
        ),
        (
            {"role": "user", "content": [{"type": "refusal", "refusal": "x"}]},
            "messages[0].content[0].type",
            "unsupported_value",
        ),
        ({"role": "user", "content": [{"type": "text"}]}, "messages[0].content[0].text", "invalid_type"),
        (
            {"role": "assistant", "content": None, "tool_calls": [{"id": "x"}]},
            "messages[0].tool_calls[0].function",
            "missing_required_parameter",
        ),
        (
            {"role": "assistant", "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": {}}}]},
            "messages[0].tool_calls[0].function.arguments",
            "invalid_type",
        ),
        (
            {"role": "assistant", "tool_calls": [{"id": "x", "type": "tune", "function": {}}]},
            "messages[0].tool_calls[0].type",
            "invalid_value",
        ),
        (
            {"role": "assistant", "tool_calls": [CALL]},
            "messages[0].tool_calls",
            "invalid_value",
        ),
        (
            {"role": "assistant", "tool_calls": [CALL], "function_call": {"name": "f", "arguments": ""}},
            "messages[0].function_call",
            "invalid_parameter_combination",
        ),
        (
            {"role": "assistant", "content": "", "audio": {"id": "x"}},
            "messages[0].audio",
            "unsupported_value",
        ),
    ],
)
def test_refusals_name_the_place(message: object, param: str, code: str) -> None:
    error = refused(message)
    assert (error.param, error.code) == (param, code)
    assert param in error.message
