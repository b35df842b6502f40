"""One claimed job of fine-tuning from where it is to its end, or until it must stop.

The trainer says what happens, and it is written down here under the lease; whoever comes next goes on from
the trainer's last checkpoint.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pennyweight.errors import InsufficientQuotaError, ModelNotFoundError, PennyweightError, StorageFullError
from pennyweight.jobs.maker import Maker, maker_of
from pennyweight.jobs.step_keeper import StepKeeper
from pennyweight.jobs.trained_files import TrainedFiles
from pennyweight.jobs.training_account import TrainingAccount
from pennyweight.jobs.tuning_events import (
    checkpoint_metrics,
    chosen_hyperparameters,
    validated_events,
)
from pennyweight.jobs.tuning_failure import Failure, invalid, of_error, stopped_by, told_by_trainer
from pennyweight.jobs.work_folder import lay_folder
from pennyweight.models.local import resolve
from pennyweight.quota.training import training_left
from pennyweight.store.generation import LeaseLostError
from pennyweight.store.tuning_claims import TuningClaims
from pennyweight.store.tuning_job import TuningState
from pennyweight.store.tuning_jobs import TuningJobs
from pennyweight.store.tuning_work import TuningWork

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sqlalchemy import Connection

    from pennyweight.jobs.trainer_process import Trainer, TrainerProcess
    from pennyweight.quota.accounts import Accounts
    from pennyweight.store.blob import Blob
    from pennyweight.store.blobs import BlobStore
    from pennyweight.store.database import Database
    from pennyweight.store.tuning_claims import TuningLease
    from pennyweight.store.tuning_job import TuningJob

SCOPES: Final = ("api.fine_tuning.write",)
_TELL_S: Final = 0.5  # steps of so long are written together
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningShop:
    """What jobs are trained with. `plan` is laid under every job's own; `folder` has the work folders."""

    database: Database
    blobs: BlobStore
    accounts: Accounts
    trainer: Trainer
    folder: Path
    plan: Mapping[str, Any]
    lease_s: int = 30


class TrainerDiedError(PennyweightError):
    """The trainer ended without a word: killed, for one, because there was no memory left."""


class InputElsewhereError(PennyweightError):
    """The job was made at another server of the same database, whose folder has its data."""


