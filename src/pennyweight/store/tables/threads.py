"""Threads: conversations that runs answer. Their messages are items of the conversation."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Table, Text

from pennyweight.store.metadata import metadata

threads = Table(
    "threads",
    metadata,
    Column("id", Text, ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True),
    Column("tool_resources", Text, nullable=False),  # a JSON object
)

thread_messages = Table(
    "thread_messages",
    metadata,
    Column("id", Text, ForeignKey("items.id", ondelete="CASCADE"), primary_key=True),
    Column("run_id", Text),  # the run that wrote it, which may be gone; null: a person did
    Column("metadata", Text, nullable=False),  # see text_map; beside the item, which is never changed
    Index("ix_thread_messages_run_id", "run_id"),
)
