"""Runs batches beside a server.

What it does is in the database; it may be killed at any moment, and whoever comes next goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pennyweight.errors import PennyweightError, StorageFullError, UnavailableError
from pennyweight.jobs.batch_run import BatchRun, Bench, InputElsewhereError
from pennyweight.jobs.batch_turns import Turn, to_put_down
from pennyweight.jobs.line_places import LinePlaces
from pennyweight.jobs.line_runner import MAX_LINES
from pennyweight.jobs.lines_under_way import LinesUnderWay
from pennyweight.jobs.worker_thread import WorkerThread
from pennyweight.store.batch_claims import BatchClaims
from pennyweight.store.change_stamp import ChangeStamp
from pennyweight.store.files import Files
from pennyweight.store.generation import LeaseLostError
from pennyweight.store.identifiers import new_id

if TYPE_CHECKING:
    from pennyweight.jobs.batch_run import Workshop
    from pennyweight.store.batch_claims import BatchLease
    from pennyweight.store.batches import Batch

MAX_BATCHES: Final = 4
"""Batches under way at a time; they share the engine's places for lines."""
MAX_FAILURES: Final = 5
"""Of a batch's worker, by defects of ours; then the batch has failed."""
LEASE_S: Final = 30
_POLL_S: Final = 5.0  # for batches that another process made, or whose worker is gone
_EXPIRED_AT_ONCE: Final = 100
_log = logging.getLogger(__name__)


class BatchWorker(WorkerThread):
    """To be closed before the engine."""

    def __init__(self, workshop: Workshop, *, alone: bool) -> None:
        """`alone`: no other process has this database, so a lease of before means nothing."""
        super().__init__("batches", subject="batches", poll_s=_POLL_S)
        self._shop = workshop
        self._alone = self._leases_are_stale = alone
        self._owner = new_id("worker_")
        self._claims = BatchClaims()
        self._files = Files()
        self._stamp = ChangeStamp(workshop.database.url)
        self._under_way = LinesUnderWay(workshop.under_way)
        self._bench = Bench(
            stamp=self._stamp, places=LinePlaces(MAX_LINES), under_way=self._under_way, lease_s=LEASE_S
        )
        self._runs: set[BatchRun] = set()
        self._elsewhere: set[str] = set()  # batches whose input another server has

    def _look(self) -> None:
        super()._look()
        for run in self._runs:
            run.look()

    def _ended(self) -> None:
        self._stamp.close()
        self._under_way.close()

    async def _round(self) -> None:
        await self._forget_stale_leases()
        while len(self._tasks) < MAX_BATCHES and (claimed := await self._claim()) is not None:
            batch, lease = claimed
            run = BatchRun(self._shop, self._bench, batch, lease)
            self._runs.add(run)  # before the next claim, which leaves those of this worker alone
            self._begin(self._run_one(run, lease))
        if len(self._tasks) >= MAX_BATCHES:
            await self._take_turns()
        await self._expire_files()

    async def _forget_stale_leases(self) -> None:
        if self._leases_are_stale:
            await self._shop.database.write(self._claims.forget_leases, at="batch.leases_forgotten")
            self._leases_are_stale = False

    async def _claim(self) -> tuple[Batch, BatchLease] | None:
        now, database = int(time.time()), self._shop.database
        # Nor its own: a full disk may have kept a lease from being renewed, and its lines go on.
        but = (*self._elsewhere, *(run.batch.id for run in self._runs))
        if not await database.read(lambda connection: self._claims.waits(connection, now=now, but=but)):
            return None
        return await database.write(
            lambda connection: self._claims.claim(
                connection, owner=self._owner, now=now, lease_s=LEASE_S, but=but
            ),
            at="batch.claimed",
        )

    async def _take_turns(self) -> None:
        """If a project waits for another's batches, put one of them down; one at a time."""
        runs = {run.batch.id: run for run in self._runs}
        if any(run.is_put_down for run in runs.values()):
            return
        now, but = int(time.time()), tuple(self._elsewhere)
        loads = await self._shop.database.read(
            lambda connection: self._claims.loads(connection, now=now, but=but)
        )
        turns = [
            Turn(batch_id=batch_id, project_id=run.batch.project_id, seconds=time.monotonic() - run.begun_s)
            for batch_id, run in runs.items()
        ]
        if (batch_id := to_put_down(turns, loads)) is not None:
            runs[batch_id].put_down()

    async def _run_one(self, run: BatchRun, lease: BatchLease) -> None:
        batch = run.batch
        try:
            await run.run()
        except LeaseLostError:
            _log.warning("batch %s was taken over by another worker", batch.id)
        except (UnavailableError, StorageFullError) as error:  # the engine stops, the database is away
            _log.warning("batch %s waits: %s", batch.id, error.message)
        except Exception as error:  # a defect of ours; its lease runs out, and it is tried again
            if isinstance(error, InputElsewhereError) and not self._alone:
                await self._leave_to_others(lease)
            else:
                _log.exception("batch %s was interrupted", batch.id)
                await self._count_failure(run, lease)
        finally:
            self._runs.discard(run)
            self._news.set()

    async def _leave_to_others(self, lease: BatchLease) -> None:
        self._elsewhere.add(lease.batch_id)
        with suppress(PennyweightError):  # it is left when the lease runs out, then
            await self._shop.database.write(
                lambda connection: self._claims.put_down(connection, lease), at="batch.put_down"
            )

    async def _count_failure(self, run: BatchRun, lease: BatchLease) -> None:
        """Trying again may help; it is not done for ever."""
        database = self._shop.database
        try:
            failures = await database.write(
                lambda connection: self._claims.count_failure(connection, lease), at="batch.failure_counted"
            )
            if failures >= MAX_FAILURES:
                await run.give_up()
        except PennyweightError as error:
            _log.warning("batch %s waits: %s", lease.batch_id, error.message)

    async def _expire_files(self) -> None:
        now, database = int(time.time()), self._shop.database
        if not await database.read(lambda connection: self._files.have_expired(connection, now=now)):
            return
        blobs = await database.write(
            lambda connection: self._files.expire(connection, now=now, limit=_EXPIRED_AT_ONCE),
            at="file.expired",
        )
        for blob in blobs:
            await asyncio.to_thread(self._shop.blobs.collect, blob)
