"""What a worker and those who answer its generations agree on: a lease, who pays, and who is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pennyweight.errors import PennyweightError
from pennyweight.store.generations import Generations

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sqlalchemy import Connection

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
    those who follow one. A project has `most_waiting` at a time.
    """

    bell: Bell
    works: dict[Kind, Work]
    wake: Callable[[], None]
    drop: Callable[[str], None]
    most_waiting: int

    def check_room(self, connection: Connection, project_id: str) -> None:
        """Raise AnswerQueueError if the project may not queue another one."""
        waiting = Generations().num_under_way(connection, project_id, tuple(self.works))
        if waiting >= self.most_waiting:
            raise AnswerQueueError(
                f"Queue limit reached for {project_id}: {waiting} responses and runs in the background have "
                f"not ended, limit {self.most_waiting}. Try again when some have, or cancel some."
            )


class AnswerQueueError(PennyweightError):
    """The project has as much under way as it may. Nobody knows for how long: trying again is for people."""

    status = 429
    type = "requests"
    code = "answer_queue_full"


class Work(Protocol):
    """Answers generations of one kind, any number at a time."""

    def scopes(self, generation: Generation) -> Collection[str]:
        """What the key that made it must still be allowed to when it is answered."""
        ...

    async def answer(self, generation: Generation, claimed: Claimed) -> None:
        """Until it has ended, or waits for something; a failure that is the request's own ends it as failed.

        Raises LeaseLostError, UnavailableError, StorageFullError; then it waits for another attempt, or has
        failed if somebody may have seen a part of it.
        """
        ...
