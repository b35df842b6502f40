"""Reads spilled pages on a thread of its own and posts what it found to the engine."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pennyweight.engine.page_folder import PageFolder
    from pennyweight.engine.page_label import PageLabel

CLOSE_S = 1.0  # a disk that hangs is waited for no longer


@dataclass(frozen=True, slots=True, eq=False)
class ReadJob:
    """Pages to be read one behind the other; then, behind the last, the one that starts most like `run`."""

    labels: tuple[PageLabel, ...]
    run: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class PagesRead:
    """What came of a job, in `seconds`: its pages as far as they were there, then perhaps one for the run."""

    job: ReadJob
    pages: tuple[tuple[PageLabel, memoryview], ...]
    seconds: float


class PageReader:
    """One thread, which ends with `close`. `post` is called on it, once for every job."""

    def __init__(self, folder: PageFolder, post: Callable[[PagesRead], None]) -> None:
        self._folder = folder
        self._post: Callable[[PagesRead], None] | None = post
        self._jobs: queue.SimpleQueue[ReadJob | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="pennyweight-unspill", daemon=True)
        self._thread.start()

    def start(self, job: ReadJob) -> None:
        self._jobs.put(job)

    def close(self) -> None:
        """End the thread. What it still reads is posted to nobody."""
        self._post = None  # whoever listens is free to go
        self._jobs.put(None)
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            started_s = time.perf_counter()
            pages = self._pages(job)
            post = self._post
            if post is not None:
                post(PagesRead(job, tuple(pages), time.perf_counter() - started_s))
            del post, pages

    def _pages(self, job: ReadJob) -> list[tuple[PageLabel, memoryview]]:
        pages: list[tuple[PageLabel, memoryview]] = []
        for label in job.labels:
            page = self._folder.read(label)
            if page is None:
                return pages
            pages.append((label, page))
        tail = self._folder.read_longest(job.labels[-1], job.run) if job.run else None
        return pages if tail is None else [*pages, tail]
