"""How an answer is wanted, independent of the dialect it was asked in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pennyweight.answers.response_format import JsonObject, JsonSchema, ResponseFormat, TextFormat
from pennyweight.core import Priority, SamplingParams

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["JsonObject", "JsonSchema", "Options", "ResponseFormat", "TextFormat"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`stop` strings end the text before they appear; `num_choices` independent answers share one prompt.

    `prediction` is text the answer is expected to hold: right guesses come faster, wrong ones change nothing.
    `prompt_logprobs` scores every prompt token; `chat_template_kwargs` are further variables of the template.
    With `truncation` "auto" the oldest turns of what does not fit are left out; "disabled" refuses it.
    """

    sampling: SamplingParams = field(default_factory=SamplingParams)
    stop: tuple[str, ...] = ()
    num_choices: int = 1
    priority: Priority = "interactive"
    response_format: ResponseFormat = field(default_factory=TextFormat)
    prediction: str | None = None
    prompt_logprobs: bool = False
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    truncation: Literal["disabled", "auto"] = "disabled"
