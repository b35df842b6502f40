"""Answer events become OpenAI's `chat.completion` object, or the chunks of its stream.

Every field the official client's types require is there, with null where there is nothing to say
(https://platform.openai.com/docs/api-reference/chat/object).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pennyweight.answers.events import Accepted, Finished, TextDelta, total_usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pennyweight.answers.events import AnswerEvent, TokenDetail
    from pennyweight.core import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatIdentity:
    """What all parts of one answer have in common. `fingerprint` changes when the same seed could differ."""

    model: str
    fingerprint: str
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def envelope(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }


def chat_completion(
    events: Iterable[AnswerEvent], identity: ChatIdentity, *, num_choices: int, logprobs: bool
) -> dict[str, Any]:
    """The whole answer at once."""
    texts = [""] * num_choices
    details: list[list[TokenDetail]] = [[] for _ in range(num_choices)]
    finished: dict[int, Finished] = {}
    for event in events:
        if isinstance(event, TextDelta):
            texts[event.choice] += event.text
            details[event.choice].extend(event.details)
        elif isinstance(event, Finished):
            finished[event.choice] = event
    choices: list[dict[str, Any]] = [
        {
            "index": index,
            "message": {"role": "assistant", "content": texts[index], "refusal": None, "annotations": []},
            "logprobs": _logprobs(details[index]) if logprobs else None,
            "finish_reason": finished[index].reason,
        }
        for index in range(num_choices)
    ]
    usage = usage_object(total_usage(list(finished.values())))
    return {**identity.envelope("chat.completion"), "choices": choices, "usage": usage}


class ChatChunks:
    """The chunks of one streamed answer, in the order of its events."""

    def __init__(
        self, identity: ChatIdentity, *, num_choices: int, logprobs: bool, include_usage: bool
    ) -> None:
        self._envelope = identity.envelope("chat.completion.chunk")
        if include_usage:
            self._envelope["usage"] = None  # on every chunk but the last
        self._num_choices = num_choices
        self._logprobs = logprobs
        self._include_usage = include_usage
        self._finished: list[Finished] = []

    def of(self, event: AnswerEvent) -> Iterator[dict[str, Any]]:
        if isinstance(event, Accepted):
            for index in range(self._num_choices):
                yield self._chunk(index, {"role": "assistant", "content": "", "refusal": None})
        elif isinstance(event, TextDelta):
            logprobs = _logprobs(event.details) if self._logprobs else None
            yield self._chunk(event.choice, {"content": event.text}, logprobs=logprobs)
        elif isinstance(event, Finished):
            self._finished.append(event)
            yield self._chunk(event.choice, {}, finish_reason=event.reason)
            if self._include_usage and len(self._finished) == self._num_choices:
                yield {**self._envelope, "choices": [], "usage": usage_object(total_usage(self._finished))}

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


def _logprobs(details: Iterable[TokenDetail]) -> dict[str, Any]:
    content = [{**_token(item), "top_logprobs": [_token(other) for other in item.top]} for item in details]
    return {"content": content, "refusal": None}


def _token(detail: TokenDetail) -> dict[str, Any]:
    """`bytes` is exact; `token` shows a piece of a split character as U+FFFD."""
    return {
        "token": detail.text_bytes.decode("utf-8", errors="replace"),
        "logprob": detail.logprob,
        "bytes": list(detail.text_bytes),
    }
