"""An exchange whose answer is durable before anybody sees its end, whole or streamed."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pennyweight.answers.account import FREE
from pennyweight.answers.events import Finished
from pennyweight.answers.exchange import Answered, Exchange, StreamedExchange, whole_answer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence

    from pennyweight.answers.account import Account
    from pennyweight.answers.events import AnswerEvent
    from pennyweight.answers.principal import Principal
    from pennyweight.core import Priority


class Keepable(Exchange, StreamedExchange["AnswerEvent"], Protocol):
    """What can be kept: an answer of `num_choices` choices."""

    @property
    def num_choices(self) -> int: ...


X = TypeVar("X", bound=Keepable)


class KeptExchange(Generic[X]):
    """As `exchange`; `keep` has returned before the last choice's end is told. What it raises, this does."""

    def __init__(self, exchange: X, keep: Callable[[Answered], Awaitable[None]]) -> None:
        self.inner = exchange
        self.model, self.asked_model = exchange.model, exchange.asked_model
        self.stream, self.ignored = exchange.stream, exchange.ignored
        self._keep = keep
        self._pieces: list[dict[str, Any]] = []  # of the event that was yielded last

    async def events(
        self, principal: Principal, *, priority: Priority = "interactive", account: Account = FREE
    ) -> AsyncGenerator[AnswerEvent]:
        """As `StreamedExchange.events`; the pieces of an event are made before it is yielded."""
        seen: list[AnswerEvent] = []
        left = self.inner.num_choices
        async with aclosing(self.inner.events(principal, priority=priority, account=account)) as events:
            async for event in events:
                seen.append(event)
                self._pieces = list(self.inner.pieces(event))
                left -= isinstance(event, Finished)
                if left == 0:
                    await self._keep(self.inner.answered(seen))
                yield event

    def pieces(self, _: AnswerEvent) -> Iterable[dict[str, Any]]:
        """Of the event that was yielded last."""
        return self._pieces

    def answered(self, events: Sequence[AnswerEvent]) -> Answered:
        """As `StreamedExchange.answered`."""
        return self.inner.answered(events)

    async def whole(
        self, principal: Principal, *, priority: Priority = "interactive", account: Account = FREE
    ) -> Answered:
        """As `Exchange.whole`."""
        return await whole_answer(self, principal, priority=priority, account=account)
