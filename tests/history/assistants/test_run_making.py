"""Answer events become a run's events, and what is stored at the end of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pennyweight.answers.events import Accepted, Finished, TextDelta, ToolCallDelta
from pennyweight.answers.passages import Passage
from pennyweight.core import Timings, Usage
from pennyweight.history.assistants.cited_text import CitedText
from pennyweight.history.assistants.run_making import RunMaking
from pennyweight.retrieval.file_search import FileSearches
from tests.history.assistants.made_runs import a_run

if TYPE_CHECKING:
    from pennyweight.answers.events import AnswerEvent, EndReason

USAGE = Usage(prompt_tokens=5, completion_tokens=3)
COUNTS = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
NOTHING = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def ended(reason: EndReason) -> Finished:
    return Finished(choice=0, reason=reason, usage=USAGE, timings=Timings())


def call(index: int, *pieces: str) -> list[ToolCallDelta]:
    first = ToolCallDelta(choice=0, index=index, id=f"call_{index}", name="f", arguments=pieces[0])
    return [first, *(ToolCallDelta(choice=0, index=index, arguments=piece) for piece in pieces[1:])]


def made(
    *events: AnswerEvent, cited: CitedText | None = None
) -> tuple[RunMaking, list[tuple[str, dict[str, Any]]]]:
    making = RunMaking(a_run(), assistant_id="asst_1", cited=cited or CitedText(None, ()))
    told = [one for event in (Accepted(), *events) for one in making.of(event)]
    return making, [(name.removeprefix("thread."), data) for name, data in told]


def test_a_text() -> None:
    making, told = made(TextDelta(0, "One "), TextDelta(0, "two"), ended("stop"))
    assert [name for name, _ in told] == [
        "run.step.created",
        "run.step.in_progress",
        "message.created",
        "message.in_progress",
        "message.delta",
        "message.delta",
        "message.completed",
        "run.step.completed",
    ]
    (message,) = making.messages
    (step,) = making.steps
    assert message.body["content"][0]["text"]["value"] == "One two"
    assert (step.state, step.usage, making.calls) == ("completed", COUNTS, [])
    assert step.details["message_creation"]["message_id"] == message.id == told[2][1]["id"]
    assert told[2][1]["content"] == []
    assert told[6][1]["completed_at"] == message.created_at


def test_an_answer_of_nothing_is_still_a_message() -> None:
    making, told = made(ended("stop"))
    assert making.messages[0].body["content"][0]["text"]["value"] == ""
    assert told[-2][0] == "message.completed"


def test_what_was_cut_off_before_it_said_anything_is_no_message() -> None:
    making, told = made(ended("length"))
    assert (making.messages, making.steps, told) == ([], [], [])


def test_a_text_cut_off() -> None:
    making, told = made(TextDelta(0, "One"), ended("length"))
    assert told[-2][0] == "message.incomplete"
    assert making.messages[0].body["incomplete_details"] == {"reason": "max_tokens"}


def test_text_and_two_calls() -> None:
    making, told = made(
        TextDelta(0, "Let me see."), *call(0, '{"a"', ": 1}"), *call(1, "{}"), ended("tool_calls")
    )
    assert [name for name, _ in told][6:] == [
        "run.step.completed",
        "run.step.created",
        "run.step.in_progress",
        "run.step.delta",
        "run.step.delta",
    ]
    first, second = (data["delta"]["step_details"]["tool_calls"][0] for _, data in told[-2:])
    assert (first["index"], first["function"]["arguments"], second["index"]) == (0, '{"a": 1}', 1)
    said, calling = making.steps
    assert (said.usage, calling.usage, calling.state) == (NOTHING, COUNTS, "in_progress")
    assert [item["id"] for item in calling.details["tool_calls"]] == ["call_0", "call_1"]
    assert [item["function"]["output"] for item in calling.details["tool_calls"]] == [None, None]
    assert making.calls == [
        {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
    ]


def test_a_call_that_is_cut_off_waits_for_nothing() -> None:
    making, told = made(*call(0, "{}"), *call(1, '{"a'), ended("length"))
    assert making.calls == []
    (step,) = making.steps
    assert (step.state, told[-1][0]) == ("failed", "run.step.failed")
    (whole,) = step.details["tool_calls"]
    assert (whole["id"], whole["function"]["arguments"], whole["function"]["output"]) == (
        "call_0",
        "{}",
        None,
    )
    assert [name for name, _ in told].count("run.step.delta") == 1


def test_a_text_with_marks_is_told_sentence_by_sentence() -> None:
    cited = CitedText(Files(), [APPLES, PEARS])
    pieces = ["Nobody knows. Apple had many sha", "res outstanding. And pe", "ars are green on Mondays."]
    making, told = made(*(TextDelta(0, piece) for piece in pieces), ended("stop"), cited=cited)
    deltas = [data["delta"]["content"][0]["text"] for name, data in told if name == "message.delta"]
    assert [delta["value"] for delta in deltas] == [
        "Nobody knows.",
        " Apple had many shares outstanding.【0:0†source】",
        " And pears are green on Mondays.【1:1†source】",
    ]
    text = making.messages[0].body["content"][0]["text"]
    assert text["value"] == "".join(delta["value"] for delta in deltas)
    first, second = text["annotations"]
    assert first["file_citation"] == {"file_id": "file-a"}
    for one in (first, second):
        assert text["value"][one["start_index"] : one["end_index"]] == one["text"]
        assert "index" not in one
    assert [one["index"] for delta in deltas for one in delta.get("annotations", ())] == [0, 1]


def passage(name: str, text: str) -> Passage:
    return Passage(file_id=f"file-{name}", filename=name, text=text, score=1.0, attributes={})


APPLES = passage("a", "Apple had many shares outstanding at the end of October.")
PEARS = passage("p", "On Mondays pears are green.")


class Files(FileSearches):
    """Citations need no stores."""

    def __init__(self) -> None:
        pass
