"""Places where a test kills the process: after every durable write, before anybody is told of it.

`PENNYWEIGHT_FAILPOINT=NAME` kills (SIGKILL, as a power cut would) when the place is reached, `NAME@3` when it
is reached for the third time. Without the variable a failpoint does nothing.
"""

from __future__ import annotations

import os
import signal
from itertools import count

FAILPOINTS = (
    "backup.placed",  # a backup is durable and has its name
    "batch.added",
    "batch.begun",  # its input was checked
    "batch.cancelling",
    "batch.ended",  # with its files, but the blobs nobody uses any more are still there
    "batch.finalizing",
    "batch.lines",  # lines are answered, and their usage counted
    "blob.synced",  # a blob's bytes are durable, but have no name yet
    "blob.placed",  # a blob is durable under its name, but nothing uses it yet
    "blob.removed",
    "chat.deleted",
    "chat.kept",  # an answer is durable, its end not told
    "chat.labelled",
    "conversation.deleted",
    "conversation.grown",
    "conversation.labelled",
    "conversation.made",
    "conversation.shrunk",
    "chunks.completed",  # a file in a vector store is read
    "chunks.failed",  # or cannot be
    "chunks.removed",  # some of what left its store
    "chunks.stored",  # some of a file
    "database.committed",  # a group of writes is durable, nobody who waits was told
    "database.copied",  # the copy before a migration is durable
    "database.restored",  # a backup's database is durable in its new place
    "database.migrated",  # the new schema is durable
    "file.added",
    "file.deleted",  # but its bytes are still there
    "generation.claimed",
    "generation.ended",  # its end is durable, nobody was told
    "generation.events",
    "response.cancelled",
    "response.deleted",
    "response.kept",  # an answer is durable, its end not told
    "response.queued",
    "run.cancelled",
    "run.queued",  # made, or given what its tools found
    "vector_store.added",
    "vector_store.changed",
    "vector_store.deleted",  # but what is in it is still there
)
"""Every failpoint there is; a test proves each is reached."""

_VARIABLE = "PENNYWEIGHT_FAILPOINT"
_hits = {name: count(1) for name in FAILPOINTS}  # of this process, which ends with the last one counted


def failpoint(name: str) -> None:
    """Kill this process if `name` is the place it is to die at."""
    hit = next(_hits[name])  # KeyError: a failpoint that is not listed
    wanted = os.environ.get(_VARIABLE)
    if wanted is not None and wanted in (name, f"{name}@{hit}"):
        os.kill(os.getpid(), signal.SIGKILL)
