"""Assistants: who answers a run, with which instructions and tools."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Table, Text

from pennyweight.store.metadata import metadata

assistants = Table(
    "assistants",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("settings", Text, nullable=False),  # a JSON object of the fields that people give
    Column("created_at", BigInteger, nullable=False),
    Index("ix_assistants_project_id_created_at_id", "project_id", "created_at", "id"),
)
