"""What an answer used, written down as it happens and settled once, whatever ends it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, Self

from pennyweight.answers.account import Demand
from pennyweight.answers.events import total_usage
from pennyweight.core import Timings, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from pennyweight.answers.account import Account, Ending
    from pennyweight.answers.events import Finished


class Counted(Protocol):
    """A choice under way: how many tokens of it there are."""

    @property
    def num_tokens(self) -> int: ...


class Bill:
    """`async with Bill(...)`: admitted at the beginning, settled at the end; no way leads around it."""

    def __init__(self, account: Account, demand: Demand, running: Mapping[int, Counted]) -> None:
        """`running`: the choices that have not ended; whoever ends one removes it."""
        self._account = account
        self._demand = demand
        self._running = running
        self._finished: list[Finished] = []
        self.prompt_usage = Usage()  # of the prompt, what was computed or found
        self.timings = Timings()  # until the first choice has ended
        self.cpu_s = 0.0  # processor time of all choices

    def finish(self, event: Finished) -> None:
        """One choice has ended well."""
        self._finished.append(event)

    async def __aenter__(self) -> Self:
        await self._account.admit(self._demand)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        ending = _ending(kind) if self._running else "finished"
        timings = self._finished[0].timings if self._finished else self.timings
        self._account.settle(self._demand, self._usage(), replace(timings, cpu_s=self.cpu_s), ending)

    def _usage(self) -> Usage:
        """What a client that left early never saw counts as well: it was computed."""
        if self._finished and not self._running:
            return total_usage(self._finished)
        written = sum(choice.num_tokens for choice in self._running.values())
        left = replace(self.prompt_usage, completion_tokens=written)
        if not self._finished:
            return left
        usage = total_usage(self._finished)
        return Usage(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens + left.completion_tokens,
            cached_tokens=usage.cached_tokens,
            accepted_prediction_tokens=usage.accepted_prediction_tokens,
            rejected_prediction_tokens=usage.rejected_prediction_tokens,
        )


class FlatBill:
    """The same for a prompt alone, whose length is known before it is computed."""

    def __init__(self, account: Account, prompt_tokens: int) -> None:
        self._account = account
        self._demand = Demand(prompt_tokens=prompt_tokens, wanted_tokens=0)
        self.computed_tokens = 0
        self.cpu_s = 0.0  # processor time

    async def __aenter__(self) -> Self:
        await self._account.admit(self._demand)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        ending, whole = _ending(kind), self._demand.prompt_tokens
        computed = whole if ending == "finished" else min(self.computed_tokens, whole)
        usage = Usage(prompt_tokens=computed)
        self._account.settle(self._demand, usage, Timings(cpu_s=self.cpu_s), ending)


def _ending(kind: type[BaseException] | None) -> Ending:
    """A cancelled task and a closed generator are a client that left; errors are ours."""
    if kind is None:
        return "finished"
    return "failed" if issubclass(kind, Exception) else "left"
