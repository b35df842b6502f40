"""Which blobs are in use."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def create() -> None:
    """Create the table."""
    op.create_table(
        "blob_uses",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("num_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "sha256", "owner_id", name="pk_blob_uses"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_blob_uses_project_id_projects"),
    )
