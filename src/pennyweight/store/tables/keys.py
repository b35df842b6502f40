"""Service accounts and their keys; admin keys, which belong to no project; how much each may use."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, Table, Text

from pennyweight.store.metadata import metadata

service_accounts = Table(
    "service_accounts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),  # owner, member or none
    Column("created_at", BigInteger, nullable=False),
    Column("deleted_at", BigInteger),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, ForeignKey("projects.id")),  # null: an admin key
    Column("service_account_id", Text, ForeignKey("service_accounts.id"), index=True),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True),  # SHA-256 of the secret, in hex
    Column("redacted", Text, nullable=False),
    Column("scopes", Text, nullable=False),  # separated by spaces
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
    Index("ix_api_keys_project_id_created_at", "project_id", "created_at"),
)

allowances = Table(
    "allowances",
    metadata,
    Column("subject", Text, primary_key=True),  # the id of a key or of a project
    Column("requests_per_minute", Integer),
    Column("tokens_per_minute", Integer),
    Column("budget", BigInteger),  # picodollars, 10**-12 US dollars
    Column("budget_period", Text, nullable=False),  # month or total
    Column("training_tokens", BigInteger),  # a calendar month
)

spending = Table(
    "spending",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("period", Text, primary_key=True),  # 2026-11, or total
    Column("run", Text, primary_key=True),  # of a server, from start to end: each writes rows of its own
    Column("amount", BigInteger, nullable=False),  # picodollars
)
