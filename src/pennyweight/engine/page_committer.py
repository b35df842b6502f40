"""KV pages have their memory before they are written for the first time.

On a virtual machine the system takes milliseconds to find the memory of one page. A thread of the lowest
priority asks for it a few pages ahead, in the moments in which the steps leave a core idle.
"""

from __future__ import annotations

import os
import sys
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pennyweight.engine.pages import PagePool
    from pennyweight.engine.runner import StepDecoder

AHEAD_BYTES: Final = 2**25
"""Of pages beyond the highest one used: what a server with nothing to do holds more than it needs."""
MOST_AHEAD: Final = 32
"""Pages; about as many as short requests can begin within the time that their memory takes."""
_LOWEST_PRIORITY: Final = 19


class PageCommitter:
    """`commit_ahead` after pages were given out, from one thread; `close` it before the decoder goes."""

    def __init__(self, decoder: StepDecoder) -> None:
        self._decoder = decoder
        self._num_ahead = max(1, min(MOST_AHEAD, AHEAD_BYTES // decoder.page_bytes))
        self._pages: SimpleQueue[int | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="pennyweight-pages", daemon=True)
        self._thread.start()

    def commit_ahead(self, pool: PagePool) -> None:
        """Have the memory of what `pool` gives out next."""
        while (page := pool.next_to_commit(self._num_ahead)) is not None:
            self._pages.put(page)

    def close(self) -> None:
        """Commit no more."""
        self._pages.put(None)
        self._thread.join()

    def _run(self) -> None:
        if sys.platform == "linux":  # elsewhere a thread has no priority of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
        while (page := self._pages.get()) is not None:
            self._decoder.commit_page(page)
