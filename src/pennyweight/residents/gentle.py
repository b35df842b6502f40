"""Work that leaves the cores to whoever else wants them, as far as the system can be told.

On Linux a thread has a priority of its own and hands it on to those it starts. A thread that has lowered it
cannot raise it again, so the work gets a thread that ends with it.
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

NICENESS = 5  # where running streams want all cores, a third of their time goes to such work


def gently(work: Callable[[], T]) -> T:
    """The result of `work`, done at a lower priority while this thread waits; what it raises is raised."""
    done: Future[T] = Future()

    def run() -> None:
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        try:
            done.set_result(work())
        except BaseException as error:  # the edge of a thread: raised by whoever waits
            done.set_exception(error)

    thread = threading.Thread(target=run, name="pennyweight-gentle", daemon=True)
    thread.start()
    thread.join()
    return done.result()
