"""The processor's cores, taken in turns by the plans of engines and by guests: batches of embeddings.

Each has a team of native threads of its own. Two teams at once on the same cores wait at their barriers for
threads that the system has put aside, so that both lose. Here one runs at a time. An engine keeps the cores
while it alone has work; several with work share the time by weight (equally, unless one has batch work
alone), counted by what their plans took, and change between two plans once one is `QUANTUM_S` ahead. Between
plans the cores also go to a guest whose turn has come. Guests get `GUEST_SHARE` of the time beside running
streams, those who work for lines of batches the share of batches, and all of it while the engines sleep.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pennyweight.core import Priority

GUEST_SHARE = 0.2
QUANTUM_S = 0.02  # a few steps: reading another model's weights anew costs a part of one


class CoreTurns:
    """The cores of one process. Every engine has a `seat`; any other thread works inside `guest`."""

    def __init__(self, *, batch_share: float = 0.1, clock: Callable[[], float] = time.monotonic) -> None:
        """`batch_share`: of the time beside a busy engine, for guests whose work is for batches; below 1."""
        self.batch_share = batch_share
        self._clock = clock
        self._changed = threading.Condition()  # guards all below
        self._holder: object | None = None  # a seat, or the token of a guest
        self._engines: list[Seat] = []  # that wait
        self._guests: deque[_Guest] = deque()  # that wait
        # When the next guest's turn comes while an engine has work.
        self._due_s: dict[Priority, float] = {"interactive": 0.0, "batch": 0.0 if batch_share else inf}
        self._floor_s = 0.0  # `spent_s` of an engine that gets work: idle time cannot be saved up

    @property
    def are_idle(self) -> bool:
        """Whether nobody works or waits. From any thread, without the lock."""
        return self._holder is None and not self._engines and not self._guests

    def seat(self) -> Seat:
        """The place of one more engine."""
        return Seat(self)

    @contextmanager
    def guest(self, priority: Callable[[], Priority] = lambda: "interactive") -> Iterator[None]:
        """A turn of some milliseconds, once the engines let go; after a longer one the next comes later.

        `priority` says for whom it is, which may change while it waits.
        """
        guest = _Guest(priority)
        with self._changed:
            self._guests.append(guest)
            self._settle()
            self._changed.wait_for(lambda: self._holder is guest)
        began_for, started_s = priority(), self._clock()
        try:
            yield
        finally:
            self._end_turn(began_for, started_s)

    def take(self, seat: Seat) -> float:
        """As `Seat.take`."""
        asked_s = self._clock()
        with self._changed:
            if self._holder is seat:
                self._charge(seat, asked_s)
                if not self.is_due(seat):
                    return 0.0
                self._holder = None
            else:
                self._floor_s = max(self._floor_s, self._least_spent(asked_s))
                seat.spent_s = max(seat.spent_s, self._floor_s)
            self._engines.append(seat)
            self._settle()
            self._changed.wait_for(lambda: self._holder is seat)
        return self._clock() - asked_s

    def release(self, seat: Seat) -> None:
        """As `Seat.release`."""
        with self._changed:
            if self._holder is seat:
                self._charge(seat, self._clock())
                if not self._engines:  # whoever comes next begins level with it
                    self._floor_s = max(self._floor_s, seat.spent_s)
                self._holder = None
                self._settle()

    def is_due(self, seat: Seat) -> bool:
        """As `Seat.others_are_due`."""
        if self._due_guest() is not None:
            return True
        if not self._engines:
            return False
        own_s = seat.spent_by(self._clock())
        return any(own_s >= other.spent_s + QUANTUM_S for other in tuple(self._engines))

    def _end_turn(self, began_for: Priority, started_s: float) -> None:
        ended_s = self._clock()
        with self._changed:
            if began_for == "interactive":  # a turn for batches keeps nobody else's off
                self._due_s["interactive"] = ended_s + _pause_s(ended_s - started_s, GUEST_SHARE)
            self._due_s["batch"] = ended_s + _pause_s(ended_s - started_s, self.batch_share)
            self._holder = None
            self._settle()

    def _due_guest(self) -> _Guest | None:
        """The guest whose turn has come although engines have work. Also without the lock."""
        if not self._guests:
            return None
        now_s = self._clock()
        due = (guest for guest in tuple(self._guests) if now_s >= self._due_s[guest.priority()])
        return next(due, None)

    def _charge(self, seat: Seat, now_s: float) -> None:
        seat.spent_s = seat.spent_by(now_s)
        seat.since_s = now_s

    def _least_spent(self, now_s: float) -> float:
        spent = [engine.spent_s for engine in self._engines]
        if isinstance(self._holder, Seat):
            spent.append(self._holder.spent_by(now_s))
        return min(spent, default=0.0)

    def _settle(self) -> None:
        """Give free cores to whose turn it is: a guest that is due, else the engine that has had least."""
        if self._holder is not None:
            return
        guest = self._due_guest() if self._engines or not self._guests else self._guests[0]
        if guest is not None:
            self._guests.remove(guest)
            self._holder = guest
        elif self._engines:
            seat = min(self._engines, key=lambda engine: engine.spent_s)
            self._engines.remove(seat)
            seat.since_s = self._clock()
            self._holder = seat
        self._changed.notify_all()


class _Guest:
    """Whoever waits for a turn and is no engine."""

    def __init__(self, priority: Callable[[], Priority]) -> None:
        self.priority = priority


class Seat:
    """One engine's place at the cores. Its thread calls `take` and `release`."""

    def __init__(self, turns: CoreTurns) -> None:
        self.turns = turns
        self.weight = 1.0  # of the next plans: half the weight, half the time beside other engines
        self.spent_s = 0.0  # of the cores' time, by weight
        self.since_s = 0.0  # when what is not in `spent_s` yet began

    def spent_by(self, now_s: float) -> float:
        """`spent_s` if its plan ended now."""
        return self.spent_s + (now_s - self.since_s) / self.weight

    def take(self) -> float:
        """Before each plan: the cores are this engine's, after whoever is at work or whose turn it is.

        Returns the seconds this took.
        """
        return self.turns.take(self)

    def release(self) -> None:
        """The engine has nothing left to do. Harmless if it holds nothing."""
        self.turns.release(self)

    @property
    def others_are_due(self) -> bool:
        """Whether the engine should end its plan for somebody's turn. From any thread, without a lock."""
        return self.turns.is_due(self)


def _pause_s(turn_s: float, share: float) -> float:
    """How long the engines work between turns like this one, so that turns are `share` of the time."""
    return turn_s * (1 - share) / share if share else inf
