"""A listener that tests can wait on from their own thread."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING

from pennyweight.core import FinishedEvent, PromptProgress, TokenEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from pennyweight.core import Event

PATIENCE_S = 60.0  # far beyond what anything here takes: running out of it is a failure, never a measurement


class Listening:
    """Collects the events of one request and checks their order."""

    def __init__(self, num_choices: int = 1) -> None:
        self.num_choices = num_choices
        self.tokens: dict[int, list[int]] = defaultdict(list)
        self.progress: dict[int, list[PromptProgress]] = defaultdict(list)
        self.finished: dict[int, FinishedEvent] = {}
        self.threads: set[str] = set()
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._changed:
            assert event.choice not in self.finished, "an event after the last one"
            self.threads.add(threading.current_thread().name)
            if isinstance(event, TokenEvent):
                self.tokens[event.choice].append(event.token)
            elif isinstance(event, PromptProgress):
                assert not self.tokens[event.choice], "the prompt is read before the first token"
                self.progress[event.choice].append(event)
            else:
                self.finished[event.choice] = event
            self._changed.notify_all()

    @property
    def is_over(self) -> bool:
        return len(self.finished) == self.num_choices

    @property
    def num_tokens(self) -> int:
        return sum(map(len, self.tokens.values()))

    def wait_for(self, reached: Callable[[Listening], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: reached(self), timeout=PATIENCE_S), "it never came"

    def wait(self) -> Listening:
        self.wait_for(lambda heard: heard.is_over)
        return self
