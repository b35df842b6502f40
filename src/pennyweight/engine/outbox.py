"""Who is owed events: every choice of every request gets its one terminal event, whatever happens."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from pennyweight.core import Event, FinishedEvent, FinishReason, Timings, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pennyweight.engine.sequence import SequenceGroup

log = logging.getLogger(__name__)


class Outbox:
    """Open requests and their listeners. `deliver` and `fail` are the engine thread's, the rest anybody's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owed: dict[int, tuple[SequenceGroup, set[int]]] = {}
        self._num_open = 0

    @property
    def num_open(self) -> int:
        """Choices that are owed their end."""
        return self._num_open

    def register(self, group: SequenceGroup) -> None:
        """From now on `group`'s listener is owed a FinishedEvent for every choice."""
        with self._lock:
            self._owed[group.number] = group, set(range(group.request.num_choices))
            self._num_open += group.request.num_choices

    def is_open(self, group: SequenceGroup) -> bool:
        return group.number in self._owed

    def deliver(self, events: Iterable[tuple[SequenceGroup, Event]]) -> list[SequenceGroup]:
        """Call the listeners in order; the requests whose listener raised, which are to be cancelled."""
        failed: list[SequenceGroup] = []
        for group, event in events:
            if isinstance(event, FinishedEvent):
                self._settle(group, event.choice)
            try:
                group.listener(event)
            except Exception:  # foreign code at the thread's edge: only its own request suffers
                log.exception("The listener of request %s failed", group.request.id)
                failed.append(group)
        return failed

    def fail(self, groups: Iterable[SequenceGroup], message: str, now_s: float) -> None:
        """End every choice of `groups` that is still owed its end, without help of the scheduler."""
        for group in groups:
            for choice in sorted(self._owed[group.number][1]):
                self.deliver([(group, _error_event(group, choice, message, now_s))])

    def fail_all(self, message: str, now_s: float) -> None:
        with self._lock:
            groups = [group for group, _ in self._owed.values()]
        self.fail(groups, message, now_s)

    def _settle(self, group: SequenceGroup, choice: int) -> None:
        with self._lock:
            choices = self._owed[group.number][1]
            choices.remove(choice)
            self._num_open -= 1
            if not choices:
                del self._owed[group.number]


def _error_event(group: SequenceGroup, choice: int, message: str, now_s: float) -> FinishedEvent:
    if choice < len(group.sequences):
        sequence = group.sequences[choice]
        sequence.finish_reason = FinishReason.ERROR
        return sequence.finished_event(now_s, message)
    return FinishedEvent(
        choice=choice,
        reason=FinishReason.ERROR,
        usage=Usage(prompt_tokens=len(group.prompt)),
        timings=Timings(queue_s=now_s - group.submitted_s),
        error=message,
    )
