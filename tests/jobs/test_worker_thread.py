"""Rounds of a worker beside a server: woken, failed and made again, ended with what was under way."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from pennyweight.errors import StorageFullError
from pennyweight.jobs.worker_thread import WorkerThread

if TYPE_CHECKING:
    import pytest

PATIENCE_S = 30


class Worker(WorkerThread):
    """Counts its rounds; the first ones fail."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__("test", subject="tests", poll_s=3600)
        self.rounds = threading.Semaphore(0)
        self.begun = threading.Event()
        self.ends: list[str] = []
        self._failures = list(failures)

    async def _round(self) -> None:
        self.rounds.release()
        if self._failures:
            raise self._failures.pop(0)
        self._begin(self._wait())

    async def _wait(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ends.append("task")

    def _ended(self) -> None:
        self.ends.append("thread")


def test_a_round_that_fails_is_made_again(caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker(StorageFullError("full"), ZeroDivisionError("a defect"))
    worker.wake()  # before it was started: nothing happens
    worker.start()
    for _ in range(3):
        assert worker.rounds.acquire(timeout=PATIENCE_S)
        worker.wake()
    worker.close()
    assert "tests wait: full" in caplog.text
    assert "a defect" in caplog.text


def test_closing_cancels_what_is_under_way() -> None:
    worker = Worker()
    worker.start()
    assert worker.begun.wait(PATIENCE_S)
    worker.close()
    assert worker.ends == ["task", "thread"]
    worker.close()
    worker.wake()
    assert worker.ends == ["task", "thread"]
