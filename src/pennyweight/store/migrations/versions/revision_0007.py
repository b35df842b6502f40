"""Jobs of fine-tuning, their events and checkpoints, the models they made; tokens that may be trained."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_STATES = "state IN ('validating_files', 'queued', 'running', 'succeeded', 'failed', 'cancelled')"
_ENDED = "(state IN ('succeeded', 'failed', 'cancelled')) = (ended_at IS NOT NULL)"
_JOB_COLUMNS = (
    ("key_id", sa.Text, True),
    ("state", sa.Text, False),
    ("paused_at", sa.BigInteger, True),
    ("model_asked", sa.Text, False),
    ("model", sa.Text, False),
    ("source", sa.Text, False),
    ("method", sa.Text, False),
    ("hyperparameters", sa.Text, False),
    ("training_file_id", sa.Text, False),
    ("validation_file_id", sa.Text, True),
    ("suffix", sa.Text, True),
    ("seed", sa.BigInteger, False),
    ("metadata", sa.Text, False),
    ("created_at", sa.BigInteger, False),
    ("begun_at", sa.BigInteger, True),
    ("ended_at", sa.BigInteger, True),
    ("estimated_finish", sa.BigInteger, True),
    ("num_steps", sa.Integer, True),
    ("planned_tokens", sa.BigInteger, False),
    ("trained_tokens", sa.BigInteger, False),
    ("cpu_us", sa.BigInteger, False),
    ("error", sa.Text, True),
    ("fine_tuned_model", sa.Text, True),
    ("result_file_id", sa.Text, True),
    ("num_failures", sa.Integer, False),
    ("claimed_at", sa.BigInteger, True),
    ("fence", sa.BigInteger, False),
    ("lease_owner", sa.Text, True),
    ("lease_expires_at", sa.BigInteger, True),
)


def upgrade() -> None:
    """Create the tables; nobody's training was limited before."""
    _create_jobs()
    _create_events()
    _create_models()
    _create_checkpoints()
    op.add_column("allowances", sa.Column("training_tokens", sa.BigInteger(), nullable=True))


def _create_jobs() -> None:
    op.create_table(
        "tuning_jobs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        *(sa.Column(name, kind(), nullable=nullable) for name, kind, nullable in _JOB_COLUMNS),
        sa.PrimaryKeyConstraint("id", name="pk_tuning_jobs"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_tuning_jobs_project_id_projects"),
        sa.CheckConstraint(_STATES, name=op.f("ck_tuning_jobs_state")),
        sa.CheckConstraint(_ENDED, name=op.f("ck_tuning_jobs_ended")),
    )
    listed = ["project_id", "created_at", "id"]
    op.create_index("ix_tuning_jobs_project_id_created_at_id", "tuning_jobs", listed)
    op.create_index("ix_tuning_jobs_state_created_at", "tuning_jobs", ["state", "created_at"])


def _create_events() -> None:
    op.create_table(
        "tuning_events",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=True),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tuning_events"),
        _belongs("tuning_events"),
    )
    for column in ("position", "step"):
        name = f"ix_tuning_events_job_id_{column}"
        op.create_index(name, "tuning_events", ["job_id", column], unique=True)


def _create_models() -> None:
    op.create_table(
        "tuned_models",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("card", sa.Text(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_tuned_models"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_tuned_models_project_id_projects"),
    )
    listed = ["project_id", "created_at", "name"]
    op.create_index("ix_tuned_models_project_id_created_at_name", "tuned_models", listed)
    op.create_index("ix_tuned_models_job_id", "tuned_models", ["job_id"])
    op.create_index("ix_tuned_models_identity", "tuned_models", ["identity"])


def _create_checkpoints() -> None:
    op.create_table(
        "tuning_checkpoints",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("metrics", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tuning_checkpoints"),
        _belongs("tuning_checkpoints"),
    )
    stepped = ["job_id", "step"]
    op.create_index("ix_tuning_checkpoints_job_id_step", "tuning_checkpoints", stepped, unique=True)


def _belongs(table: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_job_id_tuning_jobs"
    return sa.ForeignKeyConstraint(["job_id"], ["tuning_jobs.id"], name=name, ondelete="CASCADE")
