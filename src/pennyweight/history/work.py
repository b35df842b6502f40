"""What a worker and those who answer its generations agree on: a lease, who pays, and who is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from pennyweight.answers.account import Account
    from pennyweight.answers.principal import Principal
    from pennyweight.history.bell import Bell
    from pennyweight.store.generation import Generation, Kind, Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """The right to answer a generation. `account` makes one for what a model named so answers.

    `told` is called when something new is stored, by whatever thread.
    """

    lease: Lease
    principal: Principal
    account: Callable[[str], Account]
    told: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """Where generations that nobody waits for are handed in: `works` has who answers each kind.

    `wake` tells the worker that one was queued, `drop` that one is not wanted any more; `bell` rings for
    those who follow one.
    """

    bell: Bell
    works: dict[Kind, Work]
    wake: Callable[[], None]
    drop: Callable[[str], None]


class Work(Protocol):
    """Answers generations of one kind, any number at a time."""

    async def answer(self, generation: Generation, claimed: Claimed) -> None:
        """Until it has ended, or waits for something; a failure that is the request's own ends it as failed.

        Raises LeaseLostError, UnavailableError, StorageFullError; then it waits for another attempt, or has
        failed if somebody may have seen a part of it.
        """
        ...
