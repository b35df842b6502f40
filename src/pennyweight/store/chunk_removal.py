"""What left its store is removed: chunks, vectors, entries of the text index, a portion at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, exists, or_, select, update

from pennyweight.store.tables.vector_stores import (
    chunk_vectors,
    chunks,
    vector_store_batches,
    vector_store_files,
    vector_stores,
)
from pennyweight.store.vector_store import FileState
from pennyweight.store.vector_store_departures import leave

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

PORTION: Final = 200
_UNREAD: Final = (FileState.FAILED, FileState.CANCELLED)


class Removal:
    """Call `remove` until it has nothing more to do. Killed in between, whoever comes next goes on."""

    def waits(self, connection: Connection, *, now: int) -> bool:
        """Whether there is something to remove."""
        files, stores = vector_store_files.c, vector_stores.c
        gone = select(files.number).where(_has_rubbish()).limit(1)
        deleted = select(stores.number).where(stores.deleted).limit(1)
        expired = select(files.number).where(_in_expired(now), files.state != FileState.DELETING).limit(1)
        return any(connection.execute(some).first() is not None for some in (gone, deleted, expired))

    def remove(self, connection: Connection, *, now: int) -> int:
        """One portion; how many rows there were in it. 0: all is removed."""
        leave(connection, _in_expired(now))
        files = vector_store_files.c
        row = connection.execute(select(files.number, files.state).where(_has_rubbish()).limit(1)).first()
        if row is None:
            return self._remove_stores(connection)
        own = select(chunks.c.number).where(chunks.c.file_number == row.number).limit(PORTION)
        removed = connection.execute(delete(chunks).where(chunks.c.number.in_(own))).rowcount
        if removed < PORTION:
            connection.execute(delete(chunk_vectors).where(chunk_vectors.c.file_number == row.number))
            removed += self._end(connection, row.number, row.state)
        return removed

    def _end(self, connection: Connection, number: int, state: str) -> int:
        mine = vector_store_files.c.number == number
        if state == FileState.DELETING:
            return connection.execute(delete(vector_store_files).where(mine)).rowcount
        nothing = {"num_chunks": 0, "num_words": 0, "usage_bytes": 0}
        return connection.execute(update(vector_store_files).where(mine).values(**nothing)).rowcount

    def _remove_stores(self, connection: Connection) -> int:
        """Deleted ones; nothing is in them any more."""
        deleted = select(vector_stores.c.number).where(vector_stores.c.deleted)
        gone = list(connection.execute(deleted).scalars())
        if gone:
            inside = vector_store_batches.c.store_number.in_(gone)
            connection.execute(delete(vector_store_batches).where(inside))
            connection.execute(delete(vector_stores).where(vector_stores.c.number.in_(gone)))
        return len(gone)


def _has_rubbish() -> ColumnElement[bool]:
    files = vector_store_files.c
    return or_(
        files.state == FileState.DELETING,
        files.state.in_(_UNREAD) & (files.num_chunks > 0),
    )


def _in_expired(now: int) -> ColumnElement[bool]:
    stores = vector_stores.c
    own = (stores.number == vector_store_files.c.store_number) & (stores.expires_at <= now)
    return exists().select_from(vector_stores).where(own)
