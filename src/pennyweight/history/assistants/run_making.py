"""Answer events become the events of a run that is followed, and what is stored when the answer has ended.

The order is OpenAI's: a step and its message from created to completed; then calls, in one step, each told
once when it is whole (https://platform.openai.com/docs/api-reference/assistants-streaming/events).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any

from pennyweight.answers.events import Finished, RefusalDelta, TextDelta, ToolCallDelta
from pennyweight.history.assistants.message_content import content_object
from pennyweight.history.assistants.message_object import message_object
from pennyweight.history.assistants.run_object import usage_object
from pennyweight.history.assistants.run_step_object import run_step_object
from pennyweight.store.identifiers import new_id
from pennyweight.store.run_steps import RunStep
from pennyweight.store.thread_messages import ThreadMessage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pennyweight.answers.events import AnswerEvent
    from pennyweight.history.assistants.cited_text import CitedPiece, CitedText
    from pennyweight.store.runs import Run


Told = tuple[str, dict[str, Any]]
"""The name of an event, and its object."""


@dataclass(frozen=True, slots=True)
class _Open:
    """A message under way, and its step."""

    step: RunStep
    message: ThreadMessage


class RunMaking:
    """One answer of a run. After `Finished`: `messages` and `steps` are to be stored, `calls` to be run."""

    def __init__(self, run: Run, *, assistant_id: str, cited: CitedText) -> None:
        self.messages: list[ThreadMessage] = []
        self.steps: list[RunStep] = []
        self.calls: list[dict[str, Any]] = []
        self.finished: Finished | None = None
        self._run = run
        self._assistant_id = assistant_id
        self._open: _Open | None = None
        self._cited = cited
        self._text = ""
        self._annotations: list[dict[str, Any]] = []
        self._calling: RunStep | None = None
        self._call: dict[str, Any] | None = None

    def of(self, event: AnswerEvent) -> Iterator[Told]:
        """What a follower is told of `event`."""
        if isinstance(event, TextDelta | RefusalDelta):
            yield from self._say(event.text)
        elif isinstance(event, ToolCallDelta):
            yield from self._write_call(event)
        elif isinstance(event, Finished):
            yield from self._finish(event)

    def _say(self, text: str) -> Iterator[Told]:
        if self._open is None:
            yield from self._begin_message()
        yield from self._grow(self._cited.more(text))

    def _grow(self, piece: CitedPiece) -> Iterator[Told]:
        assert self._open is not None
        if not piece.text:
            return
        more: dict[str, Any] = {"value": piece.text}
        if piece.annotations or not self._text:
            more["annotations"] = piece.annotations
        self._text += piece.text
        self._annotations += piece.annotations
        content = [{"index": 0, "type": "text", "text": more}]
        delta = {"id": self._open.message.id, "object": "thread.message.delta", "delta": {"content": content}}
        yield "thread.message.delta", delta

    def _begin_message(self) -> Iterator[Told]:
        now = int(time.time())
        body = {"role": "assistant", "content": [], "assistant_id": self._assistant_id}
        message = ThreadMessage(
            id=new_id("msg_"),
            thread_id=self._run.thread_id,
            run_id=self._run.id,
            metadata={},
            body={**body, "status": "in_progress"},
            created_at=now,
        )
        created = {"type": "message_creation", "message_creation": {"message_id": message.id}}
        step = self._step(created, now)
        self._open, self._text, self._annotations = _Open(step, message), "", []
        yield from self._told_step(step, "created", "in_progress")
        for kind in ("created", "in_progress"):
            yield f"thread.message.{kind}", message_object(message)

    def _end_message(self, usage: Mapping[str, int], *, cut_off: bool) -> Iterator[Told]:
        if self._open is None:
            return
        yield from self._grow(self._cited.rest())
        ending = {"status": "incomplete", "incomplete_details": {"reason": "max_tokens"}} if cut_off else {}
        body = {
            **{name: self._open.message.body[name] for name in ("role", "assistant_id")},
            "content": content_object((self._text,), _bare(self._annotations)),
            "status": "completed",
            **ending,
        }
        message = replace(self._open.message, body=body)
        step = replace(self._open.step, state="completed", ended_at=int(time.time()), usage=usage)
        self.messages.append(message)
        self.steps.append(step)
        self._open = None
        yield f"thread.message.{body['status']}", message_object(message)
        yield from self._told_step(step, "completed")

    def _write_call(self, delta: ToolCallDelta) -> Iterator[Told]:
        if delta.id is not None:
            yield from self._end_message(usage_object(0, 0), cut_off=False)
            yield from self._end_call()
            if self._calling is None:
                self._calling = self._step({"type": "tool_calls", "tool_calls": []}, int(time.time()))
                yield from self._told_step(self._calling, "created", "in_progress")
            function = {"name": delta.name, "arguments": ""}
            self._call = {"id": delta.id, "type": "function", "function": function}
        assert self._call is not None, "a call begins with its id"
        self._call["function"]["arguments"] += delta.arguments

    def _end_call(self) -> Iterator[Told]:
        if self._call is None or self._calling is None:
            return
        call = {**self._call, "function": {**self._call["function"], "output": None}}
        details = {"type": "tool_calls", "tool_calls": [{"index": len(self.calls), **call}]}
        self.calls.append(self._call)
        self._call = None
        delta = {
            "id": self._calling.id,
            "object": "thread.run.step.delta",
            "delta": {"step_details": details},
        }
        yield "thread.run.step.delta", delta

    def _finish(self, finished: Finished) -> Iterator[Told]:
        usage = usage_object(finished.usage.prompt_tokens, finished.usage.completion_tokens)
        cut_off = finished.reason in ("length", "content_filter")
        if self._open is None and self._calling is None and not cut_off:
            yield from self._begin_message()  # an answer of nothing is a message; a cut call is none
        yield from self._end_message(usage, cut_off=cut_off)
        if self._calling is not None:
            yield from self._end_calls(usage, cut_off=cut_off)
        self.finished = finished

    def _end_calls(self, usage: Mapping[str, int], *, cut_off: bool) -> Iterator[Told]:
        """Whole calls wait for their results; one that was cut off can never have any."""
        assert self._calling is not None
        if not cut_off:
            yield from self._end_call()
        calls = [{**call, "function": {**call["function"], "output": None}} for call in self.calls]
        step = replace(self._calling, details={"type": "tool_calls", "tool_calls": calls}, usage=usage)
        if not cut_off:
            self.steps.append(step)
            return
        self.calls = []
        step = replace(step, state="failed", ended_at=int(time.time()))
        self.steps.append(step)
        yield from self._told_step(step, "failed")

    def _step(self, details: Mapping[str, Any], now: int) -> RunStep:
        return RunStep(
            id=new_id("step_"),
            run_id=self._run.id,
            state="in_progress",
            details=details,
            usage=None,
            created_at=now,
            ended_at=None,
        )

    def _told_step(self, step: RunStep, *kinds: str) -> Iterator[Told]:
        return told_step(step, self._run, *kinds)


def _bare(annotations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Annotations of a whole message have no index, unlike those of deltas."""
    return [{name: item for name, item in one.items() if name != "index"} for one in annotations]


