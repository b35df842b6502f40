"""The tables, one file per noun.

Whoever needs all of them (migrations, backups, `verify`) takes `metadata`
from here, where it is complete.
"""

from pennyweight.store.metadata import metadata
from pennyweight.store.tables import (
    assistants,
    batches,
    blobs,
    conversations,
    files,
    generations,
    idempotent_answers,
    keys,
    projects,
    runs,
    threads,
    tuning,
    usage,
    vector_stores,
)

__all__ = [
    "assistants",
    "batches",
    "blobs",
    "conversations",
    "files",
    "generations",
    "idempotent_answers",
    "keys",
    "metadata",
    "projects",
    "runs",
    "threads",
    "tuning",
    "usage",
    "vector_stores",
]
