"""Jobs of fine-tuning in a store: made, claimed and ended without a trainer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pennyweight.store.files import Files, StoredFile
from pennyweight.store.identifiers import new_id
from pennyweight.store.pages import Cursor
from pennyweight.store.tuned_models import StoredModel
from pennyweight.store.tuning_claims import TuningClaims
from pennyweight.store.tuning_job import NewEvent, NewTuningJob, adapter_identity
from pennyweight.store.tuning_jobs import TuningJobs
from pennyweight.store.tuning_work import Progress, Result, TrainedModel, TuningWork
from pennyweight.store.usage import UsageRow
from tests.store.filled import NOW

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pennyweight.store.blob import Blob
    from pennyweight.store.tuning_claims import TuningLease
    from pennyweight.store.tuning_job import TuningJob

CONFIG = '{"r": 16}'
PROGRESS = Progress(trained_tokens=90, cpu_us=7, estimated_finish=None)


def new_job(*, project: str = "default", at: int = NOW, file_id: str = "file-a") -> NewTuningJob:
    return NewTuningJob(
        id=new_id("ftjob-"),
        project_id=project,
        key_id=None,
        model_asked="gpt-4o-mini",
        model="tiny",
        source="tiny.gguf",
        method="supervised",
        hyperparameters={"n_epochs": "auto"},
        training_file_id=file_id,
        validation_file_id=None,
        suffix="ü",
        seed=1,
        metadata={"a": "ü"},
        created_at=at,
    )


def begun_job(connection: Connection, new: NewTuningJob, blob: Blob) -> tuple[TuningJob, TuningLease]:
    """One that is being trained, and its data was good."""
    TuningJobs().add(connection, new, blob, None)
    claimed = TuningClaims().claim(connection, owner="w", now=new.created_at, lease_s=30, only=new.id)
    assert claimed is not None
    job, lease = claimed
    told = [NewEvent(message="ready", data={"total_steps": 6})]
    job = TuningWork().begin(
        connection,
        lease,
        hyperparameters={"n_epochs": 6},
        num_steps=6,
        planned_tokens=100,
        events=told,
        now=new.created_at,
    )
    return job, lease


def trained(job: TuningJob, blob: Blob, *, step: int, name: str | None = None) -> TrainedModel:
    """The model at `step`; with a `name`, the last one."""
    model = StoredModel(
        name=name or f"ft:{job.id}:{step}",
        project_id=job.project_id,
        job_id=job.id,
        base=job.model,
        identity=adapter_identity(CONFIG, blob.sha256),
        config=CONFIG,
        card="",
        step=None if name else step,
        created_at=NOW + step,
    )
    return TrainedModel(model=model, weights=blob, step=step, metrics={"step": step, "train_loss": 0.5})


def succeeded(connection: Connection, job: TuningJob, lease: TuningLease, blob: Blob) -> list[Blob]:
    """End a job well."""
    file = StoredFile(
        id=new_id("file-"),
        project_id=job.project_id,
        filename="step_metrics.csv",
        purpose="fine-tune-results",
        num_bytes=blob.num_bytes,
        created_at=NOW,
    )
    result = Result(
        trained=trained(job, blob, step=6, name=f"ft:{job.id}"),
        metrics_file=file,
        metrics_blob=blob,
        progress=PROGRESS,
    )
    return TuningWork().succeed(connection, lease, result, usage(job), now=NOW + 9)


def usage(job: TuningJob) -> UsageRow:
    return UsageRow(
        request_id=job.id,
        ended_at=NOW,
        project_id=job.project_id,
        kind="training",
        endpoint="/v1/fine_tuning/jobs",
        outcome="completed",
        status=200,
        model_asked=job.model_asked,
        model=job.model,
        prompt_tokens=90,
        price=3,
    )


def add_tuning(connection: Connection) -> None:
    """One job that is being trained and one that has succeeded, of the file that `fill` has added."""
    (file,) = Files().page(connection, "default", Cursor(limit=1), now=NOW).items
    blob = Files().content(connection, "default", file.id, now=NOW)[1]
    job, lease = begun_job(connection, new_job(file_id=file.id), blob)
    TuningWork().tell(connection, lease, [NewEvent(message="Step 1/6", step=1, data={})], PROGRESS, now=NOW)
    TuningWork().add_checkpoint(connection, lease, trained(job, blob, step=1), now=NOW)
    done, its = begun_job(connection, replace(new_job(file_id=file.id), suffix=None), blob)
    succeeded(connection, done, its, blob)
