"""Engine events crossing from the engine's thread to one reader on an event loop.

Events are posted one by one but read in batches: one wake-up serves all that arrived since the last read,
so a slow reader costs the engine nothing and many streams do not wake the loop once per token each.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pennyweight.core import Event


class Inbox:
    """Made on the loop that reads; `post` is called from any one other thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: deque[Event] = deque()
        self._ready = asyncio.Event()
        self._woken = False

    def post(self, event: Event) -> None:
        """Never blocks, never raises: a reader that is gone must not hurt the engine."""
        self._events.append(event)
        if not self._woken:
            self._woken = True
            with suppress(RuntimeError):  # the loop has been closed: nobody reads any more
                self._loop.call_soon_threadsafe(self._ready.set)

    async def take(self) -> list[Event]:
        """Everything posted so far, at least one wake-up's worth; may be empty."""
        await self._ready.wait()
        self._ready.clear()
        # Cleared before draining: what is posted after this line wakes the reader again, nothing is lost.
        self._woken = False
        events = []
        while self._events:
            events.append(self._events.popleft())
        return events
