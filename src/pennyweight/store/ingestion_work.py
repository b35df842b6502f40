"""The repository of the work on vector stores: which file is whose to read, and the chunks that come of it.

Chunks are stored in portions, each with its vectors, in one transaction that names the lease's fence: whoever
goes on after a crash begins behind the last portion, and what an outlived worker still writes finds no file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, insert, or_, select, update

from pennyweight.store.blob import BlobUses
from pennyweight.store.generation import LeaseLostError
from pennyweight.store.tables.files import files as uploaded
from pennyweight.store.tables.vector_stores import chunk_vectors, chunks
from pennyweight.store.tables.vector_stores import vector_store_files as table
from pennyweight.store.vector_store import FileState
from pennyweight.store.vector_store_files import store_file_columns, store_file_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from sqlalchemy import ColumnElement, Connection

    from pennyweight.store.blob import Blob
    from pennyweight.store.vector_store import StaticChunking, StoreFile

MAX_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLease:
    """The right to work on one file until `expires_at`; `attempt` counts from 1."""

    number: int
    fence: int
    attempt: int
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileWork:
    """A file to be read."""

    file: StoreFile
    filename: str
    blob: Blob
    lease: FileLease


@dataclass(frozen=True, slots=True, kw_only=True)
class NewChunk:
    """`words` as the text index has them, a blank between two."""

    text: str
    words: str
    num_words: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """Chunks that follow those stored, and their vectors, made by `encoder`; none without one."""

    chunks: Sequence[NewChunk]
    encoder: str | None
    vectors: bytes


class IngestionWork:
    """`now` is in seconds since 1970. Workers come here for files of every project."""

    def waits(self, connection: Connection, *, now: int) -> bool:
        """Whether there is something to claim."""
        return connection.execute(select(table.c.id).where(_is_free(now)).limit(1)).one_or_none() is not None

    def claim(self, connection: Connection, *, now: int, lease_s: int) -> FileWork | None:
        """The file that waits longest, or whose worker is gone; None if nothing does."""
        row = connection.execute(
            select(table.c.number, table.c.fence, table.c.attempt)
            .where(_is_free(now))
            .order_by(table.c.created_at, table.c.number)
            .limit(1)
            .with_for_update(skip_locked=True)
        ).one_or_none()
        if row is None:
            return None
        lease = FileLease(
            number=row.number, fence=row.fence + 1, attempt=row.attempt + 1, expires_at=now + lease_s
        )
        values = {"fence": lease.fence, "attempt": lease.attempt, "lease_expires_at": lease.expires_at}
        connection.execute(update(table).where(table.c.number == row.number).values(**values))
        file = store_file_of(connection.execute(store_file_columns().where(_mine(lease))).one())
        blob = BlobUses().of(connection, file.project_id, file.id)
        assert blob is not None, "a file leaves its stores when it is deleted"
        name = connection.execute(select(uploaded.c.filename).where(uploaded.c.id == file.id)).scalar_one()
        return FileWork(file=file, filename=name, blob=blob, lease=lease)

    def forget_leases(self, connection: Connection) -> None:
        """Nobody works on anything: for the one process of a data folder, when it starts."""
        connection.execute(update(table).values(lease_expires_at=None))

    def renew(self, connection: Connection, lease: FileLease, *, now: int, lease_s: int) -> FileLease:
        """The same lease for longer. Raises LeaseLostError."""
        self._change(connection, lease, {"lease_expires_at": now + lease_s})
        return replace(lease, expires_at=now + lease_s)

    def give_back(self, connection: Connection, lease: FileLease, *, again_at: int) -> None:
        """It cannot be read now, for no fault of its own. Raises LeaseLostError."""
        values = {"attempt": lease.attempt - 1, "lease_expires_at": again_at}
        self._change(connection, lease, values)

    def begin(self, connection: Connection, lease: FileLease, *, recipe: str, sizes: StaticChunking) -> int:
        """How many chunks are there already, made by `recipe`; others are removed. Raises LeaseLostError.

        `sizes` are written down: from now on people see them.
        """
        wanted = select(table.c.recipe, table.c.num_chunks).where(_mine(lease))
        row = connection.execute(wanted).one_or_none()
        if row is None:
            raise _lost(lease)
        if row.recipe == recipe:
            return int(row.num_chunks)
        for part in (chunk_vectors, chunks):
            connection.execute(delete(part).where(part.c.file_number == lease.number))
        nothing = {"num_chunks": 0, "num_words": 0, "usage_bytes": 0}
        chosen = {"max_chunk_tokens": sizes.max_tokens, "overlap_tokens": sizes.overlap_tokens}
        self._change(connection, lease, {"recipe": recipe, **nothing, **chosen})
        return 0

    def add(self, connection: Connection, file: StoreFile, lease: FileLease, portion: Portion) -> None:
        """Store chunks behind those that are there. Raises LeaseLostError."""
        own = {"store_number": file.store_number, "file_number": file.number}
        first = connection.execute(select(table.c.num_chunks).where(table.c.number == file.number)).scalar()
        num_bytes = len(portion.vectors) + sum(len(chunk.text.encode()) for chunk in portion.chunks)
        self._change(
            connection,
            lease,
            {
                "num_chunks": table.c.num_chunks + len(portion.chunks),
                "num_words": table.c.num_words + sum(chunk.num_words for chunk in portion.chunks),
                "usage_bytes": table.c.usage_bytes + num_bytes,
            },
        )
        assert first is not None
        rows = [
            {**own, "place": place, "text": chunk.text, "words": chunk.words, "num_words": chunk.num_words}
            for place, chunk in enumerate(portion.chunks, first)
        ]
        connection.execute(insert(chunks), rows)
        if portion.encoder is not None:
            vectors = {"encoder": portion.encoder, "num_vectors": len(rows), "vectors": portion.vectors}
            connection.execute(insert(chunk_vectors).values(**own, **vectors, first=first))

    def complete(self, connection: Connection, lease: FileLease) -> None:
        """All its chunks are there. Raises LeaseLostError."""
        self._change(connection, lease, {"state": FileState.COMPLETED, "lease_expires_at": None})

    def fail(self, connection: Connection, lease: FileLease, *, code: str, message: str) -> None:
        """It cannot be read; what there is of it is removed by `Removal`. Raises LeaseLostError."""
        values = {"state": FileState.FAILED, "error_code": code, "error_message": message}
        self._change(connection, lease, {**values, "lease_expires_at": None})

    def _change(self, connection: Connection, lease: FileLease, values: dict[str, Any]) -> None:
        if connection.execute(update(table).where(_mine(lease)).values(**values)).rowcount == 0:
            raise _lost(lease)


def _is_free(now: int) -> ColumnElement[bool]:
    free = or_(table.c.lease_expires_at.is_(None), table.c.lease_expires_at <= now)
    return (table.c.state == FileState.IN_PROGRESS) & free


def _mine(lease: FileLease) -> ColumnElement[bool]:
    return (table.c.number == lease.number) & (table.c.fence == lease.fence)


def _lost(lease: FileLease) -> LeaseLostError:
    return LeaseLostError(f"File {lease.number} was taken out of its store, or by another worker.")
