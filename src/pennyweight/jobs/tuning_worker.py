"""Runs jobs of fine-tuning beside a server, with a process for each trainer.

What it does is in the database and in the work folders; it may be killed at any moment, and whoever comes
next goes on from the last checkpoint. Without what trains, jobs are left to others.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pennyweight.errors import PennyweightError, StorageFullError, UnavailableError
from pennyweight.jobs.trainer_process import FolderBusyError
from pennyweight.jobs.tuning_failure import defect
from pennyweight.jobs.tuning_run import InputElsewhereError, TuningRun
from pennyweight.jobs.work_folder import sweep_folders
from pennyweight.jobs.worker_thread import WorkerThread
from pennyweight.store.generation import LeaseLostError
from pennyweight.store.identifiers import new_id
from pennyweight.store.tuning_claims import TuningClaims

if TYPE_CHECKING:
    from pennyweight.jobs.trainer_process import Trainer
    from pennyweight.jobs.tuning_run import TuningShop
    from pennyweight.store.tuning_claims import TuningLease
    from pennyweight.store.tuning_job import TuningJob

MAX_FAILURES: Final = 5
"""Of a job's trainer or worker, by whatever nobody expected; then the job has failed."""
_POLL_S: Final = 5.0  # for jobs that another process made, or whose worker is gone
_log = logging.getLogger(__name__)


class TuningWorker(WorkerThread):
    """To be closed before the store. Trainers stop with a checkpoint then; jobs go on at the next start."""

    def __init__(self, shop: TuningShop, *, alone: bool, at_once: int = 1, only: str | None = None) -> None:
        """`alone`: no other process has this database, so a lease of before means nothing.

        `at_once` jobs are trained at a time; `only` one, if it is named.
        """
        super().__init__("tuning", subject="jobs of fine-tuning", poll_s=_POLL_S)
        self._shop = shop
        self._alone = self._leases_are_stale = alone
        self._at_once = at_once
        self._only = only
        self._owner = new_id("worker_")
        self._claims = TuningClaims()
        self._runs: set[TuningRun] = set()
        self._elsewhere: set[str] = set()  # jobs whose data another server has

    @property
    def trainer(self) -> Trainer:
        """What trains."""
        return self._shop.trainer

    def _look(self) -> None:
        super()._look()
        for run in self._runs:
            run.look()

    async def _round(self) -> None:
        await self._forget_stale_leases()
        await self._sweep()
        while len(self._tasks) < self._at_once and (claimed := await self._claim()) is not None:
            job, lease = claimed
            run = TuningRun(self._shop, job, lease)
            self._runs.add(run)  # before the next claim, which leaves those of this worker alone
            self._begin(self._run_one(run, lease))

    async def _forget_stale_leases(self) -> None:
        if self._leases_are_stale:
            await self._shop.database.write(self._claims.forget_leases, at="tuning_job.leases_forgotten")
            self._leases_are_stale = False

    async def _sweep(self) -> None:
        """Work folders of jobs that have ended, by whatever hand."""
        under_way = await self._shop.database.read(self._claims.under_way)
        own = {run.job.id for run in self._runs}
        await asyncio.to_thread(sweep_folders, self._shop.folder, under_way | own)

    async def _claim(self) -> tuple[TuningJob, TuningLease] | None:
        if self._shop.trainer.lacking:
            return None
        now, database = int(time.time()), self._shop.database
        # Nor its own: a full disk may have kept a lease from being renewed, and its training goes on.
        but = (*self._elsewhere, *(run.job.id for run in self._runs))
        if not await database.read(lambda c: self._claims.waits(c, now=now, but=but, only=self._only)):
            return None
        return await database.write(
            lambda c: self._claims.claim(
                c, owner=self._owner, now=now, lease_s=self._shop.lease_s, but=but, only=self._only
            ),
            at="tuning_job.claimed",
        )

    async def _run_one(self, run: TuningRun, lease: TuningLease) -> None:
        job = run.job
        try:
            await run.run()
        except asyncio.CancelledError:  # the server stops
            await self._put_down(lease)
            raise
        except LeaseLostError:
            _log.info("fine-tuning %s was cancelled, paused or taken over", job.id)
        except (UnavailableError, StorageFullError, FolderBusyError) as error:
            _log.warning("fine-tuning %s waits: %s", job.id, error.message)
        except Exception as error:  # the trainer was killed, or a defect of ours
            if isinstance(error, InputElsewhereError) and not self._alone:
                self._elsewhere.add(job.id)
                await self._put_down(lease)
            else:
                _log.exception("fine-tuning %s was interrupted", job.id)
                await self._count_failure(run, lease)
        finally:
            self._runs.discard(run)
            self._news.set()

    async def _put_down(self, lease: TuningLease) -> None:
        with suppress(PennyweightError):  # it is left when the lease runs out, then
            await self._shop.database.write(
                lambda c: self._claims.put_down(c, lease), at="tuning_job.put_down"
            )

    async def _count_failure(self, run: TuningRun, lease: TuningLease) -> None:
        """Trying again may help; it is not done for ever."""
        try:
            failures = await self._shop.database.write(
                lambda c: self._claims.count_failure(c, lease), at="tuning_job.failure_counted"
            )
            if failures >= MAX_FAILURES:
                await run.fail(defect())
            else:
                await self._put_down(lease)
        except PennyweightError as error:
            _log.warning("fine-tuning %s waits: %s", lease.job_id, error.message)
