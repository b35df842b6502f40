"""Batches, and one row for each of their lines that has been answered."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, Table, Text

from pennyweight.store.metadata import metadata

batches = Table(
    "batches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("key_id", Text),  # whose it is, for usage
    Column("endpoint", Text, nullable=False),
    Column("model", Text),  # null: not validated yet
    Column("input_file_id", Text, nullable=False),  # may be gone; the batch has a use of its blob of its own
    Column("output_file_id", Text),
    Column("error_file_id", Text),
    Column("state", Text, nullable=False),
    Column("errors", Text),  # a JSON array
    Column("metadata", Text),  # a JSON object
    Column("output_expires_after", BigInteger),  # seconds; null: never
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("in_progress_at", BigInteger),
    Column("finalizing_at", BigInteger),
    Column("completed_at", BigInteger),
    Column("failed_at", BigInteger),
    Column("expired_at", BigInteger),
    Column("cancelling_at", BigInteger),
    Column("cancelled_at", BigInteger),
    Column("num_lines", Integer, nullable=False),
    Column("num_completed", Integer, nullable=False),
    Column("num_failed", Integer, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("num_failures", Integer, nullable=False),  # of a worker, not of a line: it is tried a few times
    Column("claimed_at", BigInteger),  # when it had its last turn
    Column("fence", BigInteger, nullable=False),  # grows with every lease: an outlived worker has an old one
    Column("lease_owner", Text),
    Column("lease_expires_at", BigInteger),
    Index("ix_batches_project_id_created_at_id", "project_id", "created_at", "id"),
    Index("ix_batches_project_id_claimed_at", "project_id", "claimed_at"),
    Index("ix_batches_state_created_at", "state", "created_at"),
)

batch_lines = Table(
    "batch_lines",
    metadata,
    Column("batch_id", Text, ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("succeeded", Boolean, nullable=False),
    Column("result", LargeBinary, nullable=False),  # the line of the output or the error file
)
