"""What a job of fine-tuning is, by the names of OpenAI's states."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal

from pennyweight.store.text_map import read_text_map

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import RowMapping

Method = Literal["supervised", "dpo", "grpo"]
Level = Literal["info", "warn", "error"]


class TuningState(StrEnum):
    """OpenAI's six; the last three are ends. A job that is paused is queued."""

    VALIDATING_FILES = "validating_files"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


UNDER_WAY: Final = (TuningState.VALIDATING_FILES, TuningState.QUEUED, TuningState.RUNNING)
"""States that are no ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTuningJob:
    """What a job is made of. `model` is served by that name, and `source` is its file or installed name."""

    id: str
    project_id: str
    key_id: str | None
    model_asked: str
    model: str
    source: str
    method: Method
    hyperparameters: Mapping[str, Any]
    training_file_id: str
    validation_file_id: str | None
    suffix: str | None
    seed: int
    metadata: Mapping[str, str]
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningJob(NewTuningJob):
    """`hyperparameters` are numbers once the data was looked at, of which `num_steps` is None before.

    Times are in seconds since 1970. `error` has code, message and param.
    """

    state: TuningState
    paused_at: int | None
    begun_at: int | None
    ended_at: int | None
    estimated_finish: int | None
    num_steps: int | None
    planned_tokens: int
    trained_tokens: int
    cpu_us: int
    error: Mapping[str, Any] | None
    fine_tuned_model: str | None
    result_file_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """Something worth telling; with a `step`, its metrics, told once however often the step is done."""

    message: str
    level: Level = "info"
    step: int | None = None
    data: Mapping[str, Any] | None = None


def job_of(row: RowMapping) -> TuningJob:
    """A row as an object."""
    texts = ("state", "hyperparameters", "metadata", "error")
    left_out = (*texts, "num_failures", "claimed_at", "fence", "lease_owner", "lease_expires_at")
    return TuningJob(
        **{name: value for name, value in row.items() if name not in left_out},
        state=TuningState(row["state"]),
        hyperparameters=json.loads(row["hyperparameters"]),
        metadata=read_text_map(row["metadata"]),
        error=None if row["error"] is None else json.loads(row["error"]),
    )


def training_input(job_id: str) -> str:
    """Who has the bytes of the training file, for as long as the job is under way."""
    return f"{job_id}/training"


def validation_input(job_id: str) -> str:
    """Likewise of the validation file."""
    return f"{job_id}/validation"


def adapter_identity(config: str, weights_sha256: str) -> str:
    """What an adapter is, in hex: another one of the same name never passes for it."""
    return hashlib.sha256(f"{weights_sha256}\n{config}".encode()).hexdigest()
