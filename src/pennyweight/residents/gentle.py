"""Work that leaves the cores and the interpreter to whoever else wants them, as far as they can be told.

Two ways, for two kinds of work. What needs the interpreter hands it over often: it goes from thread to thread
every `sys.getswitchinterval()`, usually 5 ms, which a step of an engine would wait for several times over.
What does without it runs at a lower priority, which on Linux each thread has for itself. Not both at once:
who is asked to hand the interpreter over waits until the other has it, and one of low priority has it late.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NICENESS = 5  # where running streams want all cores, a third of one's time goes to such work
TURN_S = 0.0005  # with the interpreter, as soon as another thread asks for it


@contextmanager
def short_turns() -> Iterator[None]:
    """Threads take turns with the interpreter often. One context at a time: it is told to all of it."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(min(TURN_S, usual_s))
    try:
        yield
    finally:
        sys.setswitchinterval(usual_s)


def lower_priority() -> None:
    """That of the thread that calls this, which cannot raise it again, and of those it starts."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
