"""Budgets of money: an upper bound is set aside before an answer, its price is written down after it.

What other runs of the server have spent is in the database, what this one has is in memory too: its total is
written a moment later. A crash forgets the requests in flight and the last tenth of a second. What cannot be
written goes on counting, and is tried again with the next.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING, Final

from pennyweight.cost.prices import PICODOLLARS
from pennyweight.errors import InsufficientQuotaError, PennyweightError
from pennyweight.store.change_stamp import ChangeStamp
from pennyweight.store.identifiers import new_id
from pennyweight.store.spending import Spending

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from pennyweight.answers.principal import Principal
    from pennyweight.core import Allowance
    from pennyweight.store.database import Database

_log = logging.getLogger(__name__)
_GATHERED_S: Final = 0.1  # of settlements become one commit: one each would cost a request 3 ms
Place = tuple[str, str]
"""A subject and a period."""


class Budgets:
    """`reserve`, then `settle` exactly once with the same places; in picodollars. For any event loop."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._spending = Spending()
        self._clock = clock
        self._run = new_id("run_")
        self._gate = Lock()  # routes and batches have loops, and so threads, of their own
        self._reserved: defaultdict[Place, int] = defaultdict(int)
        self._spent: defaultdict[Place, int] = defaultdict(int)  # by this run
        self._written: dict[Place, int] = {}  # of it, what is durable
        self._stamp = ChangeStamp(database.url)
        self._others: dict[tuple[Place, ...], tuple[int | None, dict[Place, int]]] = {}  # with their stamp
        self._writer: asyncio.Task[None] | None = None

    async def reserve(self, principal: Principal, amount: int) -> tuple[Place, ...]:
        """Set `amount` aside in every budget. Raises InsufficientQuotaError; then nothing is."""
        limited = [allowance for allowance in principal.allowances if allowance.budget is not None]
        if not limited:
            return ()
        places = {self._place(allowance): allowance for allowance in limited}
        others = await self._spent_by_others(tuple(places))
        with self._gate:
            for place, allowance in places.items():
                assert allowance.budget is not None
                if others[place] + self._spent[place] + self._reserved[place] + amount > allowance.budget:
                    raise _refusal(allowance)
            for place in places:
                self._reserved[place] += amount
        return tuple(places)

    def settle(self, places: tuple[Place, ...], *, reserved: int, spent: int) -> None:
        """Replace what was set aside by what it cost. Never waits: the database learns of it in a moment."""
        with self._gate:
            for place in places:
                self._reserved[place] -= reserved
                self._spent[place] += spent
        if places and spent and (self._writer is None or self._writer.done()):
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def flush(self) -> None:
        """Wait until everything settled is durable; raises what keeps it from being."""
        while owed := self._owed():
            await self._database.write(self._putting(owed), at="spending.counted")
            self._written |= owed

    def close(self) -> None:
        """Write what is owed; for the end of the program, when no event loop runs any more."""
        self._stamp.close()
        if owed := self._owed():
            self._database.write_now(self._putting(owed), at="spending.counted")
            self._written |= owed

    async def _write(self) -> None:
        await asyncio.sleep(_GATHERED_S)
        try:
            await self.flush()
        except PennyweightError as error:  # a full disk: it stays owed, and budgets go on counting it
            _log.error("what was spent could not be written, and is kept in memory: %s", error.message)

    async def _spent_by_others(self, places: tuple[Place, ...]) -> dict[Place, int]:
        stamp = self._stamp.now()  # before reading: what changes meanwhile is read again
        known_stamp, known = self._others.get(places, (None, {}))
        if stamp is not None and stamp == known_stamp:
            return known
        run = self._run
        read = await self._database.read(lambda link: self._spending.of(link, places, other_than=run))
        self._others[places] = (stamp, read)
        return read

    def _owed(self) -> dict[Place, int]:
        with self._gate:
            spent = dict(self._spent)
        return {place: total for place, total in spent.items() if total > self._written.get(place, 0)}

    def _putting(self, totals: dict[Place, int]) -> Callable[[Connection], None]:
        return lambda connection: self._spending.put(connection, self._run, totals)

    def _place(self, allowance: Allowance) -> Place:
        if allowance.budget_period == "total":
            return allowance.subject, "total"
        return allowance.subject, datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m")


def _refusal(allowance: Allowance) -> InsufficientQuotaError:
    assert allowance.budget is not None
    period = "this month" if allowance.budget_period == "month" else "in total"
    dollars = f"${allowance.budget / PICODOLLARS:.6g}"
    return InsufficientQuotaError(
        f"You exceeded your current quota: {allowance.subject} may spend {dollars} {period}, and this could "
        "cost more than is left. Ask whoever runs this server for a larger budget, or for fewer tokens."
    )
