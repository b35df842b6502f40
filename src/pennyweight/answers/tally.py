"""An account that remembers: what a request used in all and how it ended, before the account that pays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.answers.account import FREE, Account
from pennyweight.core import Timings, Usage

if TYPE_CHECKING:
    from pennyweight.answers.account import Demand, Ending


class Tally(Account):
    """`usage`, `timings` and `ending` are those of the request so far; `ending` None: no model was asked.

    A request of several prompts waits as long as its first and has its first token when any has. It has
    failed if one prompt has, and was left if one was.
    """

    def __init__(self, payer: Account = FREE) -> None:
        self.usage = Usage()
        self.timings = Timings()
        self.ending: Ending | None = None
        self._payer = payer

    async def admit(self, demand: Demand) -> None:
        await self._payer.admit(demand)

    def settle(self, demand: Demand, usage: Usage, timings: Timings, ending: Ending) -> None:
        self._payer.settle(demand, usage, timings, ending)
        self.usage = _sum(self.usage, usage)
        self.timings = _joined(self.timings, timings)
        if self.ending is None or _GRAVITY[ending] > _GRAVITY[self.ending]:
            self.ending = ending


_GRAVITY: dict[Ending, int] = {"finished": 0, "left": 1, "failed": 2}


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        prompt_tokens=one.prompt_tokens + other.prompt_tokens,
        completion_tokens=one.completion_tokens + other.completion_tokens,
        cached_tokens=one.cached_tokens + other.cached_tokens,
        accepted_prediction_tokens=one.accepted_prediction_tokens + other.accepted_prediction_tokens,
        rejected_prediction_tokens=one.rejected_prediction_tokens + other.rejected_prediction_tokens,
    )


def _joined(one: Timings, other: Timings) -> Timings:
    cpu_s = one.cpu_s + other.cpu_s
    timed = [timings for timings in (one, other) if timings.ttft_s]
    if not timed:
        return Timings(queue_s=max(one.queue_s, other.queue_s), cpu_s=cpu_s)
    return Timings(
        queue_s=min(timings.queue_s for timings in timed),
        ttft_s=min(timings.ttft_s for timings in timed),
        decode_s=max(timings.decode_s for timings in timed),
        cpu_s=cpu_s,
    )
