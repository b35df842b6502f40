"""Answers kept under their `Idempotency-Key`, and the objects they tell of: they go with those."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, ForeignKeyConstraint, Integer, LargeBinary, Table, Text

from pennyweight.store.metadata import metadata

idempotent_answers = Table(
    "idempotent_answers",
    metadata,
    Column("project_id", Text, ForeignKey("projects.id"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),  # SHA-256 of method, path and body, in hex
    Column("status", Integer, nullable=False),
    Column("headers", Text, nullable=False),  # JSON: a list of pairs
    Column("body", LargeBinary),  # null: it was too large to keep
    Column("num_bytes", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False, index=True),
)

idempotent_objects = Table(
    "idempotent_objects",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("object_id", Text, primary_key=True, index=True),
    ForeignKeyConstraint(
        ["project_id", "key"], ["idempotent_answers.project_id", "idempotent_answers.key"], ondelete="CASCADE"
    ),
)
