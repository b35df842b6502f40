"""Answer events become the typed events of one streamed response, and the response at its end.

The order is OpenAI's: created, in progress, each item from added to done, and one terminal event. Sequence
numbers rise by one. Without a stream the same events are made and only the response at the end is sent, so
the two cannot differ (https://platform.openai.com/docs/api-reference/responses-streaming).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pennyweight.answers.events import Accepted, Finished, RefusalDelta, TextDelta, ToolCallDelta
from pennyweight.answers.responses_object import INCOMPLETE_REASONS, ResponseState, response_object
from pennyweight.answers.responses_output import CallItem, MessageItem, RefusalItem
from pennyweight.answers.search_item import SearchItem
from pennyweight.answers.strict_parameters import opened_tools

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.answers.events import AnswerEvent
    from pennyweight.answers.passages import Found
    from pennyweight.answers.responses_object import ResponseIdentity, ResponseStatus
    from pennyweight.answers.responses_output import ItemStatus, Told
    from pennyweight.answers.responses_schema import ResponseRequest
    from pennyweight.errors import PennyweightError


class ResponseEvents:
    """The events of one response, in the order of its answer's. `result` is there after the terminal one."""

    def __init__(self, identity: ResponseIdentity, request: ResponseRequest) -> None:
        self.result: dict[str, Any] | None = None
        self._identity = identity
        self._request = request
        # Of what was queued the first two events have been told: created and queued.
        self._sequence = 2 if request.state.background else 0
        self._done: list[dict[str, Any]] = []
        self._open: MessageItem | CallItem | None = None
        self.found: Found | None = None
        """What was found in files, to be set before the first event."""
        self._call = -1  # the answer's number of the call that is open or was last

    def of(self, event: AnswerEvent) -> Iterator[dict[str, Any]]:
        if isinstance(event, Accepted):
            held = opened_tools(self._request.conversation, event.opened)
            self._request = replace(self._request, conversation=held)
            if not self._request.state.background:
                yield self._snapshot("created", "in_progress")
            yield self._snapshot("in_progress", "in_progress")
            yield from self._search()
        elif isinstance(event, TextDelta | RefusalDelta):
            yield from self._text(event)
        elif isinstance(event, ToolCallDelta):
            yield from self._tool_call(event)
        elif isinstance(event, Finished):
            yield from self._finish(event)

    def failed(self, error: PennyweightError) -> Iterator[dict[str, Any]]:
        """The answer broke off: what there is of it, and why."""
        if self._open is not None:
            self._done.append(self._open.payload("incomplete"))
            self._open = None
        yield self._snapshot("failed", "failed", error=error)

    def _search(self) -> Iterator[dict[str, Any]]:
        if self.found is not None:
            item = SearchItem(len(self._done), self.found)
            yield from self._told(item.told())
            self._done.append(item.payload())

    def _text(self, delta: TextDelta | RefusalDelta) -> Iterator[dict[str, Any]]:
        refuses = isinstance(delta, RefusalDelta)
        item = self._open
        if not isinstance(item, MessageItem) or isinstance(item, RefusalItem) is not refuses:
            yield from self._close("completed")
            item = self._open = RefusalItem(len(self._done)) if refuses else self._message()
            yield from self._told(item.begin())
        yield from self._told(item.more(delta))

    def _tool_call(self, delta: ToolCallDelta) -> Iterator[dict[str, Any]]:
        if not isinstance(self._open, CallItem) or delta.index != self._call:
            assert delta.index == self._call + 1, "calls come one after another"
            yield from self._close("completed")
            self._call = delta.index
            item = self._open = CallItem(len(self._done), delta)
            yield from self._told(item.begin())
        yield from self._told(self._open.more(delta))

    def _finish(self, finished: Finished) -> Iterator[dict[str, Any]]:
        if self._open is None and len(self._done) == (self.found is not None):
            # An answer of nothing is still a message.
            item = self._open = self._message()
            yield from self._told(item.begin())
        status: ItemStatus = "incomplete" if finished.reason in INCOMPLETE_REASONS else "completed"
        yield from self._close(status)
        terminal = self._snapshot(status, status, finished=finished)
        self.result = terminal["response"]
        yield terminal

    def _message(self) -> MessageItem:
        return MessageItem(len(self._done), self.found)

    def _close(self, status: ItemStatus) -> Iterator[dict[str, Any]]:
        if self._open is None:
            return
        yield from self._told(self._open.end(status))
        self._done.append(self._open.payload(status))
        self._open = None

    def _told(self, told: Iterator[Told]) -> Iterator[dict[str, Any]]:
        for kind, fields in told:
            yield self._event(kind, fields)

    def _snapshot(
        self,
        kind: str,
        status: ResponseStatus,
        *,
        finished: Finished | None = None,
        error: PennyweightError | None = None,
    ) -> dict[str, Any]:
        state = ResponseState(status=status, output=self._done[:], finished=finished, error=error)
        return self._event(kind, {"response": response_object(self._identity, self._request, state)})

    def _event(self, kind: str, fields: dict[str, Any]) -> dict[str, Any]:
        event = {"type": f"response.{kind}", "sequence_number": self._sequence, **fields}
        self._sequence += 1
        return event
