"""The repository of the work on a job of fine-tuning that was claimed: its data, its steps, its end.

The model, the file of metrics, the usage and the last state are one transaction: half of them is never there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from pennyweight.store.blob import BlobUses
from pennyweight.store.files import Files
from pennyweight.store.identifiers import new_id
from pennyweight.store.tables.tuning import tuned_models
from pennyweight.store.tuned_models import StoredModels
from pennyweight.store.tuning_claims import TuningClaims, change
from pennyweight.store.tuning_events import TuningCheckpoint, TuningEvents
from pennyweight.store.tuning_job import (
    NewEvent,
    TuningState,
    training_input,
    validation_input,
)
from pennyweight.store.tuning_jobs import TuningJobs
from pennyweight.store.usage import UsageRows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from pennyweight.store.blob import Blob
    from pennyweight.store.files import StoredFile
    from pennyweight.store.tuned_models import StoredModel
    from pennyweight.store.tuning_claims import TuningLease
    from pennyweight.store.tuning_job import TuningJob
    from pennyweight.store.usage import UsageRow

KEPT_CHECKPOINTS: Final = 3
"""Models of epochs that a job leaves, the last of which is its result: as at OpenAI."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where training is. `cpu_us` of all attempts together; `estimated_finish` in seconds since 1970."""

    trained_tokens: int
    cpu_us: int
    estimated_finish: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """An adapter that was trained, its bytes, and how good it was at `step`."""

    model: StoredModel
    weights: Blob
    step: int
    metrics: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What training ends with: the model, and a file of what was measured at each step."""

    trained: TrainedModel
    metrics_file: StoredFile
    metrics_blob: Blob
    progress: Progress


class TuningWork:
    """`now` is in seconds since 1970. Every method raises LeaseLostError."""

    def __init__(self) -> None:
        self._claims = TuningClaims()
        self._events = TuningEvents()
        self._files = Files()
        self._jobs = TuningJobs()
        self._models = StoredModels()
        self._uses = BlobUses()
        self._usage = UsageRows()

    def inputs(self, connection: Connection, job: TuningJob) -> tuple[Blob, Blob | None]:
        """The bytes of the training and the validation file, which stay while the job is under way."""
        training = self._uses.of(connection, job.project_id, training_input(job.id))
        assert training is not None, "a job under way has its data"
        return training, self._uses.of(connection, job.project_id, validation_input(job.id))

    def begin(
        self,
        connection: Connection,
        lease: TuningLease,
        *,
        hyperparameters: Mapping[str, Any],
        num_steps: int,
        planned_tokens: int,
        events: Sequence[NewEvent],
        now: int,
    ) -> TuningJob:
        """The data is good, and what "auto" means is known. After an interruption nothing is told again."""
        job = self._claims.read(connection, lease)
        values: dict[str, Any] = {"state": TuningState.RUNNING}
        if job.begun_at is None:
            chosen = json.dumps(dict(hyperparameters))
            values |= {"begun_at": now, "hyperparameters": chosen, "num_steps": num_steps}
            values |= {"planned_tokens": planned_tokens}
            self._events.add(connection, job.id, events, now=now)
        change(connection, lease, values)
        return self._claims.read(connection, lease)

    def tell(
        self,
        connection: Connection,
        lease: TuningLease,
        events: Sequence[NewEvent],
        progress: Progress,
        *,
        now: int,
    ) -> None:
        """Steps that were done, and how far training is with them."""
        change(connection, lease, _values(progress))
        self._events.add(connection, lease.job_id, events, now=now)

    def add_checkpoint(
        self, connection: Connection, lease: TuningLease, trained: TrainedModel, *, now: int
    ) -> list[Blob]:
        """Serve the model of an epoch; an older one goes. What is returned goes to `BlobStore.collect`.

        Whoever does a step again changes nothing.
        """
        job = self._claims.read(connection, lease)
        if self._events.checkpoint_at(connection, job.id, trained.step) is not None:
            return []
        self._models.add(connection, trained.model, trained.weights)
        self._tell_checkpoint(connection, trained, now=now)
        return self._drop_old(connection, job, keep=KEPT_CHECKPOINTS)

    def succeed(
        self, connection: Connection, lease: TuningLease, result: Result, usage: UsageRow, *, now: int
    ) -> list[Blob]:
        """Enter the last state with all there is. What is returned goes to `BlobStore.collect`."""
        job = self._claims.read(connection, lease)
        trained = result.trained
        self._models.add(connection, trained.model, trained.weights)
        self._files.add(connection, result.metrics_file, result.metrics_blob)
        if self._events.checkpoint_at(connection, job.id, trained.step) is None:
            self._tell_checkpoint(connection, trained, now=now)
        unused = self._drop_old(connection, job, keep=KEPT_CHECKPOINTS - 1)
        values = {"fine_tuned_model": trained.model.name, "result_file_id": result.metrics_file.id}
        told = (
            NewEvent(message=f"New fine-tuned model created: {trained.model.name}"),
            NewEvent(message="The job has successfully completed"),
        )
        values |= _values(result.progress)
        return unused + self._end(connection, lease, job, TuningState.SUCCEEDED, values, told, usage, now=now)

    def fail(
        self,
        connection: Connection,
        lease: TuningLease,
        error: Mapping[str, Any],
        events: Sequence[NewEvent],
        usage: UsageRow,
        *,
        now: int,
    ) -> list[Blob]:
        """It cannot succeed; models of its epochs stay. What is returned goes to `BlobStore.collect`."""
        job = self._claims.read(connection, lease)
        values = {"error": json.dumps(dict(error))}
        return self._end(connection, lease, job, TuningState.FAILED, values, events, usage, now=now)

    def _end(
        self,
        connection: Connection,
        lease: TuningLease,
        job: TuningJob,
        state: TuningState,
        values: Mapping[str, Any],
        events: Sequence[NewEvent],
        usage: UsageRow,
        *,
        now: int,
    ) -> list[Blob]:
        ended = {"state": state, "ended_at": now, "estimated_finish": None}
        free = {"lease_owner": None, "lease_expires_at": None}
        change(connection, lease, {**values, **ended, **free})
        self._events.add(connection, job.id, events, now=now)
        self._usage.add(connection, [usage])
        return self._jobs.drop_inputs(connection, job.project_id, job.id)

    def _tell_checkpoint(self, connection: Connection, trained: TrainedModel, *, now: int) -> None:
        checkpoint = TuningCheckpoint(
            id=new_id("ftckpt_"),
            job_id=trained.model.job_id,
            step=trained.step,
            model=trained.model.name,
            metrics=trained.metrics,
            created_at=now,
        )
        self._events.add_checkpoint(connection, checkpoint)
        if trained.model.step is not None:
            message = f"Checkpoint created at step {trained.step}"
            self._events.add(connection, trained.model.job_id, [NewEvent(message=message)], now=now)

    def _drop_old(self, connection: Connection, job: TuningJob, *, keep: int) -> list[Blob]:
        """Checkpoints of earlier epochs, but for the last `keep`; their rows go with their models."""
        of = tuned_models.c
        own = (of.project_id == job.project_id) & (of.job_id == job.id) & of.step.is_not(None)
        steps = select(of.name, of.step).where(own).order_by(of.step.desc()).offset(keep)
        old = connection.execute(steps).all()
        self._events.drop_checkpoints(connection, job.id, [row.step for row in old])
        return self._models.drop(connection, job.project_id, [row.name for row in old])


def _values(progress: Progress) -> dict[str, Any]:
    return {
        "trained_tokens": progress.trained_tokens,
        "cpu_us": progress.cpu_us,
        "estimated_finish": progress.estimated_finish,
    }
