"""Vector stores. One file per noun in `migrations/retrieval/`."""

from __future__ import annotations

from pennyweight.store.migrations.retrieval import chunks, vector_stores

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create everything."""
    vector_stores.create()
    chunks.create()
