"""Jobs of fine-tuning, what they told on the way, and the models they made."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, Table, Text

from pennyweight.store.metadata import metadata

tuning_jobs = Table(
    "tuning_jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("key_id", Text),  # whose it is, for usage
    Column("state", Text, nullable=False),
    Column("paused_at", BigInteger),  # null: it may go on
    Column("model_asked", Text, nullable=False),  # what its names begin with
    Column("model", Text, nullable=False),  # what is trained, by the name it is served by
    Column("source", Text, nullable=False),  # its file or installed name
    Column("method", Text, nullable=False),  # supervised, dpo or grpo
    Column("hyperparameters", Text, nullable=False),  # a JSON object; "auto" until the data was looked at
    Column("training_file_id", Text, nullable=False),  # may be gone; the job has a use of its blob of its own
    Column("validation_file_id", Text),
    Column("suffix", Text),
    Column("seed", BigInteger, nullable=False),
    Column("metadata", Text, nullable=False),  # see text_map
    Column("created_at", BigInteger, nullable=False),
    Column("begun_at", BigInteger),  # when its data was found good
    Column("ended_at", BigInteger),
    Column("estimated_finish", BigInteger),
    Column("num_steps", Integer),  # null: not known yet
    Column("planned_tokens", BigInteger, nullable=False),  # that will be trained; 0: not known yet
    Column("trained_tokens", BigInteger, nullable=False),
    Column("cpu_us", BigInteger, nullable=False),
    Column("error", Text),  # a JSON object with code, message, param
    Column("fine_tuned_model", Text),  # a name, which may be gone
    Column("result_file_id", Text),
    Column("num_failures", Integer, nullable=False),  # of a worker: it is tried a few times
    Column("claimed_at", BigInteger),  # when it had its last turn
    Column("fence", BigInteger, nullable=False),  # grows with every lease: an outlived worker has an old one
    Column("lease_owner", Text),
    Column("lease_expires_at", BigInteger),
    CheckConstraint(
        "state IN ('validating_files', 'queued', 'running', 'succeeded', 'failed', 'cancelled')", name="state"
    ),
    CheckConstraint("(state IN ('succeeded', 'failed', 'cancelled')) = (ended_at IS NOT NULL)", name="ended"),
    Index("ix_tuning_jobs_project_id_created_at_id", "project_id", "created_at", "id"),
    Index("ix_tuning_jobs_state_created_at", "state", "created_at"),
)

tuning_events = Table(
    "tuning_events",
    metadata,
    Column("id", Text, primary_key=True),
    Column("job_id", Text, ForeignKey("tuning_jobs.id", ondelete="CASCADE"), nullable=False),
    Column("position", BigInteger, nullable=False),  # the order in which they were told
    Column("step", BigInteger),  # of training; null: a message. A step done again is told once
    Column("level", Text, nullable=False),  # info, warn or error
    Column("message", Text, nullable=False),
    Column("data", Text),  # a JSON object
    Column("created_at", BigInteger, nullable=False),
    Index("ix_tuning_events_job_id_position", "job_id", "position", unique=True),
    Index("ix_tuning_events_job_id_step", "job_id", "step", unique=True),
)

tuned_models = Table(
    "tuned_models",
    metadata,
    Column("name", Text, primary_key=True),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("job_id", Text, nullable=False),  # which may be gone
    Column("base", Text, nullable=False),  # the name its base is served by
    Column("identity", Text, nullable=False),  # of its weights and its configuration
    Column("config", Text, nullable=False),  # adapter_config.json
    Column("card", Text, nullable=False),  # README.md
    Column("step", BigInteger),  # null: the end of training
    Column("created_at", BigInteger, nullable=False),
    Index("ix_tuned_models_project_id_created_at_name", "project_id", "created_at", "name"),
    Index("ix_tuned_models_job_id", "job_id"),
    Index("ix_tuned_models_identity", "identity"),
)

tuning_checkpoints = Table(
    "tuning_checkpoints",
    metadata,
    Column("id", Text, primary_key=True),
    Column("job_id", Text, ForeignKey("tuning_jobs.id", ondelete="CASCADE"), nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("model", Text, nullable=False),  # its name, which may be gone
    Column("metrics", Text, nullable=False),  # a JSON object
    Column("created_at", BigInteger, nullable=False),
    Index("ix_tuning_checkpoints_job_id_step", "job_id", "step", unique=True),
)
