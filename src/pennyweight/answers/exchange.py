"""One request to an endpoint, understood, and the answer to it: whole, or as events while it is written.

A route and a line of a batch run the same exchange, so that neither can answer what the other would not.
"""

from __future__ import annotations

import json
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from pennyweight.answers.account import FREE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from pennyweight.answers.account import Account
    from pennyweight.answers.passages import PassageSource
    from pennyweight.answers.principal import Principal
    from pennyweight.answers.served_models import ServedModels
    from pennyweight.answers.usage_cost import Pricing
    from pennyweight.core import Priority, Timings, Usage

E = TypeVar("E")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """What answers, by name, what that costs, and what finds passages in files, if anything does."""

    served: ServedModels
    pricing: Pricing
    passages: PassageSource | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A whole answer. `body` is JSON as a client receives it; `timings` are None where nothing is timed.

    `ignored` names what answering left out, beside what reading the body did.
    """

    body: bytes
    model: str
    usage: Usage
    timings: Timings | None = None
    ignored: tuple[str, ...] = ()


class Exchange(Protocol):
    """One request to any endpoint. `model` is what answers it, `asked_model` the client's name for that;
    `ignored` names what was dropped.
    """

    @property
    def model(self) -> str: ...

    @property
    def asked_model(self) -> str: ...

    @property
    def stream(self) -> bool: ...

    @property
    def ignored(self) -> tuple[str, ...]: ...

    async def whole(
        self, principal: Principal, *, priority: Priority = "interactive", account: Account = FREE
    ) -> Answered:
        """`account` pays. Raises PennyweightError as the endpoint does."""
        ...


class StreamedExchange(Protocol[E]):
    """One whose answer can be followed while it is written."""

    def events(
        self, principal: Principal, *, priority: Priority = "interactive", account: Account = FREE
    ) -> AsyncGenerator[E]:
        """The first event comes when the engine has taken the request; what is refused raises before it."""
        ...

    def pieces(self, event: E) -> Iterable[dict[str, Any]]:
        """What a client that streams is sent for `event`. Events must come in order."""
        ...

    def answered(self, events: Sequence[E]) -> Answered:
        """The whole answer from all its events."""
        ...


async def whole_answer(
    exchange: StreamedExchange[E], principal: Principal, *, priority: Priority, account: Account
) -> Answered:
    """Follow the events of `exchange` to their end."""
    async with aclosing(exchange.events(principal, priority=priority, account=account)) as events:
        return exchange.answered([event async for event in events])


_LINE_ENDS: Final = (("\x85", "\\u0085"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029"))
"""Of Python's `str.splitlines`, beside those that JSON escapes: clients read events and batches by it."""


def compact_json(body: object) -> bytes:
    """JSON as it is sent: one line, for whoever reads lines."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    if not text.isascii():
        for character, escape in _LINE_ENDS:
            if character in text:
                text = text.replace(character, escape)
    return text.encode()
