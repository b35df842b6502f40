"""Which objects an answer kept under its `Idempotency-Key` tells of. Those kept before end within a day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "idempotent_objects",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "key", "object_id", name="pk_idempotent_objects"),
        sa.ForeignKeyConstraint(
            ["project_id", "key"],
            ["idempotent_answers.project_id", "idempotent_answers.key"],
            name="fk_idempotent_objects_project_id_key_idempotent_answers",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_idempotent_objects_object_id", "idempotent_objects", ["object_id"])
