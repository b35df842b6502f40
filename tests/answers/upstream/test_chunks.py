"""Chunks of a chat completion from anybody become our events, or an error that says what was wrong."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pennyweight.answers.events import Finished, RefusalDelta, TextDelta, TokenDetail, ToolCallDelta
from pennyweight.answers.upstream.chunks import ChunkReader, ReportedError
from pennyweight.answers.upstream.event_stream import StreamError
from pennyweight.core import Timings, Usage
from pennyweight.cost.prices import PRICE_LIST

if TYPE_CHECKING:
    from pennyweight.answers.events import AnswerEvent

TIMINGS = Timings()


def chunk(delta: Any = None, **choice: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {} if delta is None else delta, **choice}]}


def read(*chunks: Any, num_choices: int = 1) -> list[AnswerEvent]:
    reader = ChunkReader(num_choices=num_choices)
    events = [event for item in chunks for event in reader.read(json.dumps(item).encode())]
    return [*events, *reader.finished(TIMINGS)]


def call(index: Any, arguments: str = "", **head: Any) -> dict[str, Any]:
    name = {"name": head.pop("name")} if "name" in head else {}
    return chunk({"tool_calls": [{"index": index, **head, "function": {**name, "arguments": arguments}}]})


END = chunk(finish_reason="stop")


def test_text_and_usage() -> None:
    usage = {
        "prompt_tokens": 7,
        "completion_tokens": 2,
        "total_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"accepted_prediction_tokens": 1, "reasoning_tokens": 0},
    }
    hello, there = chunk({"role": "assistant", "content": ""}), chunk({"content": "Hé"})
    events = read({**hello, "usage": None}, there, END, {"choices": [], "usage": usage})
    counted = Usage(prompt_tokens=7, completion_tokens=2, cached_tokens=4, accepted_prediction_tokens=1)
    assert events == [
        TextDelta(0, "Hé"),
        Finished(choice=0, reason="stop", usage=counted, timings=TIMINGS),
    ]


def test_a_service_that_does_not_count() -> None:
    reader = ChunkReader(num_choices=1, prompt_tokens=9)
    for item in (chunk({"content": "a"}), chunk({"content": "b"}), END):
        list(reader.read(json.dumps(item).encode()))
    (end,) = reader.finished(TIMINGS)
    assert end.usage == Usage(prompt_tokens=9, completion_tokens=2)
    assert reader.running == {}


def test_counts_that_can_be_priced() -> None:
    usage = {
        "prompt_tokens": 5,
        "completion_tokens": 2**31 - 1,
        "prompt_tokens_details": {"cached_tokens": 9},
    }
    *_, end = read(chunk({"content": "a"}), END, {"choices": [], "usage": usage})
    assert isinstance(end, Finished)
    assert end.usage == Usage(prompt_tokens=5, completion_tokens=2**31 - 1, cached_tokens=5)
    assert PRICE_LIST[0].of(Usage(prompt_tokens=2**31, completion_tokens=2**31)) < 2**63


def test_several_choices_share_one_count() -> None:
    chunks = [
        {"choices": [{"index": i, "delta": {"content": "x"}, "finish_reason": "length"}]} for i in (1, 0)
    ]
    usage = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 6}}
    *texts, first, second = read(*chunks, usage, num_choices=2)
    assert texts == [TextDelta(1, "x"), TextDelta(0, "x")]
    assert isinstance(first, Finished)
    assert isinstance(second, Finished)
    assert (first.usage.completion_tokens, second.usage.completion_tokens) == (6, 0)
    assert (first.usage.prompt_tokens, second.usage.prompt_tokens) == (5, 5)


def test_log_probabilities() -> None:
    alternatives = [{"token": "b", "logprob": -2, "bytes": None}]
    token = {"token": "\ufffd", "logprob": -0.5, "bytes": [226], "top_logprobs": alternatives}
    events = read(chunk({"content": "a"}, logprobs={"content": [token], "refusal": None}), END)
    detail = TokenDetail(b"\xe2", -0.5, (TokenDetail(b"b", -2.0),))
    assert events[0] == TextDelta(0, "a", (detail,))


def test_a_refusal_and_a_filter() -> None:
    events = read(chunk({"refusal": "No."}), chunk(finish_reason="content_filter"))
    assert events[0] == RefusalDelta(0, "No.")
    assert isinstance(events[1], Finished)
    assert events[1].reason == "content_filter"


def test_calls() -> None:
    custom = {"index": 4, "id": "c2", "type": "custom", "custom": {"name": "run", "input": "l"}}
    more = {"index": 4, "custom": {"input": "s"}}
    events = read(
        call(0, '{"a"', id="c1", type="function", name="f"),
        call(0, ":1}"),
        chunk({"tool_calls": [custom]}),
        chunk({"tool_calls": [more]}),
        chunk(finish_reason="tool_calls"),
    )
    assert events[:-1] == [
        ToolCallDelta(choice=0, index=0, id="c1", name="f", arguments='{"a"'),
        ToolCallDelta(choice=0, index=0, arguments=":1}"),
        ToolCallDelta(choice=0, index=1, id="c2", name="run", arguments="l", kind="custom"),
        ToolCallDelta(choice=0, index=1, arguments="s", kind="custom"),
    ]


def test_a_call_without_id_gets_one_and_a_demanded_call_ends_as_a_call() -> None:
    first, end = read(call(0, "{}", name="f"), END)
    assert isinstance(first, ToolCallDelta)
    assert first.id is not None
    assert first.id.startswith("call_")
    assert isinstance(end, Finished)
    assert end.reason == "tool_calls"


def test_no_end_may_be_an_empty_text_and_no_index_null() -> None:
    events = read(chunk({"content": "a"}, finish_reason=""), call(None, "{}", id="c", name="f"), END)
    assert [type(event) for event in events] == [TextDelta, ToolCallDelta, Finished]


@pytest.mark.parametrize(
    ("chunks", "says"),
    [
        ([[]], "not a JSON object"),
        ([{"choices": 3}], "choices"),
        ([{"choices": ["x"]}], "a choice"),
        ([{"choices": [{"index": 1}]}], "index"),
        ([{"choices": [{"index": True}]}], "index"),
        ([chunk("x")], "delta"),
        ([chunk({"content": ["x"]})], "content"),
        ([chunk({"content": "x"}, logprobs=3)], "logprobs"),
        ([chunk({}, logprobs={"content": [{"token": "a", "logprob": "x"}]})], "logprob"),
        ([chunk({}, logprobs={"content": [{"token": "a", "logprob": 10**400}]})], "finite"),
        ([chunk({}, logprobs={"content": [{"token": "a", "logprob": -1, "bytes": [256]}]})], "byte"),
        ([chunk(finish_reason="tired")], "tired"),
        ([chunk(finish_reason=[1])], "finish reason"),
        ([END, chunk({"content": "x"})], "after its end"),
        ([{"usage": {"prompt_tokens": -1}}], "prompt_tokens"),
        ([{"usage": {"prompt_tokens": 2**31}}], "prompt_tokens"),
        ([{"usage": "many"}], "usage"),
        ([call(0, "{}")], "without a name"),
        ([call([], "{}", name="f")], "index of a call"),
        ([call(0, name="f"), call(1, name="g"), call(0, "x")], "one after another"),
        ([chunk({"content": "half"})], "ended before"),
        ([], "ended before"),
    ],
)
def test_what_cannot_be(chunks: list[Any], says: str) -> None:
    with pytest.raises(StreamError, match=says):
        read(*chunks)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'{"a": NaN}', b"[" * 100_000, b"1" * 5000])
def test_what_is_no_json(data: bytes) -> None:
    with pytest.raises(StreamError):
        list(ChunkReader(num_choices=1).read(data))


def test_infinity_by_the_back_door() -> None:
    token = b'{"token": "a", "logprob": -1e999}'
    data = b'{"choices": [{"index": 0, "delta": {}, "logprobs": {"content": [' + token + b"]}}]}"
    with pytest.raises(StreamError, match="finite"):
        list(ChunkReader(num_choices=1).read(data))


def test_half_a_surrogate_pair_can_be_sent_on() -> None:
    data = b'{"choices": [{"index": 0, "delta": {"content": "a\\ud83d"}}]}'
    (event,) = ChunkReader(num_choices=1).read(data)
    assert event == TextDelta(0, "a?")


def test_an_error_in_mid_stream() -> None:
    with pytest.raises(ReportedError):
        read(chunk({"content": "x"}), {"error": {"message": "out of memory"}})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("choices", "usage", "index", "delta", "content", "refusal", "tool_calls", "function", "custom", "id")
MORE_KEYS = ("logprobs", "finish_reason", "name", "arguments", "type", "token", "logprob", "bytes")
NESTED = st.recursive(
    JSON,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS + MORE_KEYS), inner, max_size=5)
    ),
    max_leaves=12,
)


@given(
    st.fixed_dictionaries(
        {"choices": st.lists(st.fixed_dictionaries({"delta": NESTED, "logprobs": NESTED}), max_size=3)}
    )
)
def test_any_json_is_events_or_a_stream_error(body: dict[str, Any]) -> None:
    with contextlib.suppress(StreamError):
        list(ChunkReader(num_choices=1).read(json.dumps(body).encode()))
