"""Projects, with the one that everything belongs to while there are no keys."""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op


def create() -> None:
    """Create the table and the default project."""
    projects = op.create_table(
        "projects",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("archived_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
    )
    now = int(time.time())
    op.bulk_insert(projects, [{"id": "default", "name": "Default project", "created_at": now}])
