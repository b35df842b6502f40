"""Engine events crossing from the engine's thread to readers on an event loop.

Events are posted one by one but read in batches: one wake-up serves all that arrived since the last read,
so a slow reader costs the engine nothing, and all readers of a loop that a step has news for are woken by one
call, for each such call is a write to a pipe and a fight for the interpreter. All but the first and the last
event of an answer wait for each other, the longer the more readers there are: telling takes time from
computing. An answer that nobody follows is told once, when it has ended.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pennyweight.core import FinishedEvent

if TYPE_CHECKING:
    from pennyweight.core import Event

REST_S: Final = 0.001
"""Rest after waking one reader: its event takes 0.1 to 0.2 ms of a core that also computes."""
SHORTEST_REST_S: Final = 0.01
"""One reader has a few tokens at a time, too soon for a person to see."""
LONGEST_REST_S: Final = 0.05


class Wakeups:
    """Wakes readers on one event loop, any number by one call. `wake` is called from any one other thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._due: deque[asyncio.Event] = deque()
        self._called = False
        self._called_at_once = False
        self._rests_until_s = 0.0  # on the loop's clock

    def wake(self, ready: asyncio.Event, *, at_once: bool) -> None:
        """Never blocks, never raises: a loop that is closed has no readers any more."""
        self._due.append(ready)
        if (self._called_at_once if at_once else self._called) or (loop := self._loop()) is None:
            return
        if at_once:
            self._called_at_once = True
        else:
            self._called = True
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._ring_at_once if at_once else self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop.time() < self._rests_until_s:
            loop.call_at(self._rests_until_s, self._ring, loop)
            return
        # Cleared before draining: whoever is added after this line makes a call of its own.
        self._called = False
        self._drain(loop)

    def _ring_at_once(self, loop: asyncio.AbstractEventLoop) -> None:
        self._called_at_once = False
        self._drain(loop)

    def _drain(self, loop: asyncio.AbstractEventLoop) -> None:
        num_readers = 0
        while self._due:
            self._due.popleft().set()
            num_readers += 1
        rest_s = min(max(SHORTEST_REST_S, num_readers * REST_S), LONGEST_REST_S)
        self._rests_until_s = loop.time() + rest_s


class WakeupsByLoop:
    """One `Wakeups` for each event loop there is. Used from any number of them."""

    def __init__(self) -> None:
        self._known: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Wakeups] = (
            weakref.WeakKeyDictionary()
        )

    def here(self) -> Wakeups:
        """That of the loop which runs."""
        loop = asyncio.get_running_loop()
        known = self._known.get(loop)
        if known is None:
            known = self._known.setdefault(loop, Wakeups(loop))
        return known


class Inbox:
    """Made on the loop that reads; `post` is called from any one other thread."""

    def __init__(self, wakeups: Wakeups, *, followed: bool = True) -> None:
        """`followed`: the reader wants events as they come, and not only the end of each choice."""
        self._wakeups = wakeups
        self._followed = followed
        self._events: deque[Event] = deque()
        self._ready = asyncio.Event()
        self._woken = False
        self._begun = False

    def post(self, event: Event) -> None:
        """Never blocks, never raises: a reader that is gone must not hurt the engine."""
        self._events.append(event)
        at_end = isinstance(event, FinishedEvent)
        if not (self._followed or at_end):
            return
        at_once = at_end or not self._begun
        if at_once or not self._woken:
            self._begun = self._woken = True
            self._wakeups.wake(self._ready, at_once=at_once)

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
