"""Messages become a conversation; what asks nothing is dropped and named, what would matter is refused."""

from __future__ import annotations

from typing import Any

import pytest

from pennyweight.answers.chat_messages import read_messages
from pennyweight.answers.conversation import Message, TextPart
from pennyweight.answers.fields import ParameterError


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
    assert messages[0].text == "No."
    messages, _ = read({"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]})
    assert messages[0].text == "No."


def test_unknown_keys_are_dropped_and_named() -> None:
    part = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}, "extra": None}
    messages, ignored = read({"role": "user", "content": [part], "name": "Ann", "weight": 1})
    assert messages[0].text == "a"
    assert ignored == {"messages[].name", "messages[].weight", "messages[].content[].cache_control"}


@pytest.mark.parametrize(
    ("message", "param", "code"),
    [
        ("Hi", "messages[0]", "invalid_type"),
        ({"content": "Hi"}, "messages[0].role", "missing_required_parameter"),
        ({"role": "bot", "content": "Hi"}, "messages[0].role", "invalid_value"),
        ({"role": 1, "content": "Hi"}, "messages[0].role", "invalid_type"),
        ({"role": "tool", "content": "Hi"}, "messages[0].role", "unsupported_value"),
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
            "messages[0].tool_calls",
            "unsupported_value",
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
