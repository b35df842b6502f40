"""Work beside a server: a thread with an event loop of its own, so that no stream waits for it.

Round after round it looks for what there is to do, at once when it is woken, else every few seconds for what
other processes left. A round that fails is made again: nothing it meets ends the thread.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pennyweight.errors import PennyweightError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_log = logging.getLogger(__name__)


class WorkerThread(ABC):
    """`start` it once; `wake` it when there is news; `close` it before what it works with."""

    def __init__(self, name: str, *, subject: str, poll_s: float) -> None:
        """`subject` is what waits, for the log, while rounds fail; `poll_s` the longest pause between two."""
        self._subject = subject
        self._poll_s = poll_s
        self._stopping = False
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name=f"pennyweight-{name}", daemon=True)

    def start(self) -> None:
        """Returns when it can be woken."""
        self._thread.start()
        self._ready.wait()

    def wake(self) -> None:
        """There may be something to do. From any thread."""
        self._call(self._look)

    def close(self) -> None:
        """Stop at once: what is under way is cancelled, and left for the next start. Harmless twice."""
        self._stopping = True
        self.wake()
        self._thread.join()

    @abstractmethod
    async def _round(self) -> None:
        """Begin what there is to do, by `_begin`."""

    def _look(self) -> None:
        """It was woken."""
        self._news.set()

    def _ended(self) -> None:  # noqa: B027  most have nothing to put away
        """The last thing the thread does."""

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _call(self, function: Callable[[], object]) -> None:
        """On the loop. From any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: the server is about to end
                self._loop.call_soon_threadsafe(function)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        finally:
            self._ended()
            self._ready.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready.set()
        while not self._stopping:
            self._news.clear()
            try:
                await self._round()
            except PennyweightError as error:  # a full disk, a database that is away: it may pass
                _log.warning("%s wait: %s", self._subject, error.message)
            except Exception:  # a defect of ours must not end what all of them depend on
                _log.exception("%s wait", self._subject)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), self._poll_s)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
