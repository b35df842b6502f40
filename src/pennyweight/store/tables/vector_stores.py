"""Vector stores: their files, batches of them, and what is searched: chunks of text with their vectors.

`number` is how a row is named within the database (the text index knows nothing else); `id` is for people.
The text index over `chunks.words` is no table: see `store/text_index.py`.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, Table, Text

from pennyweight.store.metadata import metadata

vector_stores = Table(
    "vector_stores",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", Text, nullable=False),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("metadata", Text),  # a JSON object
    Column("created_at", BigInteger, nullable=False),
    Column("last_active_at", BigInteger, nullable=False),
    Column("expires_after_days", Integer),
    Column("expires_at", BigInteger),
    Column("deleted", Boolean, nullable=False),  # to be removed with what is in it, a portion at a time
    Index("ix_vector_stores_id", "id", unique=True),
    Index("ix_vector_stores_project_id_created_at_id", "project_id", "created_at", "id"),
    Index("ix_vector_stores_expires_at", "expires_at"),
)

vector_store_batches = Table(
    "vector_store_batches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("store_number", Integer, ForeignKey("vector_stores.number"), nullable=False),
    Column("cancelled", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("ix_vector_store_batches_store_number", "store_number"),
)

vector_store_files = Table(
    "vector_store_files",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", Text, nullable=False),  # the file's
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("store_number", Integer, ForeignKey("vector_stores.number"), nullable=False),
    Column("batch_id", Text, ForeignKey("vector_store_batches.id")),
    Column("state", Text, nullable=False),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("attributes", Text),  # a JSON object
    Column("max_chunk_tokens", Integer),  # null: as the encoder likes it
    Column("overlap_tokens", Integer),
    Column("created_at", BigInteger, nullable=False),
    Column("usage_bytes", BigInteger, nullable=False),
    Column("num_chunks", Integer, nullable=False),
    Column("num_words", BigInteger, nullable=False),
    Column("recipe", Text),  # what its chunks were made with: another one begins anew
    Column("attempt", Integer, nullable=False),
    Column("fence", BigInteger, nullable=False),  # grows with every lease: an outlived worker has an old one
    Column("lease_expires_at", BigInteger),
    Index("ix_vector_store_files_store_number_id", "store_number", "id"),
    Index("ix_vector_store_files_project_id_id", "project_id", "id"),
    Index("ix_vector_store_files_batch_id", "batch_id"),
    Index("ix_vector_store_files_state", "state"),
)

chunks = Table(
    "chunks",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("store_number", Integer, ForeignKey("vector_stores.number"), nullable=False),
    Column("file_number", Integer, ForeignKey("vector_store_files.number"), nullable=False),
    Column("place", Integer, nullable=False),  # within its file, from 0
    Column("text", Text, nullable=False),
    Column("words", Text, nullable=False),  # as the text index has them, a blank between two
    Column("num_words", Integer, nullable=False),
    Index("ix_chunks_file_number_place", "file_number", "place", unique=True),
)

chunk_vectors = Table(
    "chunk_vectors",
    metadata,
    Column("file_number", Integer, ForeignKey("vector_store_files.number"), primary_key=True),
    Column("first", Integer, primary_key=True, autoincrement=False),  # place of the first chunk
    Column("store_number", Integer, ForeignKey("vector_stores.number"), nullable=False),
    Column("encoder", Text, nullable=False),
    Column("num_vectors", Integer, nullable=False),
    Column("vectors", LargeBinary, nullable=False),  # Q8_0 blocks, a vector after the other
    Index("ix_chunk_vectors_store_number", "store_number"),
)
