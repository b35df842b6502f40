"""Files: names for blobs, uploaded by people or written by jobs."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Table, Text

from pennyweight.store.metadata import metadata

files = Table(
    "files",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("filename", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("num_bytes", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),  # from then on it does not exist; null: until it is deleted
    Index("ix_files_project_id_created_at_id", "project_id", "created_at", "id"),
    Index("ix_files_expires_at", "expires_at"),
)
