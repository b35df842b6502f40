"""Budgets of money: an upper bound is set aside before an answer, its price is written down after it.

What is written lives in the database; what is set aside, and what is on its way to the database, in memory.
A crash forgets the requests in flight and nothing else. A failed write is kept and tried again with the next.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pennyweight.cost.prices import PICODOLLARS
from pennyweight.errors import InsufficientQuotaError, PennyweightError
from pennyweight.store.spending import Spending

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from pennyweight.answers.principal import Principal
    from pennyweight.core import Allowance
    from pennyweight.store.database import Database

_log = logging.getLogger(__name__)
Place = tuple[str, str]
"""A subject and a period."""


class Budgets:
    """`reserve`, then `settle` exactly once with the same places; in picodollars. For one event loop."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._spending = Spending()
        self._clock = clock
        self._reserved: defaultdict[Place, int] = defaultdict(int)
        self._settled: defaultdict[Place, int] = defaultdict(int)  # since the start
        self._written: defaultdict[Place, int] = defaultdict(int)  # of it, what is durable
        self._writer: asyncio.Task[None] | None = None

    async def reserve(self, principal: Principal, amount: int) -> tuple[Place, ...]:
        """Set `amount` aside in every budget. Raises InsufficientQuotaError; then nothing is."""
        limited = [allowance for allowance in principal.allowances if allowance.budget is not None]
        if not limited:
            return ()
        places = {self._place(allowance): allowance for allowance in limited}
        # Before the database is read: what is written meanwhile counts twice, never not at all.
        written = {place: self._written[place] for place in places}
        spent = await self._database.read(self._reader(tuple(places)))
        for place, allowance in places.items():
            unseen = self._settled[place] - written[place] + self._reserved[place]
            assert allowance.budget is not None
            if spent[place] + unseen + amount > allowance.budget:
                raise _refusal(allowance)
        for place in places:
            self._reserved[place] += amount
        return tuple(places)

    def settle(self, places: tuple[Place, ...], *, reserved: int, spent: int) -> None:
        """Replace what was set aside by what it cost. Never waits: the database learns of it in a moment."""
        for place in places:
            self._reserved[place] -= reserved
            self._settled[place] += spent
        if places and spent and (self._writer is None or self._writer.done()):
            self._writer = asyncio.get_running_loop().create_task(self._write())

    @property
    def is_owing(self) -> bool:
        """Whether something settled is not durable yet."""
        return bool(self._owed())

    async def flush(self) -> None:
        """Wait until everything settled is durable; raises what keeps it from being."""
        while owed := self._owed():
            await self._database.write(self._adder(owed))
            self._count(owed)

    def close(self) -> None:
        """Write what is owed; for the end of the program, when no event loop runs any more."""
        if owed := self._owed():
            self._database.write_now(self._adder(owed))
            self._count(owed)

    async def _write(self) -> None:
        try:
            await self.flush()
        except PennyweightError as error:  # a full disk: it stays owed, and budgets go on counting it
            _log.error("what was spent could not be written, and is kept in memory: %s", error.message)

    def _owed(self) -> dict[Place, int]:
        amounts = ((place, settled - self._written[place]) for place, settled in self._settled.items())
        return {place: amount for place, amount in amounts if amount}

    def _count(self, owed: dict[Place, int]) -> None:
        for place, amount in owed.items():
            self._written[place] += amount

    def _place(self, allowance: Allowance) -> Place:
        if allowance.budget_period == "total":
            return allowance.subject, "total"
        return allowance.subject, datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m")

    def _reader(self, places: tuple[Place, ...]) -> Callable[[Connection], dict[Place, int]]:
        return lambda connection: self._spending.of(connection, places)

    def _adder(self, owed: dict[Place, int]) -> Callable[[Connection], None]:
        return lambda connection: self._spending.add(connection, owed)


def _refusal(allowance: Allowance) -> InsufficientQuotaError:
    assert allowance.budget is not None
    period = "this month" if allowance.budget_period == "month" else "in total"
    dollars = f"${allowance.budget / PICODOLLARS:.6g}"
    return InsufficientQuotaError(
        f"You exceeded your current quota: {allowance.subject} may spend {dollars} {period}, and this could "
        "cost more than is left. Ask whoever runs this server for a larger budget, or for fewer tokens."
    )
