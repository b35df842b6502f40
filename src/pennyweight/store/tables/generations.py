"""Generations: whatever produces an answer, be it a response, a stored chat, a batch's line or a run."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, Table, Text

from pennyweight.store.metadata import metadata

generations = Table(
    "generations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("kind", Text, nullable=False),  # response, chat_completion, run
    Column("state", Text, nullable=False),
    Column("key_id", Text),  # who pays for what a worker answers; null: nobody
    Column("model", Text, nullable=False),  # what answers
    Column("parent_id", Text, ForeignKey("generations.id", ondelete="SET NULL")),  # the one it continues
    Column("conversation_id", Text, ForeignKey("conversations.id", ondelete="SET NULL")),
    Column("metadata", Text, nullable=False),  # see text_map; before the long texts, which lists then skip
    Column("request", Text, nullable=False),  # the JSON text as received
    Column("result", Text),  # the JSON text of the final object
    Column("error", Text),  # a JSON object with code and message
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),  # of the latest attempt
    Column("ended_at", BigInteger),
    Column("expires_at", BigInteger),  # it is removed then; null: by retention alone
    Column("attempt", Integer, nullable=False),
    Column("fence", BigInteger, nullable=False),  # grows with every lease: an outlived worker has an old one
    Column("lease_owner", Text),
    Column("lease_expires_at", BigInteger),
    CheckConstraint(
        "state IN ('queued', 'in_progress', 'requires_action', 'completed', 'incomplete', 'failed', "
        "'cancelled', 'expired')",
        name="state",
    ),
    CheckConstraint("(state = 'in_progress') = (lease_expires_at IS NOT NULL)", name="lease"),
    CheckConstraint(
        "(state IN ('queued', 'in_progress', 'requires_action')) = (ended_at IS NULL)", name="ended"
    ),
    Index("ix_generations_project_id_kind_created_at_id", "project_id", "kind", "created_at", "id"),
    Index("ix_generations_state_kind_created_at_id", "state", "kind", "created_at", "id"),
    Index("ix_generations_parent_id", "parent_id"),
    Index("ix_generations_ended_at", "ended_at"),
    Index("ix_generations_expires_at", "expires_at"),
    Index("ix_generations_conversation_id", "conversation_id"),
)

generation_items = Table(
    "generation_items",
    metadata,
    Column("generation_id", Text, ForeignKey("generations.id", ondelete="CASCADE"), primary_key=True),
    Column("role", Text, primary_key=True),  # input or output
    Column("position", BigInteger, primary_key=True),
    Column("item_id", Text, ForeignKey("items.id"), nullable=False),
    CheckConstraint("role IN ('input', 'output')", name="role"),
    Index("ix_generation_items_item_id", "item_id"),
)

events = Table(
    "events",
    metadata,
    Column("generation_id", Text, ForeignKey("generations.id", ondelete="CASCADE"), primary_key=True),
    Column("sequence_number", BigInteger, primary_key=True),
    Column("wire", Text, nullable=False),  # the JSON text as it was sent
    Column("created_at", BigInteger, nullable=False),
)
