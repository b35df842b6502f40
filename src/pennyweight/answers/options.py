"""How an answer is wanted, independent of the dialect it was asked in."""

from __future__ import annotations

from dataclasses import dataclass, field

from pennyweight.core import Priority, SamplingParams


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`stop` strings end the text before they appear; `num_choices` independent answers share one prompt."""

    sampling: SamplingParams = field(default_factory=SamplingParams)
    stop: tuple[str, ...] = ()
    num_choices: int = 1
    priority: Priority = "interactive"
