"""Vector stores: files count their chunks right, every chunk has its vector, and the text index its words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from pennyweight.store.tables.vector_stores import chunk_vectors, chunks, vector_store_files
from pennyweight.store.text_index import TextIndex
from pennyweight.store.vector_store import FileState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.store.checks.check import Finding, Scope

_STATES = frozenset(FileState)


def check_vector_stores(scope: Scope) -> Iterator[Finding]:
    """A file that is leaving may have lost some of its chunks already."""
    connection, own = scope.connection, chunks.c
    counted = select(own.file_number, func.count(), func.sum(own.num_words), func.max(own.place))
    stored = {row[0]: row for row in connection.execute(counted.group_by(own.file_number))}
    runs = select(chunk_vectors.c.file_number, func.sum(chunk_vectors.c.num_vectors))
    rows = connection.execute(runs.group_by(chunk_vectors.c.file_number))
    vectors = {row[0]: row[1] for row in rows}
    for file in connection.execute(select(vector_store_files)).mappings():
        name = f"{file['id']} in vector store {file['store_number']}"
        if file["state"] not in _STATES:
            yield f"{name} is in an unknown state, {file['state']!r}"
        elif file["state"] in (FileState.COMPLETED, FileState.IN_PROGRESS):
            _, num_chunks, num_words, last = stored.get(file["number"], (0, 0, 0, -1))
            if (file["num_chunks"], file["num_words"]) != (num_chunks, num_words):
                counts = f"{file['num_chunks']} chunks of {file['num_words']} words"
                yield f"{name} counts {counts}, has {num_chunks} of {num_words}"
            if last != num_chunks - 1:
                yield f"{name} has gaps between its chunks"
            if vectors.get(file["number"], num_chunks) != num_chunks:
                yield f"{name} has {vectors[file['number']]} vectors for {num_chunks} chunks"
    num_chunks = connection.execute(select(func.count()).select_from(chunks)).scalar_one()
    if (num_indexed := TextIndex().num_indexed(connection)) not in (None, num_chunks):
        yield f"the text index has {num_indexed} chunks, there are {num_chunks}"
