"""What is sent to a service elsewhere: every field, or its name in an error."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pennyweight.answers.chat_schema import parse_chat
from pennyweight.answers.fields import ParameterError
from pennyweight.answers.upstream.request import chat_body
from pennyweight.upstreams import Upstream, UpstreamKind

HI = {"role": "user", "content": "Hi"}
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}
OTHER = {"type": "function", "function": {"name": "g", "description": "G."}}
CUSTOM = {
    "type": "custom",
    "custom": {"name": "c", "format": {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a"}}},
}
UPSTREAM = Upstream(name="far", url="http://x/v1", model="org/model")


def sent(kind: UpstreamKind = "openai", *, ignored: set[str] | None = None, **fields: Any) -> dict[str, Any]:
    asked = parse_chat({"model": "far", "messages": [HI], **fields})
    dropped = set() if ignored is None else ignored
    return chat_body(asked.conversation, asked.options, replace(UPSTREAM, kind=kind), dropped)


def test_the_least() -> None:
    assert sent() == {
        "model": "org/model",
        "messages": [HI],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 1.0,
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 0.0),
        ("top_p", 0.5),
        ("presence_penalty", 0.5),
        ("frequency_penalty", -0.5),
        ("logit_bias", {"5": 1.0}),
        ("seed", 7),
        ("seed", -7),
        ("max_completion_tokens", 9),
        ("n", 3),
        ("stop", ["a", "b"]),
        ("prediction", {"type": "content", "content": "text"}),
        ("response_format", {"type": "json_object"}),
        (
            "response_format",
            {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
            },
        ),
    ],
)
def test_a_field_of_openai_is_sent(field: str, value: object) -> None:
    assert sent(**{field: value})[field] == value


def test_log_probabilities_are_asked_for() -> None:
    body = sent(logprobs=True, top_logprobs=3)
    assert (body["logprobs"], body["top_logprobs"]) == (True, 3)


EXTRA = [
    ("top_k", 5),
    ("min_p", 0.5),
    ("repetition_penalty", 1.5),
    ("stop_token_ids", [3]),
    ("min_tokens", 2),
    ("ignore_eos", True),
    ("chat_template_kwargs", {"a": 1}),
]


@pytest.mark.parametrize(("field", "value"), EXTRA)
def test_a_field_of_open_engines(field: str, value: object) -> None:
    with pytest.raises(ParameterError, match=field) as caught:
        sent(**{field: value})
    assert caught.value.param == field
    assert sent("vllm", **{field: value})[field] == value
    assert sent("pennyweight", **{field: value})[field] == value


def test_defaults_of_the_model_do_not_replace_those_of_the_interface() -> None:
    assert (
        sent("vllm").items() >= {"top_k": -1, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}.items()
    )


def test_more_stop_strings_than_openai_takes() -> None:
    many = ["a", "b", "c", "d", "e"]
    with pytest.raises(ParameterError, match="'stop' with more than 4"):
        sent(stop=many)
    assert sent("vllm", stop=many)["stop"] == many


def test_what_cannot_change_the_answer_is_left_out_by_name() -> None:
    ignored: set[str] = set()
    said = [HI, {"role": "assistant", "content": "Yes", "reasoning_content": "Hm."}, HI]
    prediction = {"type": "content", "content": "text"}
    assert "prediction" not in sent("vllm", ignored=ignored, prediction=prediction)
    assert "reasoning_content" not in sent(ignored=ignored, messages=said)["messages"][1]
    assert ignored == {"prediction", "messages[].reasoning_content"}
    assert sent("vllm", messages=said)["messages"][1]["reasoning_content"] == "Hm."


def test_turns() -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    messages: list[dict[str, Any]] = [
        {"role": "developer", "content": "Be brief.", "name": "dev"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "1", "content": "done"},
        {"role": "assistant", "content": None, "refusal": "No."},
        HI,
    ]
    expected = [messages[0], {"role": "user", "content": "ab"}, *messages[2:]]
    assert sent(messages=messages)["messages"] == expected
    assert sent("vllm", messages=messages)["messages"][0]["role"] == "system"


@pytest.mark.parametrize(
    ("choice", "names", "said"),
    [
        (None, ["f", "g"], "auto"),
        ("none", ["f", "g"], "none"),
        ("required", ["f", "g"], "required"),
        (
            {"type": "function", "function": {"name": "g"}},
            ["g"],
            {"type": "function", "function": {"name": "g"}},
        ),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "auto",
                    "tools": [{"type": "function", "function": {"name": "f"}}],
                },
            },
            ["f"],
            "auto",
        ),
    ],
)
def test_tools(choice: object, names: list[str], said: object) -> None:
    body = sent(tools=[FUNCTION, OTHER], tool_choice=choice, parallel_tool_calls=False)
    assert [tool["function"]["name"] for tool in body["tools"]] == names
    assert body["tool_choice"] == said
    assert body["parallel_tool_calls"] is False
    assert body["tools"][0] in (FUNCTION, OTHER)


def test_custom_tools_where_they_are_known() -> None:
    assert sent(tools=[CUSTOM])["tools"] == [CUSTOM]
    with pytest.raises(ParameterError, match="custom tool 'c'"):
        sent("vllm", tools=[CUSTOM])
