"""A job trained in this process, or followed while a server trains it, until it ends or stops."""

from __future__ import annotations

import time
from contextlib import closing, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pennyweight.cli.tune_view import training_view
from pennyweight.jobs.trainer_process import Trainer
from pennyweight.jobs.tuning_run import TuningShop
from pennyweight.jobs.tuning_worker import TuningWorker
from pennyweight.jobs.work_folder import WORK_FOLDERS, machine_plan
from pennyweight.store.pages import Cursor
from pennyweight.store.tuning_job import UNDER_WAY

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from pennyweight.cli.tuning_desk import TuningDesk
    from pennyweight.config import Settings
    from pennyweight.store.tuning_job import TuningJob

_LOOK_S: Final = 0.2
_PORTION: Final = 100


def follow(desk: TuningDesk, settings: Settings, job_id: str) -> TuningJob:
    """The job, when it has ended or is paused. Shows what it tells meanwhile."""
    with training_view() as view, _working(desk, settings, job_id):
        cursor = Cursor(limit=_PORTION)
        while True:
            job = desk.job(job_id)
            while events := desk.events(job_id, cursor):
                for event in events:
                    view.show(event)
                cursor = replace(cursor, after=events[-1].id)
            if job.state not in UNDER_WAY or job.paused_at is not None:
                return job
            time.sleep(_LOOK_S)


def _working(desk: TuningDesk, settings: Settings, job_id: str) -> AbstractContextManager[object]:
    """A worker for this job alone, if nobody else trains it."""
    services = desk.services
    if services is None:
        return nullcontext()
    shop = TuningShop(
        database=services.database,
        blobs=services.blobs,
        accounts=services.accounts,
        trainer=Trainer.here(),
        folder=services.folder / WORK_FOLDERS,
        plan=machine_plan(settings),
    )
    alone = services.database.url.get_backend_name() == "sqlite"
    worker = TuningWorker(shop, alone=alone, only=job_id)
    worker.start()
    return closing(worker)
