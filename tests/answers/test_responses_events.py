"""Answer events become the typed events of a response; each is valid by the official client's own types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from pennyweight.answers.events import Accepted, Finished, TextDelta, TokenDetail, ToolCallDelta
from pennyweight.answers.responses_events import ResponseEvents
from pennyweight.answers.responses_object import ResponseIdentity
from pennyweight.answers.responses_schema import parse_response
from pennyweight.core import PromptProgress, Timings, Usage
from pennyweight.errors import EngineError

if TYPE_CHECKING:
    from pennyweight.answers.events import AnswerEvent

TOOLS = [
    {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True},
    {"type": "custom", "name": "g", "format": {"type": "grammar", "syntax": "regex", "definition": "a+"}},
]
STRICT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def making(**fields: object) -> ResponseEvents:
    request = parse_response({"model": "m", "input": "Hi", "tools": TOOLS, **fields})
    return ResponseEvents(ResponseIdentity(model="m", id="resp_1", created_at=5), request)


def told(events: list[AnswerEvent], **fields: object) -> list[dict[str, Any]]:
    writer = making(**fields)
    payloads = [payload for event in events for payload in writer.of(event)]
    for number, payload in enumerate(payloads):
        STRICT.validate_python(payload)
        assert payload["sequence_number"] == number
    return payloads


def finished(reason: Any = "stop") -> Finished:
    usage = Usage(prompt_tokens=5, completion_tokens=3, cached_tokens=2)
    return Finished(choice=0, reason=reason, usage=usage, timings=Timings())


def kinds(payloads: list[dict[str, Any]]) -> list[str]:
    return [payload["type"].removeprefix("response.") for payload in payloads]


CALLS: list[Any] = [
    Accepted(prompt_tokens=5),
    PromptProgress(0, 3, 5),
    TextDelta(0, "Let me "),
    TextDelta(0, "see."),
    ToolCallDelta(choice=0, index=0, id="call_a", name="f"),
    ToolCallDelta(choice=0, index=0, arguments='{"a":'),
    ToolCallDelta(choice=0, index=0, arguments=" 1}"),
    ToolCallDelta(choice=0, index=1, id="call_b", name="g", kind="custom", arguments="aa"),
    finished("tool_calls"),
]


def test_text_and_calls_follow_one_another() -> None:
    payloads = told(CALLS)
    assert kinds(payloads) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
        "completed",
    ]
    response = payloads[-1]["response"]
    Response.model_validate(response)
    message, function, custom = response["output"]
    assert message["content"][0]["text"] == "Let me see."
    assert (function["call_id"], function["name"], function["arguments"]) == ("call_a", "f", '{"a": 1}')
    assert (custom["call_id"], custom["name"], custom["input"]) == ("call_b", "g", "aa")
    assert [item["status"] for item in response["output"]] == ["completed"] * 3
    assert payloads[12]["name"] == "f"
    added = [payload for payload in payloads if payload["type"] == "response.output_item.added"]
    assert [payload["output_index"] for payload in added] == [0, 1, 2]
    assert added[1]["item"]["arguments"] == ""
    assert [payload["item"]["id"] for payload in added] == [item["id"] for item in response["output"]]
    assert response["usage"] == {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 8,
    }


def test_snapshots_do_not_change_behind_the_readers_back() -> None:
    payloads = told(CALLS)
    assert payloads[0]["response"]["output"] == payloads[1]["response"]["output"] == []
    assert payloads[0]["response"]["status"] == "in_progress"
    assert payloads[3]["part"]["text"] == ""


def test_a_limit_makes_it_incomplete() -> None:
    payloads = told([Accepted(prompt_tokens=5), TextDelta(0, "a"), finished("length")])
    response = payloads[-1]["response"]
    assert payloads[-1]["type"] == "response.incomplete"
    assert (response["status"], response["incomplete_details"]) == (
        "incomplete",
        {"reason": "max_output_tokens"},
    )
    assert payloads[-2]["item"]["status"] == response["output"][0]["status"] == "incomplete"


def test_an_answer_of_nothing_is_a_message() -> None:
    payloads = told([Accepted(prompt_tokens=5), finished()])
    (message,) = payloads[-1]["response"]["output"]
    assert (message["type"], message["content"][0]["text"]) == ("message", "")
    assert "output_text.done" in kinds(payloads)


@pytest.mark.parametrize("events", [CALLS[:1], CALLS[:4], CALLS[:6]])
def test_a_failure_keeps_what_there_is(events: list[AnswerEvent]) -> None:
    writer = making()
    for event in events:
        list(writer.of(event))
    (failed,) = writer.failed(EngineError("no more memory"))
    STRICT.validate_python(failed)
    assert failed["type"] == "response.failed"
    assert failed["response"]["error"] == {"code": "server_error", "message": "no more memory"}
    statuses = [item["status"] for item in failed["response"]["output"]]
    assert statuses == [[], ["incomplete"], ["completed", "incomplete"]][len(statuses)]


def test_log_probabilities_stand_in_deltas_and_in_the_whole() -> None:
    detail = TokenDetail(b"a", -0.5, (TokenDetail(b"a", -0.5), TokenDetail(b"\xc3", -1.5)))
    payloads = told([Accepted(prompt_tokens=5), TextDelta(0, "a", (detail,)), finished()], top_logprobs=2)
    score = {
        "token": "a",
        "logprob": -0.5,
        "bytes": [97],
        "top_logprobs": [
            {"token": "a", "logprob": -0.5, "bytes": [97]},
            {"token": "\ufffd", "logprob": -1.5, "bytes": [195]},
        ],
    }
    assert payloads[4]["logprobs"] == [score]
    assert payloads[-1]["response"]["output"][0]["content"][0]["logprobs"] == [score]


@pytest.mark.parametrize(
    ("choice", "repeated"),
    [
        (None, "auto"),
        ("none", "none"),
        ("required", "required"),
        ({"type": "custom", "name": "g"}, {"type": "custom", "name": "g"}),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        ),
    ],
)
def test_what_was_asked_is_repeated(choice: object, repeated: object) -> None:
    form = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
    response = told([Accepted(prompt_tokens=5)], tool_choice=choice, text={"format": form})[0]["response"]
    Response.model_validate(response)
    assert response["tool_choice"] == repeated
    assert [tool["name"] for tool in response["tools"]] == ["f", "g"]
    assert response["tools"][1]["format"] == TOOLS[1]["format"]
    assert response["text"]["format"] == {**form, "description": None}
    assert (response["store"], response["created_at"], response["id"]) == (False, 5, "resp_1")
