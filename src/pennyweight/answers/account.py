"""Who pays for an answer: asked before the engine is, told once when the answer has ended, however it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

if TYPE_CHECKING:
    from pennyweight.core import Timings, Usage

Ending = Literal["finished", "left", "failed"]
"""All choices ended; the client went away or a stop was called; the engine could not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a request could use. `wanted_tokens` is what all its choices were limited to, None: no limit was
    given; `most_tokens` is what the context leaves them."""

    prompt_tokens: int
    wanted_tokens: int | None = None
    most_tokens: int = 0


class Account(Protocol):
    """One request's account; a request of several prompts asks once for each."""

    async def admit(self, demand: Demand) -> None:
        """Set `demand` aside. Raises RateLimitError, InsufficientQuotaError; then nothing is set aside."""
        ...

    def settle(self, demand: Demand, usage: Usage, timings: Timings, ending: Ending) -> None:
        """What was really used; called exactly once for every `admit` that returned. Never waits."""
        ...


class FreeAccount(Account):
    """Nobody counts."""

    async def admit(self, demand: Demand) -> None:
        pass

    def settle(self, demand: Demand, usage: Usage, timings: Timings, ending: Ending) -> None:
        pass


FREE: Final = FreeAccount()
