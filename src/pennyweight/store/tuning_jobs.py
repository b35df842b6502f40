"""The repository of jobs of fine-tuning, as the people who made them see them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, func, insert, or_, select, update

from pennyweight.errors import InvalidRequestError, NotFoundError
from pennyweight.store.blob import BlobUses
from pennyweight.store.pages import page_of
from pennyweight.store.tables.tuning import tuned_models, tuning_jobs
from pennyweight.store.text_map import has_entry, write_text_map
from pennyweight.store.tuning_events import TuningEvents
from pennyweight.store.tuning_job import (
    UNDER_WAY,
    NewEvent,
    TuningJob,
    TuningState,
    job_of,
    training_input,
    validation_input,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from pennyweight.store.blob import Blob
    from pennyweight.store.pages import Cursor, Page
    from pennyweight.store.tuning_job import NewTuningJob

_of = tuning_jobs.c
_UNKNOWN_YET = ("planned_tokens", "trained_tokens", "cpu_us", "num_failures", "fence")


class TuningJobs:
    """Everything but the work itself, which is `TuningWork`'s."""

    def __init__(self) -> None:
        self._uses = BlobUses()
        self._events = TuningEvents()

    def add(self, connection: Connection, new: NewTuningJob, training: Blob, validation: Blob | None) -> None:
        """In the transaction that has read the files, whose bytes the job has from now on."""
        values: dict[str, Any] = {
            "id": new.id,
            "project_id": new.project_id,
            "key_id": new.key_id,
            "state": TuningState.VALIDATING_FILES,
            "model_asked": new.model_asked,
            "model": new.model,
            "source": new.source,
            "method": new.method,
            "hyperparameters": json.dumps(dict(new.hyperparameters)),
            "training_file_id": new.training_file_id,
            "validation_file_id": new.validation_file_id,
            "suffix": new.suffix,
            "seed": new.seed,
            "metadata": write_text_map(new.metadata),
            "created_at": new.created_at,
            **dict.fromkeys(_UNKNOWN_YET, 0),
        }
        connection.execute(insert(tuning_jobs).values(**values))
        self._uses.add(connection, training, owner_id=training_input(new.id), now=new.created_at)
        if validation is not None:
            self._uses.add(connection, validation, owner_id=validation_input(new.id), now=new.created_at)
        told = NewEvent(message=f"Created fine-tuning job: {new.id}")
        self._events.add(connection, new.id, [told], now=new.created_at)

    def get(self, connection: Connection, project_id: str, job_id: str) -> TuningJob:
        """Raises NotFoundError; another project's job is not there."""
        condition = (_of.project_id == project_id) & (_of.id == job_id)
        row = connection.execute(select(tuning_jobs).where(condition)).one_or_none()
        if row is None:
            raise NotFoundError(f"Could not find fine tune: {job_id:.80}", param="fine_tuning_job_id")
        return job_of(row._mapping)

    def page(
        self, connection: Connection, project_id: str, cursor: Cursor, *, metadata: Mapping[str, str]
    ) -> Page[TuningJob]:
        """One page of the project's jobs that have every entry of `metadata`."""
        wanted = select(tuning_jobs).where(_of.project_id == project_id)
        for name, value in metadata.items():
            wanted = wanted.where(has_entry(_of.metadata, name, value))
        return page_of(connection, wanted, tuning_jobs, cursor, lambda row: job_of(row._mapping))

    def cancel(
        self, connection: Connection, project_id: str, job_id: str, *, now: int
    ) -> tuple[TuningJob, list[Blob]]:
        """End it at once: whoever works on it loses its lease. What is returned goes to `BlobStore.collect`.

        Raises NotFoundError, InvalidRequestError for one that has ended.
        """
        self._under_way(connection, project_id, job_id, "cancel")
        values = {
            "state": TuningState.CANCELLED,
            "ended_at": now,
            "estimated_finish": None,
            "paused_at": None,
        }
        self._take_over(connection, job_id, values)
        self._events.add(connection, job_id, [NewEvent(message="The job was cancelled.")], now=now)
        blobs = self.drop_inputs(connection, project_id, job_id)
        return self.get(connection, project_id, job_id), blobs

    def pause(self, connection: Connection, project_id: str, job_id: str, *, now: int) -> TuningJob:
        """Leave it where its last checkpoint is; a second time changes nothing. Raises as `cancel`."""
        job = self._under_way(connection, project_id, job_id, "pause")
        if job.paused_at is None:
            values = {"paused_at": now, "estimated_finish": None, "state": _waiting(job)}
            self._take_over(connection, job_id, values)
            self._events.add(connection, job_id, [NewEvent(message="The job was paused.")], now=now)
        return self.get(connection, project_id, job_id)

    def resume(self, connection: Connection, project_id: str, job_id: str, *, now: int) -> TuningJob:
        """Go on; a job that is not paused stays as it is. Raises as `cancel`."""
        job = self._under_way(connection, project_id, job_id, "resume")
        if job.paused_at is not None:
            connection.execute(update(tuning_jobs).where(_of.id == job_id).values(paused_at=None))
            self._events.add(connection, job_id, [NewEvent(message="The job was resumed.")], now=now)
        return self.get(connection, project_id, job_id)

    def num_under_way(self, connection: Connection, project_id: str) -> int:
        """Jobs of the project that have not ended."""
        chosen = select(func.count()).where(_of.project_id == project_id, _of.state.in_(UNDER_WAY))
        return int(connection.execute(chosen).scalar_one())

    def tokens_used(self, connection: Connection, subject: str, *, since: int, but: str = "") -> int:
        """Trained by jobs of a key or a project that ended from `since` on, or that are under way.

        Of these counts what they will train. `but` is a job left aside.
        """
        planned = _of.ended_at.is_(None) & (_of.planned_tokens > _of.trained_tokens)
        counted = case((planned, _of.planned_tokens), else_=_of.trained_tokens)
        own = or_(_of.project_id == subject, _of.key_id == subject)
        recent = or_(_of.ended_at.is_(None), _of.ended_at >= since)
        chosen = select(func.coalesce(func.sum(counted), 0)).where(own, recent, _of.id != but)
        return int(connection.execute(chosen).scalar_one())

    def drop_inputs(self, connection: Connection, project_id: str, job_id: str) -> list[Blob]:
        """The job has ended. What is returned goes to `BlobStore.collect`."""
        owners = (training_input(job_id), validation_input(job_id))
        return [blob for owner in owners for blob in self._uses.drop(connection, project_id, owner)]

    def forget(self, connection: Connection, *, before: int, limit: int) -> int:
        """Delete up to `limit` jobs that ended before `before` and have no models left; how many."""
        has_models = select(tuned_models.c.name).where(tuned_models.c.job_id == _of.id).exists()
        old = select(_of.id).where(_of.ended_at < before, ~has_models).limit(limit)
        ids = list(connection.execute(old).scalars())
        if ids:
            connection.execute(tuning_jobs.delete().where(_of.id.in_(ids)))
        return len(ids)

    def _under_way(self, connection: Connection, project_id: str, job_id: str, verb: str) -> TuningJob:
        job = self.get(connection, project_id, job_id)
        if job.state not in UNDER_WAY:
            error = InvalidRequestError(f"Cannot {verb} a job with status '{job.state}'.", param="status")
            error.code = "invalid_job_state"
            raise error
        return job

    def _take_over(self, connection: Connection, job_id: str, values: dict[str, Any]) -> None:
        """Whoever works on it finds itself outlived."""
        free = {"lease_owner": None, "lease_expires_at": None, "fence": _of.fence + 1}
        connection.execute(update(tuning_jobs).where(_of.id == job_id).values(**values, **free))


def _waiting(job: TuningJob) -> TuningState:
    return TuningState.VALIDATING_FILES if job.begun_at is None else TuningState.QUEUED
