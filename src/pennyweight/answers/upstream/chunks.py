"""The chunks of a streamed chat completion become answer events.

The promises of our own events hold whatever the service sends: calls come one after another and begin with
id and name, each choice ends once, and nothing comes after its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pennyweight.answers.events import Finished, RefusalDelta, TextDelta, ToolCallDelta
from pennyweight.answers.upstream.chunk_values import (
    as_index,
    as_list,
    as_object,
    as_text,
    parse_object,
    read_details,
    read_usage,
)
from pennyweight.answers.upstream.event_stream import StreamError
from pennyweight.core import Timings, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pennyweight.answers.conversation import ToolKind
    from pennyweight.answers.events import AnswerEvent, EndReason

MAX_CALLS = 1024

_REASONS: Mapping[str, EndReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


class ReportedError(Exception):
    """The service said in mid-stream that it failed; `body` is what it said."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        super().__init__("the service reported an error")
        self.body = body


class ChunkReader:
    """Data of events go in; `finished` tells the ends, which wait for the usage that comes last."""

    def __init__(self, *, num_choices: int, prompt_tokens: int = 0) -> None:
        """`prompt_tokens` stands for the prompt's where the service sends no usage."""
        self.running = {index: _Choice(index) for index in range(num_choices)}
        self._choices = list(self.running.values())
        self._prompt_tokens = prompt_tokens
        self._usage: Usage | None = None

    def read(self, data: bytes) -> Iterator[AnswerEvent]:
        """What one event adds. Raises StreamError, ReportedError."""
        chunk = parse_object(data)
        if chunk.get("error"):
            raise ReportedError(chunk)
        if chunk.get("usage") is not None:
            self._usage = read_usage(chunk["usage"])
        for item in as_list(chunk.get("choices"), "choices"):
            choice = as_object(item, "a choice")
            index = as_index(choice.get("index", 0), "the index of a choice", below=len(self._choices))
            yield from self._choices[index].read(choice)

    def finished(self, timings: Timings) -> list[Finished]:
        """One event per choice; the first has the tokens of all, as services count them in one number.

        A service that does not count is counted by the pieces it sent. Raises StreamError if a choice has no
        end.
        """
        pieces = sum(choice.num_tokens for choice in self._choices)
        usage = self._usage or Usage(prompt_tokens=self._prompt_tokens, completion_tokens=pieces)
        ends = []
        for choice in self._choices:
            if choice.reason is None:
                raise StreamError("the stream ended before the answer was complete")
            ends.append(Finished(choice=choice.index, reason=choice.reason, usage=usage, timings=timings))
            usage = Usage(prompt_tokens=usage.prompt_tokens, cached_tokens=usage.cached_tokens)
        self.running.clear()
        return ends


class _Choice:
    """One choice as it comes in."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.reason: EndReason | None = None
        self.num_tokens = 0  # pieces: most services send each token as one
        self._calls: list[object] = []  # the service's numbers of the calls begun
        self._kind: ToolKind = "function"  # of the last one

    def read(self, choice: dict[str, Any]) -> Iterator[AnswerEvent]:
        events = list(self._deltas(choice))
        if events and self.reason is not None:
            raise StreamError("a choice goes on after its end")
        self.num_tokens += len(events)
        yield from events
        reason = choice.get("finish_reason")
        if reason is not None and reason != "":  # some services send no text for no end
            if not isinstance(reason, str) or reason not in _REASONS:
                raise StreamError(f"the finish reason {reason!r:.40} is unknown")
            # Services say `stop` of a call that was demanded by name.
            calls = bool(self._calls) and reason == "stop"
            self.reason = "tool_calls" if calls else _REASONS[reason]

    def _deltas(self, choice: dict[str, Any]) -> Iterator[AnswerEvent]:
        delta = as_object(choice.get("delta"), "a delta")
        text = as_text(delta.get("content"), "content")
        details = read_details(choice.get("logprobs"), "content")
        if text or details:
            yield TextDelta(self.index, text, details)
        refusal = as_text(delta.get("refusal"), "refusal")
        details = read_details(choice.get("logprobs"), "refusal")
        if refusal or details:
            yield RefusalDelta(self.index, refusal, details)
        for item in as_list(delta.get("tool_calls"), "tool_calls"):
            yield self._call(as_object(item, "a tool call"))

    def _call(self, item: dict[str, Any]) -> ToolCallDelta:
        identifier = as_text(item.get("id"), "the id of a call")
        number = identifier if item.get("index") is None else item["index"]
        if not isinstance(number, int | str):
            raise StreamError("the index of a call is not a number")
        begins = not self._calls or (number != self._calls[-1] and number != "")
        if begins:
            if number in self._calls or len(self._calls) == MAX_CALLS:
                raise StreamError("its calls do not come one after another")
            self._calls.append(number)
            self._kind = "custom" if item.get("type") == "custom" or "custom" in item else "function"
        inner = as_object(item.get(self._kind), "a call")
        written = "arguments" if self._kind == "function" else "input"
        name = as_text(inner.get("name"), "the name of a call")
        if begins and not name:
            raise StreamError("a call begins without a name")
        return ToolCallDelta(
            choice=self.index,
            index=len(self._calls) - 1,
            id=(identifier or f"call_{uuid4().hex[:24]}") if begins else None,
            name=name if begins else None,
            arguments=as_text(inner.get(written), "the arguments of a call"),
            kind=self._kind,
        )
