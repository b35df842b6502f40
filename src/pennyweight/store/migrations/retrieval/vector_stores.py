"""Vector stores, their files and batches."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def create() -> None:
    """Create the tables and their indexes."""
    op.create_table(
        "vector_stores",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("metadata", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_active_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_after_days", sa.Integer(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_vector_stores"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_vector_stores_project_id_projects"),
    )
    op.create_index("ix_vector_stores_id", "vector_stores", ["id"], unique=True)
    columns = ["project_id", "created_at", "id"]
    op.create_index("ix_vector_stores_project_id_created_at_id", "vector_stores", columns)
    op.create_index("ix_vector_stores_expires_at", "vector_stores", ["expires_at"])
    _create_batches()
    _create_files()


def _create_batches() -> None:
    op.create_table(
        "vector_store_batches",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("store_number", sa.Integer(), nullable=False),
        sa.Column("cancelled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_vector_store_batches"),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_vector_store_batches_project_id_projects"
        ),
        sa.ForeignKeyConstraint(
            ["store_number"],
            ["vector_stores.number"],
            name="fk_vector_store_batches_store_number_vector_stores",
        ),
    )
    op.create_index("ix_vector_store_batches_store_number", "vector_store_batches", ["store_number"])


def _create_files() -> None:
    op.create_table(
        "vector_store_files",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("store_number", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("attributes", sa.Text(), nullable=True),
        sa.Column("max_chunk_tokens", sa.Integer(), nullable=True),
        sa.Column("overlap_tokens", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("usage_bytes", sa.BigInteger(), nullable=False),
        sa.Column("num_chunks", sa.Integer(), nullable=False),
        sa.Column("num_words", sa.BigInteger(), nullable=False),
        sa.Column("recipe", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("lease_expires_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_vector_store_files"),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_vector_store_files_project_id_projects"
        ),
        sa.ForeignKeyConstraint(
            ["store_number"],
            ["vector_stores.number"],
            name="fk_vector_store_files_store_number_vector_stores",
        ),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["vector_store_batches.id"],
            name="fk_vector_store_files_batch_id_vector_store_batches",
        ),
    )
    for columns in (["store_number", "id"], ["project_id", "id"], ["batch_id"], ["state"]):
        op.create_index(f"ix_vector_store_files_{'_'.join(columns)}", "vector_store_files", columns)
