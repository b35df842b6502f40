"""Chunks, their vectors, and the text index over their words."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

# The words come ready made: FTS5 must cut them nowhere else and change nothing.
_SQLITE = (
    """
    CREATE VIRTUAL TABLE chunk_index USING fts5(
        store_number, words, content='chunks', content_rowid='number', detail='column', columnsize=0,
        tokenize="unicode61 remove_diacritics 0 categories 'L* M* N* Co'")
    """,
    """
    CREATE TRIGGER chunk_index_added AFTER INSERT ON chunks BEGIN
        INSERT INTO chunk_index(rowid, store_number, words)
        VALUES (new.number, new.store_number, new.words);
    END
    """,
    """
    CREATE TRIGGER chunk_index_removed AFTER DELETE ON chunks BEGIN
        INSERT INTO chunk_index(chunk_index, rowid, store_number, words)
        VALUES ('delete', old.number, old.store_number, old.words);
    END
    """,
)
_POSTGRES = ("CREATE INDEX chunk_index ON chunks USING gin (array_to_tsvector(string_to_array(words, ' ')))",)


def create() -> None:
    """Create the tables and their indexes."""
    op.create_table(
        "chunks",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("store_number", sa.Integer(), nullable=False),
        sa.Column("file_number", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("num_words", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_chunks"),
        *_references("chunks"),
    )
    op.create_index("ix_chunks_file_number_place", "chunks", ["file_number", "place"], unique=True)
    op.create_table(
        "chunk_vectors",
        sa.Column("file_number", sa.Integer(), nullable=False),
        sa.Column("first", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("store_number", sa.Integer(), nullable=False),
        sa.Column("encoder", sa.Text(), nullable=False),
        sa.Column("num_vectors", sa.Integer(), nullable=False),
        sa.Column("vectors", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("file_number", "first", name="pk_chunk_vectors"),
        *_references("chunk_vectors"),
    )
    op.create_index("ix_chunk_vectors_store_number", "chunk_vectors", ["store_number"])
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRES:
        op.execute(statement)


def _references(table: str) -> list[sa.ForeignKeyConstraint]:
    return [
        sa.ForeignKeyConstraint(
            ["store_number"], ["vector_stores.number"], name=f"fk_{table}_store_number_vector_stores"
        ),
        sa.ForeignKeyConstraint(
            ["file_number"], ["vector_store_files.number"], name=f"fk_{table}_file_number_vector_store_files"
        ),
    ]
