"""What an answer is made of: one `Accepted`, text as it is written, one `Finished` per choice.

Between `Accepted` and the first text of a long prompt the engine's `PromptProgress` passes through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pennyweight.core import PromptProgress, Timings, Usage

TextFinish = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class TokenDetail:
    """One token with its natural log-probability from raw logits; `top` are the likeliest at its place."""

    text_bytes: bytes
    logprob: float
    top: tuple[TokenDetail, ...] = ()


@dataclass(frozen=True, slots=True)
class Accepted:
    """The engine has taken the request; whatever fails from here on fails in mid-answer."""

    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Text that is final: no split character, no beginning of a stop string. `details` only if asked for."""

    choice: int
    text: str
    details: tuple[TokenDetail, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The end of one choice: `stop` for an end token or a stop string, `length` for a limit of tokens."""

    choice: int
    reason: TextFinish
    usage: Usage
    timings: Timings


AnswerEvent = Accepted | PromptProgress | TextDelta | Finished


def total_usage(finished: list[Finished]) -> Usage:
    """One request's usage: the prompt counts once, however many choices continue it."""
    return Usage(
        prompt_tokens=max(event.usage.prompt_tokens for event in finished),
        completion_tokens=sum(event.usage.completion_tokens for event in finished),
        cached_tokens=min(event.usage.cached_tokens for event in finished),
    )
