"""Places on the engine for lines under way, shared fairly: between projects first, then between batches.

A line takes places by its weight. The last one may take more than are free, so that a heavy line is not
overtaken for ever; then nobody gets any until enough have come back. One that must be alone takes all: it
waits until all have come back, and is not overtaken meanwhile.

A place that becomes free goes to the project that has the fewest, and within it to the batch that has the
fewest. So a project that asks gets its equal part within the time of a line, and what nobody else wants is
there for one alone.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


Weight = int | Literal["all"]
"""How many places."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who wants a place."""

    project: str
    batch: str


@dataclass(frozen=True, slots=True)
class _Turn:
    weight: int
    alone: bool
    granted: asyncio.Future[None]


class LinePlaces:
    """`count` places; used on one event loop."""

    def __init__(self, count: int) -> None:
        self._count = self._free = count
        self._by_project: Counter[str] = Counter()
        self._by_batch: Counter[str] = Counter()
        self._waiting: dict[Holder, deque[_Turn]] = {}

    @asynccontextmanager
    async def place(self, holder: Holder, weight: Weight) -> AsyncIterator[None]:
        """`weight` places, as long as this is open; waits for them."""
        alone = weight == "all"
        taken = self._count if weight == "all" else weight
        await self._take(holder, taken, alone=alone)
        try:
            yield
        finally:
            self._give_back(holder, taken)

    async def _take(self, holder: Holder, weight: int, *, alone: bool) -> None:
        turn = _Turn(weight, alone, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(holder, deque()).append(turn)
        self._hand_out()
        try:
            await turn.granted
        except asyncio.CancelledError:
            if turn.granted.cancelled():
                self._hand_out()  # others may have waited for it
            else:  # it was given while its task was being cancelled
                self._give_back(holder, weight)
            raise

    def _hand_out(self) -> None:
        while self._free > 0 and self._waiting:
            holder = min(
                self._waiting, key=lambda each: (self._by_project[each.project], self._by_batch[each.batch])
            )
            turns = self._waiting[holder]
            turn = turns[0]
            if turn.alone and self._free < self._count and not turn.granted.cancelled():
                return
            turns.popleft()
            if not turns:
                del self._waiting[holder]
            if not turn.granted.cancelled():
                self._free -= turn.weight
                self._by_project[holder.project] += turn.weight
                self._by_batch[holder.batch] += turn.weight
                turn.granted.set_result(None)

    def _give_back(self, holder: Holder, weight: int) -> None:
        self._free += weight
        for counter, name in ((self._by_project, holder.project), (self._by_batch, holder.batch)):
            counter[name] -= weight
            if not counter[name]:
                del counter[name]
        self._hand_out()
