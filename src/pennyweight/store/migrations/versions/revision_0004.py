"""Assistants, threads, runs and their steps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_STATES = "state IN ('in_progress', 'completed', 'cancelled', 'failed', 'expired')"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "assistants",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_assistants"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_assistants_project_id_projects"),
    )
    listed = ["project_id", "created_at", "id"]
    op.create_index("ix_assistants_project_id_created_at_id", "assistants", listed)
    _create_threads()
    _create_runs()
    _create_steps()


def _create_threads() -> None:
    op.create_table(
        "threads",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tool_resources", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_threads"),
        _belongs("threads", "id", "conversations"),
    )
    op.create_table(
        "thread_messages",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_thread_messages"),
        _belongs("thread_messages", "id", "items"),
    )
    op.create_index("ix_thread_messages_run_id", "thread_messages", ["run_id"])


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("streams", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        _belongs("runs", "id", "generations"),
        _belongs("runs", "thread_id", "threads"),
    )
    op.create_index("ix_runs_thread_id_position", "runs", ["thread_id", "position"], unique=True)
    op.create_index("ix_runs_expires_at", "runs", ["expires_at"])


def _create_steps() -> None:
    op.create_table(
        "run_steps",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("usage", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_run_steps"),
        _belongs("run_steps", "run_id", "runs"),
        sa.CheckConstraint(_STATES, name=op.f("ck_run_steps_state")),
        sa.CheckConstraint("(state = 'in_progress') = (ended_at IS NULL)", name=op.f("ck_run_steps_ended")),
    )
    op.create_index("ix_run_steps_run_id_position", "run_steps", ["run_id", "position"], unique=True)


def _belongs(table: str, column: str, owner: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_{column}_{owner}"
    return sa.ForeignKeyConstraint([column], [f"{owner}.id"], name=name, ondelete="CASCADE")