class TuningRun:
    """Raises LeaseLostError, StorageFullError, UnavailableError, TrainerDiedError, InputElsewhereError.

    Whatever ends it, nothing is lost but what was trained since the last checkpoint.
    """

    def __init__(self, shop: TuningShop, job: TuningJob, lease: TuningLease) -> None:
        self._shop = shop
        self.job = job
        self._lease = lease
        self._claims = TuningClaims()
        self._work = TuningWork()
        self._files = TrainedFiles(shop.database, shop.blobs, job, lease)
        self._steps = StepKeeper(shop.database, job, lease)
        self._account = TrainingAccount(job, shop.accounts)
        self._folder = shop.folder / job.id
        self._ended = False
        self._metrics: dict[str, Any] = {"step": 0}  # of the latest checkpoint
        self._unused: list[Blob] = []
        self._news = asyncio.Event()

    def look(self) -> None:
        """Something may have changed: see whether the job is still ours."""
        self._news.set()

    async def run(self) -> None:
        """Until it ends, or somebody says so."""
        try:
            failure = await self._prepared()
            if failure is None:
                await self._train()
            else:
                await self.fail(failure)
        except LeaseLostError:
            await self._see_whether_cancelled()
            raise
        finally:
            self._account.close()
            for blob in self._unused:
                await asyncio.to_thread(self._shop.blobs.collect, blob)

    async def fail(self, failure: Failure, *, cpu_us: int = 0) -> None:
        """It has failed for good."""
        _log.info("fine-tuning %s failed: %s", self.job.id, failure.message)
        progress = self._steps.progress(cpu_us)
        usage = self._account.ended(progress, outcome=failure.outcome, status=failure.status)
        now = _now()
        self._unused += await self._shop.database.write(
            lambda c: self._work.fail(c, self._lease, failure.error, failure.events(), usage, now=now),
            at="tuning_job.failed",
        )
        self._ended = True

    async def _prepared(self) -> Failure | None:
        """Lay the folder, or tell why there is nothing to be trained."""
        maker = await self._shop.database.read(self._maker)
        if (stop := maker.stop("job", SCOPES)) is not None:
            return stopped_by(stop)
        try:
            plan = await self._plan(maker)
        except InsufficientQuotaError as error:
            return of_error(error)
        except ModelNotFoundError as error:
            return of_error(error, param="model")
        await asyncio.to_thread(lay_folder, self._shop.folder, self.job.id, plan)
        return None

    async def _plan(self, maker: Maker) -> dict[str, Any]:
        job, blobs, allowances = self.job, self._shop.blobs, maker.principal.allowances
        training, validation = await self._shop.database.read(lambda c: self._work.inputs(c, job))
        if not blobs.path(training).exists():
            raise InputElsewhereError(f"The data of '{job.id}' is not in this folder.")
        left = await self._shop.database.read(lambda c: training_left(c, allowances, now=_now(), but=job.id))
        return {
            **self._shop.plan,
            "model": str(resolve(job.source)),
            "method": job.method,
            "training_file": str(blobs.path(training)),
            "validation_file": None if validation is None else str(blobs.path(validation)),
            **job.hyperparameters,
            "seed": job.seed,
            "max_tokens": left,
        }

    async def _train(self) -> None:
        process = await self._shop.trainer.start(self._folder)
        keeper = asyncio.create_task(self._keep(process))
        try:
            async for event in process.events():
                await self._hear(event, process)
                if self._ended:
                    return
        finally:
            await process.stop()
            keeper.cancel()
            (kept,) = await asyncio.gather(keeper, return_exceptions=True)
            if not self._ended and not isinstance(kept, Exception):
                with suppress(PennyweightError):  # a full disk: these steps are told again
                    await self._steps.write(process.cpu_us())
        if isinstance(kept, Exception):
            raise kept
        raise TrainerDiedError(f"the trainer of {self.job.id} ended with {process.returncode}")

    async def _hear(self, event: Mapping[str, Any], process: TrainerProcess) -> None:
        name = event["event"]
        if name == "step":
            self._steps.add(event, self.job.num_steps)
            return
        await self._steps.write(process.cpu_us())
        match name:
            case "validated":
                await self._begin(event)
            case "checkpoint":
                await self._checkpoint(event)
            case "finished":
                await self._succeed(event, process)
            case "invalid":
                await self.fail(invalid(event), cpu_us=process.cpu_us())
            case "failed":
                await self.fail(told_by_trainer(event), cpu_us=process.cpu_us())

    async def _begin(self, event: Mapping[str, Any]) -> None:
        job, planned = self.job, int(event["planned_tokens"])
        maker = await self._shop.database.read(self._maker)

        def work(connection: Connection) -> TuningJob:
            left = training_left(connection, maker.principal.allowances, now=_now(), but=job.id)
            if left is not None and planned > left:
                message = f"This job would train {planned} tokens, and {left} are left this month."
                raise InsufficientQuotaError(message)
            return self._work.begin(
                connection,
                self._lease,
                hyperparameters=chosen_hyperparameters(job, event),
                num_steps=int(event["num_steps"]),
                planned_tokens=planned,
                events=list(validated_events(job, event)),
                now=_now(),
            )

        try:
            await self._account.reserve(maker.principal, planned)
            self.job = await self._shop.database.write(work, at="tuning_job.begun")
        except InsufficientQuotaError as error:
            await self.fail(of_error(error))

    async def _checkpoint(self, event: Mapping[str, Any]) -> None:
        """That of the last step is the job's result, and comes with its end."""
        self._metrics = checkpoint_metrics(event)
        step = int(event["step"])
        if not event.get("epoch_end") or step == self.job.num_steps:
            return
        folder, metrics = self._folder / str(event["folder"]), self._metrics
        with suppress(StorageFullError):  # it goes without, then
            self._unused += await asyncio.to_thread(self._files.keep_checkpoint, folder, step, metrics)

    async def _succeed(self, event: Mapping[str, Any], process: TrainerProcess) -> None:
        self._steps.tokens = int(event["trained_tokens"])
        progress = self._steps.progress(process.cpu_us() or round(1e6 * float(event.get("cpu_s", 0))))
        try:
            self._unused += await asyncio.to_thread(
                self._files.keep_result,
                self._folder / str(event["folder"]),
                self._folder / str(event["metrics_file"]),
                step=self.job.num_steps or int(self._metrics["step"]),
                metrics=self._metrics,
                progress=progress,
                usage=self._account.ended(progress, outcome="completed", status=200),
            )
        except StorageFullError as error:
            await self.fail(of_error(error), cpu_us=process.cpu_us())
        self._ended = True

    async def _keep(self, process: TrainerProcess) -> None:
        """Write down what was done, renew the lease in time, and stop the trainer when that is lost."""
        renewed = time.monotonic()
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_TELL_S):
                        await self._news.wait()
                looks = self._news.is_set()
                self._news.clear()
                try:
                    await self._steps.write(process.cpu_us())
                    if looks:
                        await self._shop.database.read(lambda c: self._claims.read(c, self._lease))
                    if time.monotonic() - renewed > self._shop.lease_s / 3:
                        await self._renew()
                        renewed = time.monotonic()
                except LeaseLostError:
                    raise
                except PennyweightError as error:  # a full disk: it may pass before the lease does
                    _log.warning("fine-tuning %s: %s", self.job.id, error.message)
        finally:
            await process.stop()

    async def _renew(self) -> None:
        lease, lease_s, now = self._lease, self._shop.lease_s, _now()
        await self._shop.database.write(
            lambda c: self._claims.renew(c, lease, now=now, lease_s=lease_s), at="tuning_job.renewed"
        )

    async def _see_whether_cancelled(self) -> None:
        own = self.job
        with suppress(PennyweightError):  # a database that is away: what was trained is not charged
            job = await self._shop.database.read(lambda c: TuningJobs().get(c, own.project_id, own.id))
            if job.state is TuningState.CANCELLED:
                self._account.cancelled(job.trained_tokens)

    def _maker(self, connection: Connection) -> Maker:
        return maker_of(connection, self.job.project_id, self.job.key_id)


def _now() -> int:
    return int(time.time())
