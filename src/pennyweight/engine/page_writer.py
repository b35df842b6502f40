"""Writes spilled pages from a thread of its own, from copies: the engine never waits for the disk.

What waits to be written is bounded. A full or broken disk stops the writing with one line in the log; it is
tried again after a while, and answers go on all the time.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pennyweight.engine.page_folder import PageFolder
    from pennyweight.engine.page_label import PageLabel

log = logging.getLogger(__name__)

MAX_WAITING = 8
RETRY_S = 60.0


class PageWriter:
    """One thread, which ends with `close`. Used by the engine's thread."""

    def __init__(self, folder: PageFolder) -> None:
        self._folder = folder
        self._jobs: queue.Queue[tuple[PageLabel, bytes] | None] = queue.Queue(MAX_WAITING)
        self._stopped_s: float | None = None  # when writing failed last
        self._told = False
        self._thread = threading.Thread(target=self._run, name="pennyweight-spill", daemon=True)
        self._thread.start()

    @property
    def takes_more(self) -> bool:
        """Whether `put` would take a page now."""
        return not self._jobs.full() and self.is_writing

    @property
    def is_writing(self) -> bool:
        """False while the disk takes nothing."""
        return self._stopped_s is None or time.monotonic() >= self._stopped_s + RETRY_S

    def put(self, label: PageLabel, page: bytes, *, timeout_s: float = 0.0) -> bool:
        """Write a page soon; False if there was no room for it within `timeout_s`."""
        self._folder.promise(label)
        try:
            self._jobs.put((label, page), block=timeout_s > 0, timeout=timeout_s or None)
        except queue.Full:
            self._folder.forget(label)
            return False
        return True

    def close(self, *, timeout_s: float) -> None:
        """End when what waits is written; a disk that hangs is waited for no longer than `timeout_s`."""
        ends_s = time.monotonic() + timeout_s
        try:
            self._jobs.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(max(0.0, ends_s - time.monotonic()))

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            label, page = job
            if not self.is_writing:
                self._folder.forget(label)
                continue
            try:
                self._folder.write(label, page)
            except OSError as error:
                self._folder.forget(label)
                self._stop(error)
            else:
                self._stopped_s, self._told = None, False

    def _stop(self, error: OSError) -> None:
        self._stopped_s = time.monotonic()
        if not self._told:
            self._told = True
            log.warning("Prefixes are not spilled to disk for now: %s", error)
