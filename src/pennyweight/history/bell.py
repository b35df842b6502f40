"""Who follows a generation is woken when something new is stored of it, by whichever thread.

Other processes on the same database cannot ring: a listener looks by itself now and then.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOOK_S: Final = 0.5


class Listener:
    """One who follows; belongs to the event loop it was made on."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()

    def clear(self) -> None:
        """Before looking: what rings from now on is news."""
        self._rung.clear()

    async def wait(self) -> None:
        """Until it rings, or for a moment."""
        with suppress(TimeoutError):  # `wait_for` may lose a cancel that comes with the ringing
            async with asyncio.timeout(_LOOK_S):
                await self._rung.wait()

    def ring(self) -> None:
        """From any thread."""
        with suppress(RuntimeError):  # the loop is closed: the server is about to end
            self._loop.call_soon_threadsafe(self._rung.set)


class Bell:
    """Used from any number of threads and event loops."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: defaultdict[str, set[Listener]] = defaultdict(set)

    def ring(self, generation_id: str) -> None:
        """Something new is stored."""
        with self._lock:
            listeners = list(self._listeners.get(generation_id, ()))
        for listener in listeners:
            listener.ring()

    @contextmanager
    def listening(self, generation_id: str) -> Iterator[Listener]:
        """For as long as somebody follows."""
        listener = Listener()
        with self._lock:
            self._listeners[generation_id].add(listener)
        try:
            yield listener
        finally:
            with self._lock:
                self._listeners[generation_id].discard(listener)
                if not self._listeners[generation_id]:
                    del self._listeners[generation_id]
