"""Work that leaves the cores and the interpreter to whoever else wants them, as far as they can be told.

On Linux a thread has a priority of its own and hands it on to those it starts. A thread that has lowered it
cannot raise it again, so the work gets a thread that ends with it. The interpreter goes from thread to thread
every `sys.getswitchinterval()`, usually 5 ms, which a step of an engine would wait for several times over.
"""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

NICENESS = 5  # where running streams want all cores, a third of one's time goes to such work
TURN_S = 0.0005  # of such work with the interpreter, as soon as another thread asks for it


def gently(work: Callable[[], T]) -> T:
    """The result of `work`, done at a lower priority while this thread waits; what it raises is raised.

    One at a time: how often threads take turns is told to the interpreter as a whole.
    """
    done: Future[T] = Future()

    def run() -> None:
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        try:
            done.set_result(work())
        except BaseException as error:  # the edge of a thread: raised by whoever waits
            done.set_exception(error)

    thread = threading.Thread(target=run, name="pennyweight-gentle", daemon=True)
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(min(TURN_S, usual_s))
    try:
        thread.start()
        thread.join()
    finally:
        sys.setswitchinterval(usual_s)
    return done.result()
