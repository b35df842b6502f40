"""The processor's cores, taken in turns by the engine's plans and by a guest: batches of embeddings.

Each has a team of native threads of its own. Two teams at once on the same cores wait at their barriers for
threads that the system has put aside, so that both lose. Here one runs at a time: the engine keeps the cores
while it has work, and between two plans hands them over for one batch of a guest whose turn has come. Guests
get `GUEST_SHARE` of the time beside running streams, and all of it while the engine sleeps.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GUEST_SHARE = 0.2


class CoreTurns:
    """The engine's thread calls `take` and `release`; any other thread works inside `guest`."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()  # guards all below
        self._holder: Literal["nobody", "engine", "guest"] = "nobody"
        self._engine_waits = False
        self._guests_waiting = 0
        self._due_s = 0.0  # when the next guest's turn comes while the engine has work

    def take(self) -> float:
        """Before each plan: the cores are the engine's, after a guest that is at work or whose turn it is.

        Returns the seconds this took.
        """
        asked_s = self._clock()
        with self._changed:
            if self._holder == "guest" or self.guest_is_due:
                if self._holder == "engine":
                    self._holder = "nobody"
                    self._changed.notify_all()
                self._engine_waits = True
                self._changed.wait_for(lambda: self._holder == "engine")
            self._holder = "engine"
        return self._clock() - asked_s

    def release(self) -> None:
        """The engine has nothing left to do. Harmless if it holds nothing."""
        with self._changed:
            if self._holder == "engine":
                self._holder = "nobody"
                self._changed.notify_all()

    @property
    def guest_is_due(self) -> bool:
        """Whether the engine should end its plan for a guest's turn. From any thread, without a lock."""
        return self._guests_waiting > 0 and self._clock() >= self._due_s

    @contextmanager
    def guest(self) -> Iterator[None]:
        """A turn of some milliseconds, once the engine lets go; after a longer one the next comes later."""
        with self._changed:
            self._guests_waiting += 1
            self._changed.wait_for(lambda: self._holder == "nobody")
            self._guests_waiting -= 1
            self._holder = "guest"
        started_s = self._clock()
        try:
            yield
        finally:
            ended_s = self._clock()
            with self._changed:
                self._due_s = ended_s + (ended_s - started_s) * (1 - GUEST_SHARE) / GUEST_SHARE
                self._holder = "engine" if self._engine_waits else "nobody"
                self._engine_waits = False
                self._changed.notify_all()
