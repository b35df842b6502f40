"""Places on the engine for lines under way, shared fairly: between projects first, then between batches.

A place that becomes free goes to the project that has the fewest, and within it to the batch that has the
fewest. So a project that asks gets its equal part within the time of a line, and what nobody else wants is
there for one alone.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass(frozen=True, slots=True)
class Holder:
    """Who wants a place."""

    project: str
    batch: str


class LinePlaces:
    """`count` places; used on one event loop."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._by_project: Counter[str] = Counter()
        self._by_batch: Counter[str] = Counter()
        self._waiting: dict[Holder, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def place(self, holder: Holder) -> AsyncIterator[None]:
        """One place, as long as this is open; waits for it."""
        await self._take(holder)
        try:
            yield
        finally:
            self._give_back(holder)
            self._hand_out()

    async def _take(self, holder: Holder) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(holder, deque()).append(turn)
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was given while its task was being cancelled
                self._give_back(holder)
                self._hand_out()
            raise

    def _hand_out(self) -> None:
        while self._free and self._waiting:
            holder = min(
                self._waiting, key=lambda each: (self._by_project[each.project], self._by_batch[each.batch])
            )
            turns = self._waiting[holder]
            turn = turns.popleft()
            if not turns:
                del self._waiting[holder]
            if not turn.cancelled():
                self._free -= 1
                self._by_project[holder.project] += 1
                self._by_batch[holder.batch] += 1
                turn.set_result(None)

    def _give_back(self, holder: Holder) -> None:
        self._free += 1
        for counter, name in ((self._by_project, holder.project), (self._by_batch, holder.batch)):
            counter[name] -= 1
            if not counter[name]:
                del counter[name]
