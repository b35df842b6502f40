"""Where tests kill real processes: every failpoint is in one of these lists, and each list has its test."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

BATCHES: Final = (
    "file.added",
    "file.deleted",
    "blob.synced",
    "blob.placed",
    "blob.removed",
    "batch.added",
    "batch.leases_forgotten",
    "batch.claimed",
    "batch.begun",
    "batch.renewed",
    "batch.lines",
    "batch.cancelling",
    "batch.finalizing",
    "batch.ended",
    "file.expired",
)
BATCHES_IN_TROUBLE: Final = ("batch.put_down", "batch.failure_counted", "batch.given_up")
OFFLINE: Final = (
    "offline.begun",
    "offline.answered",
    "offline.failed_lines_placed",
    "offline.placed",
    "offline.ended",
)
ANSWERS: Final = (
    "chat.kept",
    "chat.labelled",
    "chat.deleted",
    "response.kept",
    "response.deleted",
    "response.queued",
    "response.cancelled",
    "conversation.made",
    "conversation.grown",
    "conversation.labelled",
    "conversation.shrunk",
    "conversation.deleted",
    "generation.claimed",
    "generation.events",
    "generation.expired",  # after one of the two before
    "generation.ended",
)
ANSWERS_IN_TROUBLE: Final = ("generation.renewed", "generation.released", "generation.set_aside")
ASSISTANTS: Final = (
    "assistant.made",
    "assistant.changed",
    "assistant.deleted",
    "thread.made",
    "thread.changed",
    "thread.deleted",
    "message.added",
    "message.labelled",
    "message.deleted",
    "run.queued",
    "run.labelled",
    "run.cancelled",
    "run.expired",
)
RETRIEVAL: Final = (
    "vector_store.added",
    "vector_store.changed",
    "vector_store.deleted",
    "vector_store_file.added",
    "vector_store_file.changed",
    "vector_store_file.removed",
    "vector_store_batch.added",
    "vector_store_batch.cancelled",
    "chunks.leases_forgotten",
    "chunks.claimed",
    "chunks.begun",
    "chunks.stored",
    "chunks.completed",
    "chunks.failed",
    "chunks.removed",
)
RETRIEVAL_RARELY: Final = ("chunks.renewed", "chunks.given_back", "chunks.tidied", "vector_store.used")
OFFICE: Final = (
    "admin_key.issued",
    "admin_key.revoked",
    "key.issued",
    "key.changed",
    "key.revoked",
    "key.used",
    "project.made",
    "project.renamed",
    "project.archived",
    "rate_limit.set",
    "spend_limit.set",
    "spend_limit.lifted",
    "service_account.made",
    "service_account.changed",
    "service_account.deleted",
    "idempotent_answer.kept",
    "spending.counted",
    "usage.written",
)
TUNING: Final = (
    "tuning_job.leases_forgotten",
    "tuning_job.added",
    "tuning_job.claimed",
    "tuning_job.begun",
    "tuning_job.stepped",
    "tuning_job.checkpointed",
    "tuning_job.succeeded",
    "tuning_job.failed",
    "tuning_job.cancelled",
    "tuning_job.paused",
    "tuning_job.resumed",
    "tuning_job.failure_counted",
    "tuned_model.deleted",
)
TUNING_RARELY: Final = ("tuning_job.renewed", "tuning_job.put_down")
RETENTION: Final = (
    "events.forgotten",
    "generations.forgotten",
    "idempotent_answers.forgotten",
    "tuning_jobs.forgotten",
    "usage.forgotten",
)
PROGRAMS: Final = (
    "backup.placed",
    "database.committed",
    "database.copied",
    "database.migrated",
    "database.restored",
)
POSTGRESQL: Final = ("backup.filled", "database.filled")

_PARTS: Final = 3


def of_today(places: Sequence[str]) -> tuple[str, ...]:
    """A third of `places`, another one every day; all of them with CRASH_POINTS=all, as `make crash` has it.

    Each is a server's start and takes a second or two.
    """
    if os.environ.get("CRASH_POINTS") == "all":
        return tuple(places)
    today = datetime.now(UTC).toordinal() % _PARTS
    return tuple(place for number, place in enumerate(places) if number % _PARTS == today)
