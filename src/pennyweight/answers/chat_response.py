"""Answer events become OpenAI's `chat.completion` object, or the chunks of its stream.

Every field the official client's types require is there, with null where there is nothing to say
(https://platform.openai.com/docs/api-reference/chat/object).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from pennyweight.answers.chat_calls import CollectedCalls, call_delta
from pennyweight.answers.events import (
    Accepted,
    Finished,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    total_usage,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pennyweight.answers.events import AnswerEvent, TokenDetail
    from pennyweight.core import Usage

CallStyle = Literal["tool_calls", "function_call"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatIdentity:
    """What all parts of one answer have in common.

    `fingerprint` changes when the same seed could differ; None: nobody here knows.
    """

    model: str
    fingerprint: str | None
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def envelope(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "service_tier": "default",
            "system_fingerprint": self.fingerprint,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatShape:
    """What the client wants to see. `call_style` is the form of calls it knows; `store`: it is kept."""

    num_choices: int = 1
    logprobs: bool = False
    include_usage: bool = False
    call_style: CallStyle = "tool_calls"
    store: bool = False

    def finish_reason(self, event: Finished) -> str:
        return self.call_style if event.reason == "tool_calls" else event.reason


def chat_completion(
    events: Iterable[AnswerEvent], identity: ChatIdentity, shape: ChatShape
) -> dict[str, Any]:
    """The whole answer at once."""
    choices = [_Choice() for _ in range(shape.num_choices)]
    for event in events:
        if isinstance(event, TextDelta | RefusalDelta | ToolCallDelta | Finished):
            choices[event.choice].add(event)
    finished = [choice.finished for choice in choices if choice.finished is not None]
    return {
        **identity.envelope("chat.completion"),
        "choices": [choice.object(index, shape) for index, choice in enumerate(choices)],
        "usage": usage_object(total_usage(finished)),
        "store": shape.store,
    }


class _Choice:
    """One choice as it is put together."""

    def __init__(self) -> None:
        self.text = ""
        self.refusal = ""
        self.calls = CollectedCalls()
        self.details: list[TokenDetail] = []
        self.refusal_details: list[TokenDetail] = []
        self.finished: Finished | None = None

    def add(self, event: TextDelta | RefusalDelta | ToolCallDelta | Finished) -> None:
        if isinstance(event, Finished):
            self.finished = event
            return
        if isinstance(event, RefusalDelta):
            self.refusal += event.text
            self.refusal_details.extend(event.details)
            return
        self.details.extend(event.details)
        if isinstance(event, TextDelta):
            self.text += event.text
        else:
            self.calls.add(event)

    def object(self, index: int, shape: ChatShape) -> dict[str, Any]:
        assert self.finished is not None
        content = self.text if self.text or not (self.calls or self.refusal) else None
        message: dict[str, Any] = {
            "role": "assistant",
            "content": content,
            "refusal": self.refusal or None,
            "annotations": [],
        }
        return {
            "index": index,
            "message": {**message, **self.calls.object(shape.call_style)},
            "logprobs": _logprobs(self.details, self.refusal_details) if shape.logprobs else None,
            "finish_reason": shape.finish_reason(self.finished),
        }


class ChatChunks:
    """The chunks of one streamed answer, in the order of its events."""

    def __init__(self, identity: ChatIdentity, shape: ChatShape) -> None:
        self._envelope = identity.envelope("chat.completion.chunk")
        if shape.include_usage:
            self._envelope["usage"] = None  # on every chunk but the last
        self._shape = shape
        self._finished: list[Finished] = []

    def of(self, event: AnswerEvent) -> Iterator[dict[str, Any]]:
        if isinstance(event, Accepted):
            for index in range(self._shape.num_choices):
                yield self._chunk(index, {"role": "assistant", "content": "", "refusal": None})
        elif isinstance(event, RefusalDelta):
            logprobs = _logprobs((), event.details) if self._shape.logprobs else None
            yield self._chunk(event.choice, {"refusal": event.text}, logprobs=logprobs)
        elif isinstance(event, TextDelta | ToolCallDelta):
            logprobs = _logprobs(event.details) if self._shape.logprobs else None
            yield self._chunk(event.choice, self._delta(event), logprobs=logprobs)
        elif isinstance(event, Finished):
            self._finished.append(event)
            yield self._chunk(event.choice, {}, finish_reason=self._shape.finish_reason(event))
            if self._shape.include_usage and len(self._finished) == self._shape.num_choices:
                yield {**self._envelope, "choices": [], "usage": usage_object(total_usage(self._finished))}

    def _delta(self, event: TextDelta | ToolCallDelta) -> dict[str, Any]:
        if isinstance(event, TextDelta):
            return {"content": event.text}
        return call_delta(event, self._shape.call_style)

    def _chunk(
        self,
        index: int,
        delta: dict[str, Any],
        *,
        logprobs: dict[str, Any] | None = None,
        finish_reason: str | None = None,
    ) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        return {**self._envelope, "choices": [choice]}


def usage_object(usage: Usage) -> dict[str, Any]:
    """OpenAI's `usage`; counts of what this engine does not do are zero, not absent."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": usage.accepted_prediction_tokens,
            "rejected_prediction_tokens": usage.rejected_prediction_tokens,
        },
    }


def _logprobs(content: Iterable[TokenDetail], refusal: Iterable[TokenDetail] = ()) -> dict[str, Any]:
    refused = [_scored(item) for item in refusal]
    return {"content": [_scored(item) for item in content], "refusal": refused or None}


def _scored(item: TokenDetail) -> dict[str, Any]:
    return {**_token(item), "top_logprobs": [_token(other) for other in item.top]}


def _token(detail: TokenDetail) -> dict[str, Any]:
    """`bytes` is exact; `token` shows a piece of a split character as U+FFFD."""
    return {
        "token": detail.text_bytes.decode("utf-8", errors="replace"),
        "logprob": detail.logprob,
        "bytes": list(detail.text_bytes),
    }
