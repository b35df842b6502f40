"""The first schema. One file per noun in `migrations/first/`; tables in the order their references need."""

from __future__ import annotations

from pennyweight.store.migrations.first import (
    batches,
    blobs,
    conversations,
    files,
    generations,
    keys,
    projects,
    usage,
)

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create everything."""
    projects.create()
    keys.create()
    usage.create()
    blobs.create()
    conversations.create()
    generations.create()
    files.create()
    batches.create()
