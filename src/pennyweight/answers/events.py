"""What an answer is made of: one `Accepted`, text and tool calls as written, one `Finished` per choice.

Between `Accepted` and the first text of a long prompt the engine's `PromptProgress` passes through.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pennyweight.core import PromptProgress, Timings, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pennyweight.answers.conversation import ToolKind

EndReason = Literal["stop", "length", "tool_calls", "content_filter"]


@dataclass(frozen=True, slots=True)
class TokenDetail:
    """One token with its natural log-probability from raw logits; `top` are the likeliest at its place.

    `token` is its id where the model runs here; None: it runs elsewhere.
    """

    text_bytes: bytes
    logprob: float
    top: tuple[TokenDetail, ...] = ()
    token: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class PromptToken:
    """One token of the prompt; `logprob` of the first is None: nothing predicts it."""

    token: int
    text_bytes: bytes
    logprob: float | None
    top: tuple[TokenDetail, ...] = ()


@dataclass(frozen=True, slots=True)
class Accepted:
    """The request is taken; whatever fails from here on fails in mid-answer.

    `prompt_tokens` None: only the usage at the end will tell. `ignored` names the fields that were left out,
    `opened` the functions that nobody asked to be strict and that cannot be: taken as they were given.
    """

    prompt_tokens: int | None = None
    ignored: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Text that is final: no split character, no beginning of a stop string. `details` only if asked for."""

    choice: int
    text: str
    details: tuple[TokenDetail, ...] = ()


@dataclass(frozen=True, slots=True)
class RefusalDelta:
    """Text in which a model says that it will not answer. No model that runs here has a form of its own."""

    choice: int
    text: str
    details: tuple[TokenDetail, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallDelta:
    """A piece of the call numbered `index` of one choice. `id` and `name` come with its first piece only."""

    choice: int
    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    kind: ToolKind = "function"
    details: tuple[TokenDetail, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The end of one choice: `stop` for an end token or a stop string, `length` for a limit of tokens.

    `tool_calls`: the model waits for results. `content_filter`: a service elsewhere cut the text off.
    `prompt` is there if its log-probabilities were asked for, `end` if any were and an end token came: it is
    no part of the text.
    """

    choice: int
    reason: EndReason
    usage: Usage
    timings: Timings
    prompt: tuple[PromptToken, ...] | None = None
    end: TokenDetail | None = None


AnswerEvent = Accepted | PromptProgress | TextDelta | RefusalDelta | ToolCallDelta | Finished


def ignored_of(events: Iterable[object]) -> tuple[str, ...]:
    """The fields that answering left out, as its first event tells."""
    return next((event.ignored for event in events if isinstance(event, Accepted)), ())


def total_usage(finished: list[Finished]) -> Usage:
    """One request's usage: the prompt counts once, however many choices continue it."""
    return Usage(
        prompt_tokens=max(event.usage.prompt_tokens for event in finished),
        completion_tokens=sum(event.usage.completion_tokens for event in finished),
        cached_tokens=min(event.usage.cached_tokens for event in finished),
        accepted_prediction_tokens=sum(event.usage.accepted_prediction_tokens for event in finished),
        rejected_prediction_tokens=sum(event.usage.rejected_prediction_tokens for event in finished),
    )
