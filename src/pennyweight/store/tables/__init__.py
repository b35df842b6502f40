"""The tables, one file per noun. Whoever needs all of them (migrations, `verify`) imports this package."""

from pennyweight.store.tables import (
    blobs,
    conversations,
    generations,
    idempotent_answers,
    keys,
    projects,
    usage,
)

__all__ = [
    "blobs",
    "conversations",
    "generations",
    "idempotent_answers",
    "keys",
    "projects",
    "usage",
]
