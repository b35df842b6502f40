"""Projects: everything stored belongs to one."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Table, Text

from pennyweight.store.metadata import metadata

projects = Table(
    "projects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),  # seconds since 1970, as every time in the store
    Column("archived_at", BigInteger),
)
