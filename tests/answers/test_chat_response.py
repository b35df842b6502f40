"""Events on the wire: calls whole and in pieces, in both forms; what the client's types require is there."""

from __future__ import annotations

from typing import Any

from openai.types.chat import ChatCompletion, ChatCompletionChunk

from pennyweight.answers.chat_response import ChatChunks, ChatIdentity, ChatShape, chat_completion
from pennyweight.answers.events import Accepted, AnswerEvent, Finished, TextDelta, TokenDetail, ToolCallDelta
from pennyweight.core import Timings, Usage

IDENTITY = ChatIdentity(model="m", fingerprint="f")
DETAIL = TokenDetail(b"a", -1.0)


def finished(reason: Any = "tool_calls", choice: int = 0) -> Finished:
    usage = Usage(
        prompt_tokens=3,
        completion_tokens=5,
        accepted_prediction_tokens=2,
        rejected_prediction_tokens=1,
    )
    return Finished(choice=choice, reason=reason, usage=usage, timings=Timings())


CALLS: list[AnswerEvent] = [
    Accepted(prompt_tokens=3),
    TextDelta(0, "Let me see."),
    ToolCallDelta(choice=0, index=0, id="call_1", name="f", details=(DETAIL,)),
    ToolCallDelta(choice=0, index=0, arguments='{"a":'),
    ToolCallDelta(choice=0, index=0, arguments=" 1}"),
    ToolCallDelta(choice=0, index=1, id="call_2", name="g", kind="custom", arguments="fr"),
    ToolCallDelta(choice=0, index=1, arguments="ee", kind="custom"),
    finished(),
]
FUNCTION = {"name": "f", "arguments": '{"a": 1}'}


def chunks(events: list[AnswerEvent], shape: ChatShape) -> list[dict[str, Any]]:
    writer = ChatChunks(IDENTITY, shape)
    return [chunk for event in events for chunk in writer.of(event)]


def test_calls_in_a_whole_answer() -> None:
    body = chat_completion(CALLS, IDENTITY, ChatShape(logprobs=True))
    ChatCompletion.model_validate(body)
    (choice,) = body["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "Let me see."
    assert choice["message"]["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": FUNCTION},
        {"id": "call_2", "type": "custom", "custom": {"name": "g", "input": "free"}},
    ]
    assert [token["token"] for token in choice["logprobs"]["content"]] == ["a"]
    assert (body["service_tier"], body["store"]) == ("default", False)
    predicted = body["usage"]["completion_tokens_details"]
    assert (predicted["accepted_prediction_tokens"], predicted["rejected_prediction_tokens"]) == (2, 1)


def test_calls_alone_have_no_content() -> None:
    body = chat_completion([*CALLS[2:5], finished()], IDENTITY, ChatShape())
    assert body["choices"][0]["message"]["content"] is None
    silence = chat_completion([finished("stop")], IDENTITY, ChatShape())
    assert silence["choices"][0]["message"]["content"] == ""
    assert "tool_calls" not in silence["choices"][0]["message"]


def test_calls_in_pieces() -> None:
    sent = chunks(CALLS, ChatShape(logprobs=True))
    for chunk in sent[:5]:
        ChatCompletionChunk.model_validate(chunk)
    deltas = [chunk["choices"][0]["delta"] for chunk in sent]
    assert deltas[2:] == [
        {"tool_calls": [_piece(0, {"name": "f", "arguments": ""}, id="call_1", type="function")]},
        {"tool_calls": [_piece(0, {"arguments": '{"a":'})]},
        {"tool_calls": [_piece(0, {"arguments": " 1}"})]},
        {
            "tool_calls": [
                {"index": 1, "id": "call_2", "type": "custom", "custom": {"name": "g", "input": "fr"}}
            ]
        },
        {"tool_calls": [{"index": 1, "custom": {"input": "ee"}}]},
        {},
    ]
    assert sent[2]["choices"][0]["logprobs"]["content"][0]["token"] == "a"
    assert sent[-1]["choices"][0]["finish_reason"] == "tool_calls"


def _piece(index: int, function: dict[str, str], **head: str) -> dict[str, Any]:
    return {"index": index, **head, "function": function}


def test_the_older_form_of_a_call() -> None:
    shape = ChatShape(call_style="function_call")
    events = [CALLS[0], *CALLS[2:5], finished()]
    body = chat_completion(events, IDENTITY, shape)
    ChatCompletion.model_validate(body)
    (choice,) = body["choices"]
    assert choice["message"]["function_call"] == FUNCTION
    assert choice["finish_reason"] == "function_call"
    sent = chunks(events, shape)
    assert [chunk["choices"][0]["delta"].get("function_call") for chunk in sent[1:4]] == [
        {"name": "f", "arguments": ""},
        {"arguments": '{"a":'},
        {"arguments": " 1}"},
    ]
    assert sent[-1]["choices"][0]["finish_reason"] == "function_call"
