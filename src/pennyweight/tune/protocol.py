"""What the trainer says while it works, one JSON object per line, and how it is asked to stop."""

from __future__ import annotations

import json
import os
import select
import signal
import stat
import sys
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO

if TYPE_CHECKING:
    from types import FrameType

Event = Literal["invalid", "validated", "step", "checkpoint", "finished", "failed", "stopped"]


class Events:
    """Writes events; nobody listening any more counts as being asked to stop."""

    def __init__(self, file: TextIO | None) -> None:
        """`file` None: a process that says nothing, because another speaks for it."""
        self._file = file
        self.is_heard = True

    @classmethod
    def on_standard_output(cls) -> Events:
        """Alone there: what libraries print goes to standard error from now on."""
        sys.stdout.flush()
        file = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        return cls(file)

    def tell(self, event: Event, **told: Any) -> None:
        if self._file is None or not self.is_heard:
            return
        try:
            self._file.write(json.dumps({"event": event, **told}, allow_nan=False) + "\n")
            self._file.flush()
        except BrokenPipeError:
            self.is_heard = False


class Stop(Protocol):
    """Asked between pieces of work."""

    @property
    def is_set(self) -> bool: ...


class StopSignal:
    """Whether to stop: asked by SIGTERM or SIGINT, or left alone by the process that started this one."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._asked = False
        self._parent = os.getppid()
        self._pipe = sys.stdin is not None and _is_pipe(sys.stdin.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    @property
    def is_set(self) -> bool:
        alone = os.getppid() != self._parent or not self._events.is_heard
        return self._asked or alone or (self._pipe and _is_closed(0))

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True


def _is_pipe(number: int) -> bool:
    """A closed pipe means that the other end is gone; other inputs say nothing."""
    return stat.S_ISFIFO(os.fstat(number).st_mode)


def _is_closed(number: int) -> bool:
    readable, _, _ = select.select([number], [], [], 0)
    return bool(readable) and os.read(number, 4096) == b""
