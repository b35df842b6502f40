"""Items, as they came over the wire, and the conversations they stand in. A thread is a conversation."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Table, Text, text

from pennyweight.store.metadata import metadata

items = Table(
    "items",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("type", Text, nullable=False),  # message, function_call, function_call_output, ...
    Column("wire", Text, nullable=False),  # the JSON text as it was received or sent; never changed
    Column("created_at", BigInteger, nullable=False),
)

conversations = Table(
    "conversations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("metadata", Text, nullable=False),  # a JSON object of texts
    Column("created_at", BigInteger, nullable=False),
    # Of items, removed ones too: no place is given twice.
    Column("num_given", BigInteger, nullable=False, server_default=text("0")),
    Index("ix_conversations_project_id_created_at_id", "project_id", "created_at", "id"),
)

conversation_items = Table(
    "conversation_items",
    metadata,
    Column("conversation_id", Text, ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True),
    Column("position", BigInteger, primary_key=True),  # grows; the places of removed items stay empty
    Column("item_id", Text, ForeignKey("items.id"), nullable=False),
    Index("ix_conversation_items_item_id", "item_id"),
)
