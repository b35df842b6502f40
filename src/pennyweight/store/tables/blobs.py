"""Which blobs are in use, and by whom. A blob without a row here is rubbish, and swept away."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Table, Text

from pennyweight.store.metadata import metadata

blob_uses = Table(
    "blob_uses",
    metadata,
    Column("project_id", Text, ForeignKey("projects.id"), primary_key=True),
    Column("sha256", Text, primary_key=True),
    Column("owner_id", Text, primary_key=True),  # the file, for one, that has this content
    Column("num_bytes", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)
