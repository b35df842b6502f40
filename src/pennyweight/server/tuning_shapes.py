"""OpenAI's objects of fine-tuning (https://platform.openai.com/docs/api-reference/fine-tuning/object)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pennyweight.server.auth import ORGANIZATION
from pennyweight.store.tuning_job import UNDER_WAY, TuningState

if TYPE_CHECKING:
    from pennyweight.store.tuning_events import TuningCheckpoint, TuningEvent
    from pennyweight.store.tuning_job import TuningJob


def job_object(job: TuningJob) -> dict[str, Any]:
    """`hyperparameters` is the older place of those of the method `supervised`."""
    hyperparameters = dict(job.hyperparameters)
    failed = job.state is TuningState.FAILED
    return {
        "id": job.id,
        "object": "fine_tuning.job",
        "created_at": job.created_at,
        "finished_at": job.ended_at,
        "estimated_finish": job.estimated_finish,
        "model": job.model,
        "fine_tuned_model": job.fine_tuned_model,
        "organization_id": ORGANIZATION,
        "status": str(job.state),
        "hyperparameters": hyperparameters,
        "method": {"type": job.method, job.method: {"hyperparameters": hyperparameters}},
        "training_file": job.training_file_id,
        "validation_file": job.validation_file_id,
        "result_files": [] if job.result_file_id is None else [job.result_file_id],
        "trained_tokens": None if job.state in UNDER_WAY else job.trained_tokens,
        "error": dict(job.error) if failed and job.error else None,
        "seed": job.seed,
        "integrations": [],
        "metadata": dict(job.metadata),
    }


def event_object(event: TuningEvent) -> dict[str, Any]:
    """Steps are metrics, all else is a message."""
    return {
        "id": event.id,
        "object": "fine_tuning.job.event",
        "created_at": event.created_at,
        "level": event.level,
        "message": event.message,
        "type": "message" if event.step is None else "metrics",
        "data": dict(event.data),
    }


def checkpoint_object(checkpoint: TuningCheckpoint) -> dict[str, Any]:
    """A model of an epoch."""
    return {
        "id": checkpoint.id,
        "object": "fine_tuning.job.checkpoint",
        "created_at": checkpoint.created_at,
        "fine_tuned_model_checkpoint": checkpoint.model,
        "fine_tuning_job_id": checkpoint.job_id,
        "step_number": checkpoint.step,
        "metrics": dict(checkpoint.metrics),
    }
