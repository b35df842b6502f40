"""Answer events become OpenAI's `text_completion` object, or the chunks of its stream, which have one shape.

(https://platform.openai.com/docs/api-reference/completions/object)
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pennyweight.answers.chat_response import usage_object
from pennyweight.answers.completion_logprobs import Scores, TokenPlaces
from pennyweight.answers.events import Accepted, Finished, TextDelta, total_usage
from pennyweight.core import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pennyweight.answers.completion_prompts import EncodedPrompt
    from pennyweight.answers.completion_schema import CompletionRequest
    from pennyweight.answers.events import AnswerEvent
    from pennyweight.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionIdentity:
    """What all parts of one answer have in common.

    `fingerprint` changes when the same seed could differ; None: nobody here knows.
    """

    model: str
    fingerprint: str | None
    id: str = field(default_factory=lambda: f"cmpl-{uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def envelope(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }


@dataclass(frozen=True, slots=True)
class Piece:
    """More of one choice."""

    index: int
    text: str
    scores: Scores | None
    finish_reason: str | None = None

    def payload(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "text": self.text,
            "logprobs": None if self.scores is None else self.scores.payload(),
            "finish_reason": self.finish_reason,
        }


class ChoicePieces:
    """One choice. An echo that is scored waits for the end: the scores of the prompt come with it."""

    def __init__(
        self, index: int, request: CompletionRequest, prompt: EncodedPrompt, tokenizer: Tokenizer
    ) -> None:
        self._index = index
        self._request = request
        self._prompt = prompt
        self._places = TokenPlaces(tokenizer, prompt)
        self._waiting: list[TextDelta] | None = [] if request.echo and request.logprobs else None

    def begin(self) -> Iterator[Piece]:
        if self._request.echo and self._waiting is None:
            yield Piece(self._index, self._prompt.text, None)

    def more(self, delta: TextDelta) -> Iterator[Piece]:
        if self._waiting is not None:
            self._waiting.append(delta)
            return
        scores = self._places.generated(delta.details) if self._request.logprobs else None
        yield Piece(self._index, delta.text, scores)

    def end(self, finished: Finished) -> Iterator[Piece]:
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            yield Piece(self._index, self._prompt.text, self._places.prompt(finished.prompt or ()))
            for delta in waiting:
                yield from self.more(delta)
        end = () if finished.end is None else (finished.end,)
        scores = self._places.generated(end) if self._request.logprobs else None
        yield Piece(self._index, "", scores, finished.reason)


class CompletionChunks:
    """The chunks of one streamed answer, in the order of its events."""

    def __init__(
        self,
        identity: CompletionIdentity,
        request: CompletionRequest,
        prompts: Sequence[EncodedPrompt],
        tokenizer: Tokenizer,
    ) -> None:
        self._envelope = identity.envelope()
        if request.include_usage:
            self._envelope["usage"] = None  # on every chunk but the last
        self._request = request
        self._pieces = CompletionPieces(request, prompts, tokenizer)

    def of(self, number: int, event: AnswerEvent) -> Iterator[dict[str, Any]]:
        for piece in self._pieces.of(number, event):
            yield {**self._envelope, "choices": [piece.payload()]}
        if self._pieces.complete and self._request.include_usage:
            yield {**self._envelope, "choices": [], "usage": usage_object(self._pieces.usage())}


class CompletionPieces:
    """All choices of all prompts."""

    def __init__(
        self, request: CompletionRequest, prompts: Sequence[EncodedPrompt], tokenizer: Tokenizer
    ) -> None:
        self._num_choices = request.options.num_choices
        self._choices = [
            ChoicePieces(number * self._num_choices + choice, request, prompt, tokenizer)
            for number, prompt in enumerate(prompts)
            for choice in range(self._num_choices)
        ]
        self._finished: list[list[Finished]] = [[] for _ in prompts]
        self._left = len(self._choices)

    @property
    def complete(self) -> bool:
        return self._left == 0

    def of(self, number: int, event: AnswerEvent) -> Iterator[Piece]:
        first = number * self._num_choices
        if isinstance(event, Accepted):
            for choice in self._choices[first : first + self._num_choices]:
                yield from choice.begin()
        elif isinstance(event, TextDelta):
            yield from self._choices[first + event.choice].more(event)
        elif isinstance(event, Finished):
            self._finished[number].append(event)
            self._left -= 1
            yield from self._choices[first + event.choice].end(event)

    def usage(self) -> Usage:
        """Every prompt counts once, every choice."""
        return _usage_of(self._finished)


def completion(
    events: Iterable[tuple[int, AnswerEvent]],
    identity: CompletionIdentity,
    request: CompletionRequest,
    prompts: Sequence[EncodedPrompt],
    tokenizer: Tokenizer,
) -> dict[str, Any]:
    """The whole answer at once."""
    pieces = CompletionPieces(request, prompts, tokenizer)
    whole: dict[int, Piece] = {}
    for number, event in events:
        for piece in pieces.of(number, event):
            whole[piece.index] = _joined(whole.get(piece.index), piece)
    choices = [whole[index].payload() for index in sorted(whole)]
    return {**identity.envelope(), "choices": choices, "usage": usage_object(pieces.usage())}


def completion_usage(events: Iterable[tuple[int, AnswerEvent]]) -> Usage:
    """Of all prompts of one request, each with all its choices."""
    finished: dict[int, list[Finished]] = {}
    for number, event in events:
        if isinstance(event, Finished):
            finished.setdefault(number, []).append(event)
    return _usage_of(finished.values())


def _usage_of(finished: Iterable[list[Finished]]) -> Usage:
    usages = [total_usage(of_prompt) for of_prompt in finished]
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in usages),
    )


def _joined(before: Piece | None, piece: Piece) -> Piece:
    if before is None:
        return piece
    scores = before.scores
    if scores is None:
        scores = piece.scores
    elif piece.scores is not None:
        scores.extend(piece.scores)
    return Piece(piece.index, before.text + piece.text, scores, piece.finish_reason)
