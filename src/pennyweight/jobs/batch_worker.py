"""Runs batches beside a server: a thread with an event loop of its own, so that no stream waits for a batch.

What it does is in the database; it may be killed at any moment, and whoever comes next goes on.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pennyweight.errors import PennyweightError, UnavailableError
from pennyweight.jobs.batch_run import BatchRun
from pennyweight.store.batch_work import BatchWork, LeaseLostError
from pennyweight.store.files import Files
from pennyweight.store.identifiers import new_id

if TYPE_CHECKING:
    from pennyweight.jobs.batch_run import Workshop
    from pennyweight.store.batch_work import BatchLease
    from pennyweight.store.batches import Batch

MAX_BATCHES: Final = 4
"""Batches under way at a time; they share the engine's places for lines."""
LEASE_S: Final = 30
_POLL_S: Final = 5.0  # for batches that another process made, or whose worker is gone
_EXPIRED_AT_ONCE: Final = 100
_log = logging.getLogger(__name__)


class BatchWorker:
    """`start` it once; `wake` it when there is news; `close` it before the engine."""

    def __init__(self, workshop: Workshop, *, alone: bool) -> None:
        """`alone`: no other process has this database, so a lease of before means nothing."""
        self._shop = workshop
        self._alone = alone
        self._owner = new_id("worker_")
        self._work = BatchWork()
        self._files = Files()
        self._runs: dict[str, BatchRun] = {}
        self._stopping = False
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="pennyweight-batches", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()

    def wake(self) -> None:
        """A batch was made or is to be cancelled. From any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: the server is about to end
                self._loop.call_soon_threadsafe(self._look)

    def close(self) -> None:
        """Stop at once; lines under way are left for the next start. Harmless twice."""
        self._stopping = True
        self.wake()
        self._thread.join()

    def _look(self) -> None:
        self._news.set()
        for run in self._runs.values():
            run.look()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception:  # the edge of the thread
            _log.exception("batches have stopped")
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready.set()
        if self._alone:
            await self._shop.database.write(self._work.forget_leases)
        tasks: set[asyncio.Task[None]] = set()
        while not self._stopping:
            self._news.clear()
            try:
                while len(tasks) < MAX_BATCHES and (claimed := await self._claim()) is not None:
                    task = asyncio.create_task(self._run_one(*claimed))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                await self._expire_files()
            except PennyweightError as error:  # a full disk, a database that is away: it may pass
                _log.warning("batches wait: %s", error.message)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), _POLL_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _claim(self) -> tuple[Batch, BatchLease] | None:
        now = int(time.time())
        if not await self._shop.database.read(lambda connection: self._work.waits(connection, now=now)):
            return None
        return await self._shop.database.write(
            lambda connection: self._work.claim(connection, owner=self._owner, now=now, lease_s=LEASE_S)
        )

    async def _run_one(self, batch: Batch, lease: BatchLease) -> None:
        run = self._runs[batch.id] = BatchRun(self._shop, batch, lease, lease_s=LEASE_S)
        try:
            await run.run()
        except LeaseLostError:
            _log.warning("batch %s was taken over by another worker", batch.id)
        except UnavailableError as error:  # the engine stops, or the database is away
            _log.warning("batch %s waits: %s", batch.id, error.message)
        except Exception:  # its lease runs out, and it is tried again
            _log.exception("batch %s was interrupted", batch.id)
        finally:
            del self._runs[batch.id]
            self._news.set()

    async def _expire_files(self) -> None:
        now, database = int(time.time()), self._shop.database
        if not await database.read(lambda connection: self._files.have_expired(connection, now=now)):
            return
        blobs = await database.write(
            lambda connection: self._files.expire(connection, now=now, limit=_EXPIRED_AT_ONCE)
        )
        for blob in blobs:
            await asyncio.to_thread(self._shop.blobs.collect, blob)
