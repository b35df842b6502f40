"""Runs: generations that answer a thread, in steps."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, ForeignKey, Index, Table, Text

from pennyweight.store.metadata import metadata

runs = Table(
    "runs",
    metadata,
    Column("id", Text, ForeignKey("generations.id", ondelete="CASCADE"), primary_key=True),
    Column("thread_id", Text, ForeignKey("threads.id", ondelete="CASCADE"), nullable=False),
    Column("position", BigInteger, nullable=False),  # among the thread's runs, as they were made
    Column("expires_at", BigInteger, nullable=False),  # it waits no longer, for a worker or for tools
    Column("streams", Boolean, nullable=False),  # somebody follows it: its events are kept
    Index("ix_runs_thread_id_position", "thread_id", "position", unique=True),
    Index("ix_runs_expires_at", "expires_at"),
)

run_steps = Table(
    "run_steps",
    metadata,
    Column("id", Text, primary_key=True),
    Column("run_id", Text, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("details", Text, nullable=False),  # the JSON text of the wire's `step_details`
    Column("usage", Text),  # a JSON object of token counts
    Column("created_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    CheckConstraint(
        "state IN ('in_progress', 'completed', 'cancelled', 'failed', 'expired')",
        name="state",
    ),
    CheckConstraint("(state = 'in_progress') = (ended_at IS NULL)", name="ended"),
    Index("ix_run_steps_run_id_position", "run_id", "position", unique=True),
)
