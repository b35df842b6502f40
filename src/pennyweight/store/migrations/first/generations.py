"""Generations, their items and their events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

_STATE = (
    "state IN ('queued', 'in_progress', 'requires_action', 'completed', 'incomplete', 'failed', "
    "'cancelled', 'expired')"
)
_LEASE = "(state = 'in_progress') = (lease_expires_at IS NOT NULL)"
_ENDED = "(state IN ('queued', 'in_progress', 'requires_action')) = (ended_at IS NULL)"


def create() -> None:
    """Create the tables."""
    op.create_table("generations", *_columns(), *_references())
    listed = ["created_at", "id"]
    op.create_index(
        "ix_generations_project_id_kind_created_at_id", "generations", ["project_id", "kind", *listed]
    )
    op.create_index("ix_generations_state_kind_created_at_id", "generations", ["state", "kind", *listed])
    for column in ("parent_id", "ended_at", "expires_at", "conversation_id"):
        op.create_index(f"ix_generations_{column}", "generations", [column])
    _create_items()
    _create_events()


def _columns() -> list[sa.Column[object]]:
    return [
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.Text(), nullable=True),
        sa.Column("conversation_id", sa.Text(), nullable=True),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_expires_at", sa.BigInteger(), nullable=True),
    ]


def _references() -> list[sa.Constraint]:
    return [
        sa.PrimaryKeyConstraint("id", name="pk_generations"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_generations_project_id_projects"),
        sa.ForeignKeyConstraint(
            ["parent_id"],
            ["generations.id"],
            name="fk_generations_parent_id_generations",
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name="fk_generations_conversation_id_conversations",
            ondelete="SET NULL",
        ),
        sa.CheckConstraint(_STATE, name=op.f("ck_generations_state")),
        sa.CheckConstraint(_LEASE, name=op.f("ck_generations_lease")),
        sa.CheckConstraint(_ENDED, name=op.f("ck_generations_ended")),
    ]


def _create_items() -> None:
    op.create_table(
        "generation_items",
        sa.Column("generation_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("generation_id", "role", "position", name="pk_generation_items"),
        sa.ForeignKeyConstraint(
            ["generation_id"],
            ["generations.id"],
            name="fk_generation_items_generation_id_generations",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name="fk_generation_items_item_id_items"),
        sa.CheckConstraint("role IN ('input', 'output')", name=op.f("ck_generation_items_role")),
    )
    op.create_index("ix_generation_items_item_id", "generation_items", ["item_id"])


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("generation_id", sa.Text(), nullable=False),
        sa.Column("sequence_number", sa.BigInteger(), nullable=False),
        sa.Column("wire", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("generation_id", "sequence_number", name="pk_events"),
        sa.ForeignKeyConstraint(
            ["generation_id"],
            ["generations.id"],
            name="fk_events_generation_id_generations",
            ondelete="CASCADE",
        ),
    )
