"""Places where a test kills the process: after every durable write, before anybody is told of it.

Every write to the database names its own (`Database.write(..., at=NAME)`), and so does every file that gets
its name, those of `penny batch run` too. `PENNYWEIGHT_FAILPOINT=NAME` kills (SIGKILL, as a power cut would)
when the place is reached, `NAME@3` when it is reached for the third time. Without the variable a failpoint
does nothing.
"""

from __future__ import annotations

import os
import signal
from itertools import count
from typing import Final

ANY_WRITE: Final = "database.committed"
"""Every group of writes passes it, besides the places that each of them names."""
FAILPOINTS: Final = (
    "admin_key.issued",
    "admin_key.revoked",
    "assistant.changed",
    "assistant.deleted",
    "assistant.made",
    "backup.filled",  # a backup of PostgreSQL has its rows
    "backup.placed",  # a backup is durable and has its name
    "batch.added",
    "batch.begun",  # its input was checked
    "batch.cancelling",
    "batch.claimed",
    "batch.ended",  # with its files, but the blobs nobody uses any more are still there
    "batch.failure_counted",  # a defect has interrupted it
    "batch.finalizing",
    "batch.given_up",  # without files
    "batch.leases_forgotten",  # those of the process before
    "batch.lines",  # lines are answered, and their usage counted
    "batch.put_down",  # others have their turn
    "batch.renewed",  # its lease
    "blob.placed",  # a blob is durable under its name, but nothing uses it yet
    "blob.removed",
    "blob.synced",  # a blob's bytes are durable, but have no name yet
    "chat.deleted",
    "chat.kept",  # an answer is durable, its end not told
    "chat.labelled",
    "chunks.begun",
    "chunks.claimed",
    "chunks.completed",  # a file in a vector store is read
    "chunks.failed",  # or cannot be
    "chunks.given_back",  # to be read later
    "chunks.leases_forgotten",
    "chunks.removed",  # some of what left its store
    "chunks.renewed",  # the lease of a file being read
    "chunks.stored",  # some of a file
    "chunks.tidied",  # what the text index kept of them
    "conversation.deleted",
    "conversation.grown",
    "conversation.labelled",
    "conversation.made",
    "conversation.shrunk",
    ANY_WRITE,
    "database.copied",  # the copy before a migration is durable
    "database.filled",  # a backup's rows are in PostgreSQL
    "database.migrated",  # the new schema is durable
    "database.restored",  # a backup's database is durable in its new place
    "events.forgotten",  # being too old, as the next ones
    "file.added",
    "file.deleted",  # but its bytes are still there
    "file.expired",
    "generation.claimed",
    "generation.ended",
    "generation.events",
    "generation.expired",  # a lease of the process before has
    "generation.released",  # to be answered after the next start
    "generation.renewed",
    "generation.set_aside",  # it could not be answered for now
    "generations.forgotten",
    "idempotent_answer.kept",
    "idempotent_answers.forgotten",
    "key.changed",
    "key.issued",
    "key.revoked",
    "key.used",
    "message.added",
    "message.deleted",
    "message.labelled",
    "offline.answered",  # a line of `penny batch run` is in its journal
    "offline.begun",  # that journal has its name
    "offline.ended",  # only the journal is left to be removed
    "offline.failed_lines_placed",  # the file of errors has its name
    "offline.placed",  # and so has the output
    "project.archived",
    "project.made",
    "project.renamed",
    "rate_limit.set",
    "response.cancelled",
    "response.deleted",
    "response.kept",  # an answer is durable, its end not told
    "response.queued",
    "run.cancelled",
    "run.expired",
    "run.labelled",
    "run.queued",  # made, or given what its tools found
    "service_account.changed",
    "service_account.deleted",
    "service_account.made",
    "spend_limit.lifted",
    "spend_limit.set",
    "spending.counted",
    "thread.changed",
    "thread.deleted",
    "thread.made",
    "tuned_model.deleted",  # but its bytes are still there
    "tuning_job.added",
    "tuning_job.begun",  # its data was found good
    "tuning_job.cancelled",
    "tuning_job.checkpointed",  # the model of an epoch is served
    "tuning_job.claimed",
    "tuning_job.failed",
    "tuning_job.failure_counted",  # a defect has interrupted it
    "tuning_job.leases_forgotten",  # those of the process before
    "tuning_job.paused",
    "tuning_job.put_down",  # to go on after the next start
    "tuning_job.renewed",  # its lease
    "tuning_job.resumed",
    "tuning_job.stepped",
    "tuning_job.succeeded",  # its model is served
    "tuning_jobs.forgotten",
    "usage.forgotten",
    "usage.written",
    "vector_store.added",
    "vector_store.changed",
    "vector_store.deleted",  # but what is in it is still there
    "vector_store.used",
    "vector_store_batch.added",
    "vector_store_batch.cancelled",
    "vector_store_file.added",
    "vector_store_file.changed",
    "vector_store_file.removed",  # but its chunks are still there
)
"""Every failpoint there is; tests kill a process at each."""

_VARIABLE = "PENNYWEIGHT_FAILPOINT"
_hits = {name: count(1) for name in FAILPOINTS}  # of this process, which ends with the last one counted


def failpoint(name: str) -> None:
    """Kill this process if `name` is the place it is to die at."""
    hit = next(_hits[name])  # KeyError: a failpoint that is not listed
    wanted = os.environ.get(_VARIABLE)
    if wanted is not None and wanted in (name, f"{name}@{hit}"):
        os.kill(os.getpid(), signal.SIGKILL)
