"""Usage: one row per request to a model, whatever ended it. No prompt and no answer is ever in it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, Text

from pennyweight.store.metadata import metadata

usage = Table(
    "usage",
    metadata,
    # SQLite keeps rows in the order of an INTEGER key, which is that of time: a report reads pages in a run.
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("request_id", Text, nullable=False, unique=True),  # written twice, it still counts once
    Column("ended_at", BigInteger, nullable=False),
    Column("project_id", Text, nullable=False),  # no foreign keys: usage outlives keys and projects
    Column("key_id", Text),
    Column("kind", Text, nullable=False),  # completions, embeddings or vector_stores
    Column("endpoint", Text, nullable=False),
    Column("model_asked", Text),  # null: no model of this server
    Column("model", Text),
    Column("batch", Boolean, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("accepted_prediction_tokens", BigInteger, nullable=False),
    Column("rejected_prediction_tokens", BigInteger, nullable=False),
    Column("queue_ms", BigInteger),  # null: it never left the queue
    Column("ttft_ms", BigInteger),  # null: there was no first token
    Column("total_ms", BigInteger, nullable=False),
    Column("cpu_us", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),  # completed, left, failed, limited or refused
    Column("status", Integer, nullable=False),
    Column("price", BigInteger, nullable=False),  # picodollars, 10**-12 US dollars
    Index("ix_usage_ended_at", "ended_at"),
)
