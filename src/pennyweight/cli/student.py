"""A student learns lessons: a job of fine-tuning in the data folder, and its worker for as long as it takes.

The work folder remembers the job, so that the same command goes on with it, and does not learn twice.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from pennyweight.answers.principal import LOCAL
from pennyweight.cli.terminal import notice
from pennyweight.errors import ConfigError, NotFoundError
from pennyweight.jobs.new_tuning_job import add_tuning_job
from pennyweight.jobs.trainer_process import Trainer
from pennyweight.jobs.tuning_run import TuningShop
from pennyweight.jobs.tuning_worker import TuningWorker
from pennyweight.jobs.work_folder import WORK_FOLDERS, machine_plan
from pennyweight.store.files import Files, StoredFile
from pennyweight.store.identifiers import new_id
from pennyweight.store.tuning_job import UNDER_WAY, NewTuningJob, TuningState
from pennyweight.store.tuning_jobs import TuningJobs

if TYPE_CHECKING:
    from pathlib import Path

    from pennyweight.config import Settings
    from pennyweight.server.services import Services
    from pennyweight.store.tuning_job import TuningJob

_GLANCE_S: Final = 0.5
_TOLD_S: Final = 30.0


def learn(
    settings: Settings,
    lessons: Path,
    *,
    model: str,
    source: str,
    suffix: str,
    seed: int,
    hyperparameters: dict[str, Any],
) -> str:
    """The name of what `model` (served so, and read from `source`) became.

    Raises ConfigError if it failed, TrainerMissingError, and what opening the data folder does.
    """
    from pennyweight.server.services import open_services

    trainer = Trainer.here()
    trainer.check()
    with open_services(settings) as services:
        memory = lessons.with_suffix(".job")
        job = _known(services, memory)
        if job is None:
            new = NewTuningJob(
                id=new_id("ftjob-"),
                project_id=LOCAL.project,
                key_id=None,
                model_asked=model,
                model=model,
                source=source,
                method="supervised",
                hyperparameters=hyperparameters,
                training_file_id=_uploaded(services, lessons),
                validation_file_id=None,
                suffix=suffix,
                seed=seed,
                metadata={},
                created_at=int(time.time()),
            )
            job = services.database.write_now(lambda c: add_tuning_job(c, new, ()), at="tuning_job.added")
            memory.write_text(job.id, encoding="utf-8")
        ended = _trained(services, settings, trainer, job)
    if ended.state is not TuningState.SUCCEEDED or ended.fine_tuned_model is None:
        told = (ended.error or {}).get("message", "no reason was given")
        raise ConfigError(f"the student has not learnt, its job {ended.id} is {ended.state}: {told}")
    return ended.fine_tuned_model


def _known(services: Services, memory: Path) -> TuningJob | None:
    """The job of an earlier run, unless it failed or is gone."""
    if not memory.exists():
        return None
    job_id = memory.read_text(encoding="utf-8")
    try:
        job = services.database.read_now(lambda c: TuningJobs().get(c, LOCAL.project, job_id))
    except NotFoundError:
        return None
    return job if job.state in (*UNDER_WAY, TuningState.SUCCEEDED) else None


def _uploaded(services: Services, lessons: Path) -> str:
    content = lessons.read_bytes()
    with services.blobs.receive(LOCAL.project, max_bytes=len(content)) as incoming:
        incoming.write(content)
        blob = incoming.finish()
        file = StoredFile(
            id=new_id("file-"),
            project_id=LOCAL.project,
            filename=lessons.name,
            purpose="fine-tune",
            num_bytes=blob.num_bytes,
            created_at=int(time.time()),
        )
        services.database.write_now(lambda c: Files().add(c, file, blob), at="file.added")
    return file.id


def _trained(services: Services, settings: Settings, trainer: Trainer, job: TuningJob) -> TuningJob:
    """The job at its end."""
    shop = TuningShop(
        database=services.database,
        blobs=services.blobs,
        accounts=services.accounts,
        trainer=trainer,
        folder=services.folder / WORK_FOLDERS,
        plan=machine_plan(settings),
    )
    alone = services.database.url.get_backend_name() == "sqlite"
    job_id = job.id
    with closing(TuningWorker(shop, alone=alone, only=job_id)) as worker:
        worker.start()
        told_s = time.monotonic()
        while job.state in UNDER_WAY:
            time.sleep(_GLANCE_S)
            job = services.database.read_now(lambda c: TuningJobs().get(c, LOCAL.project, job_id))
            if time.monotonic() - told_s > _TOLD_S:
                told_s = time.monotonic()
                notice(f"{job.id}: {job.trained_tokens:,} of {job.planned_tokens:,} tokens trained")
    return job
