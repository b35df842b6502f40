"""The items of a response's output while they are written: what each says when it begins, grows and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pennyweight.answers.events import RefusalDelta, TextDelta, TokenDetail, ToolCallDelta
    from pennyweight.answers.passages import Found

ItemStatus = Literal["in_progress", "completed", "incomplete"]
Told = tuple[str, dict[str, Any]]
"""The type of an event after `response.`, and its fields."""


class MessageItem:
    """A message of the assistant with one part, of text."""

    _growth = "output_text"

    def __init__(self, index: int, found: Found | None = None) -> None:
        """`found` is what the message may cite."""
        self.index = index
        self._found = found
        self._annotations: list[dict[str, Any]] = []
        self._id = f"msg_{uuid4().hex}"
        self._text = ""
        self._logprobs: list[dict[str, Any]] = []

    def begin(self) -> Iterator[Told]:
        item = {**self.payload("in_progress"), "content": []}
        yield "output_item.added", {"output_index": self.index, "item": item}
        yield "content_part.added", {**self._place(), "part": self._part()}

    def more(self, delta: TextDelta | RefusalDelta) -> Iterator[Told]:
        logprobs = _logprobs(delta.details)
        self._text += delta.text
        self._logprobs += logprobs
        yield f"{self._growth}.delta", {**self._place(), **self._grown(delta.text, logprobs)}

    def end(self, status: ItemStatus) -> Iterator[Told]:
        yield from self._cite()
        yield f"{self._growth}.done", {**self._place(), **self._whole()}
        yield "content_part.done", {**self._place(), "part": self._part()}
        yield "output_item.done", {"output_index": self.index, "item": self.payload(status)}

    def _cite(self) -> Iterator[Told]:
        if self._found is None:
            return
        self._annotations = self._found.annotations(self._text)
        for number, annotation in enumerate(self._annotations):
            told = {**self._place(), "annotation_index": number, "annotation": annotation}
            yield f"{self._growth}.annotation.added", told

    def payload(self, status: ItemStatus) -> dict[str, Any]:
        return {
            "id": self._id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [self._part()],
        }

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._id, "output_index": self.index, "content_index": 0}

    def _grown(self, text: str, logprobs: list[dict[str, Any]]) -> dict[str, Any]:
        return {"delta": text, "logprobs": logprobs}

    def _whole(self) -> dict[str, Any]:
        return {"text": self._text, "logprobs": self._logprobs}

    def _part(self) -> dict[str, Any]:
        return {
            "type": "output_text",
            "text": self._text,
            "annotations": self._annotations[:],
            "logprobs": self._logprobs[:],
        }


class RefusalItem(MessageItem):
    """A message in which the assistant says that it will not answer; it has no log-probabilities."""

    _growth = "refusal"

    def _grown(self, text: str, _: list[dict[str, Any]]) -> dict[str, Any]:
        return {"delta": text}

    def _whole(self) -> dict[str, Any]:
        return {"refusal": self._text}

    def _part(self) -> dict[str, Any]:
        return {"type": "refusal", "refusal": self._text}


class CallItem:
    """A call of a function, or of a custom tool; they differ in names."""

    def __init__(self, index: int, first: ToolCallDelta) -> None:
        self.index = index
        self._call_id = first.id
        self._name = first.name
        self._written = ""
        if first.kind == "function":
            self._id, self._type, self._key = f"fc_{uuid4().hex}", "function_call", "arguments"
            self._growth = "function_call_arguments"
        else:
            self._id, self._type, self._key = f"ctc_{uuid4().hex}", "custom_tool_call", "input"
            self._growth = "custom_tool_call_input"

    def begin(self) -> Iterator[Told]:
        yield "output_item.added", {"output_index": self.index, "item": self.payload("in_progress")}

    def more(self, delta: ToolCallDelta) -> Iterator[Told]:
        if delta.arguments:
            self._written += delta.arguments
            yield f"{self._growth}.delta", {**self._place(), "delta": delta.arguments}

    def end(self, status: ItemStatus) -> Iterator[Told]:
        # OpenAI's own schema wants the name here; its client does without.
        name = {"name": self._name} if self._type == "function_call" else {}
        yield f"{self._growth}.done", {**self._place(), **name, self._key: self._written}
        yield "output_item.done", {"output_index": self.index, "item": self.payload(status)}

    def payload(self, status: ItemStatus) -> dict[str, Any]:
        return {
            "id": self._id,
            "type": self._type,
            "status": status,
            "call_id": self._call_id,
            "name": self._name,
            self._key: self._written,
        }

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._id, "output_index": self.index}


def _logprobs(details: Iterable[TokenDetail]) -> list[dict[str, Any]]:
    return [{**_token(item), "top_logprobs": [_token(other) for other in item.top]} for item in details]


def _token(detail: TokenDetail) -> dict[str, Any]:
    """`bytes` is exact; `token` shows a piece of a split character as U+FFFD."""
    return {
        "token": detail.text_bytes.decode("utf-8", errors="replace"),
        "logprob": detail.logprob,
        "bytes": list(detail.text_bytes),
    }