def told_step(step: RunStep, run: Run, *kinds: str) -> Iterator[Told]:
    """Events of one step."""
    for kind in kinds:
        yield f"thread.run.step.{kind}", run_step_object(step, run)


def told_search(step: RunStep, run: Run) -> Iterator[Told]:
    """Events of a search that is done."""
    begun = replace(
        step, state="in_progress", ended_at=None, details={"type": "tool_calls", "tool_calls": []}
    )
    yield from told_step(begun, run, "created", "in_progress")
    for call in step.details["tool_calls"]:
        short = {"index": 0, "id": call["id"], "type": call["type"], call["type"]: {}}
        yield _step_delta(step, short)
    yield from told_step(step, run, "completed")


def _step_delta(step: RunStep, call: dict[str, Any]) -> Told:
    details = {"type": "tool_calls", "tool_calls": [call]}
    delta = {"id": step.id, "object": "thread.run.step.delta", "delta": {"step_details": details}}
    return "thread.run.step.delta", delta


class Numbering:
    """Events as the store keeps them, numbered from 0 for each answer of a run."""

    def __init__(self) -> None:
        self._numbers = count()

    def __call__(self, events: Iterable[Told]) -> Iterator[dict[str, Any]]:
        for name, data in events:
            yield {"event": name, "data": data, "sequence_number": next(self._numbers)}
