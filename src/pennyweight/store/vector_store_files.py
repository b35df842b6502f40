"""The repository of files in vector stores, and of the batches they came in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update

from pennyweight.errors import NotFoundError
from pennyweight.store.files import Files
from pennyweight.store.pages import page_of
from pennyweight.store.tables.vector_stores import chunks, vector_store_batches, vector_stores
from pennyweight.store.tables.vector_stores import vector_store_files as table
from pennyweight.store.vector_store import FileState, StaticChunking, StoreBatch, StoreFile
from pennyweight.store.vector_store_departures import cancel, leave
from pennyweight.store.vector_stores import counts_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection, Row, Select

    from pennyweight.store.pages import Cursor, Page
    from pennyweight.store.vector_store import Attributes, NewStoreFile, VectorStore


class VectorStoreFiles:
    """Stores come from `VectorStores`, which says whose they are."""

    def add(
        self,
        connection: Connection,
        store: VectorStore,
        files: Sequence[NewStoreFile],
        *,
        now: int,
        batch_id: str | None = None,
    ) -> None:
        """Put files in, to be read by a worker; one that is there already is read anew.

        Raises NotFoundError for what is no file of the project.
        """
        for file in files:
            Files().get(connection, store.project_id, file.id, now=now)
            leave(connection, _named(store, file.id))
            row = {
                "id": file.id,
                "project_id": store.project_id,
                "store_number": store.number,
                "batch_id": batch_id,
                "state": FileState.IN_PROGRESS,
                "attributes": _json(file.attributes),
                "max_chunk_tokens": None if file.chunking is None else file.chunking.max_tokens,
                "overlap_tokens": None if file.chunking is None else file.chunking.overlap_tokens,
                "created_at": now,
                "usage_bytes": 0,
                "num_chunks": 0,
                "num_words": 0,
                "attempt": 0,
                "fence": 0,
            }
            connection.execute(insert(table).values(**row))

    def get(self, connection: Connection, store: VectorStore, file_id: str) -> StoreFile:
        """Raises NotFoundError."""
        row = connection.execute(store_file_columns().where(_named(store, file_id))).one_or_none()
        if row is None:
            message = f"No file found with id '{file_id:.80}' in vector store '{store.id}'."
            raise NotFoundError(message, param="file_id")
        return store_file_of(row)

    def page(
        self,
        connection: Connection,
        store: VectorStore,
        cursor: Cursor,
        *,
        state: FileState | None = None,
        batch_id: str | None = None,
    ) -> Page[StoreFile]:
        """One page of those in a state, or of a batch."""
        wanted = store_file_columns().where(_inside(store))
        if state is not None:
            wanted = wanted.where(table.c.state == state)
        if batch_id is not None:
            wanted = wanted.where(table.c.batch_id == batch_id)
        return page_of(connection, wanted, table, cursor, store_file_of)

    def set_attributes(
        self, connection: Connection, store: VectorStore, file_id: str, attributes: Attributes | None
    ) -> StoreFile:
        """Replace them. Raises NotFoundError."""
        changed = update(table).where(_named(store, file_id)).values(attributes=_json(attributes))
        connection.execute(changed)
        return self.get(connection, store, file_id)

    def remove(self, connection: Connection, store: VectorStore, file_id: str) -> None:
        """Take a file out; its chunks are removed by `Removal`. Raises NotFoundError."""
        self.get(connection, store, file_id)
        leave(connection, _named(store, file_id))

    def texts(self, connection: Connection, file: StoreFile) -> list[str]:
        """The texts of its chunks in order."""
        own = select(chunks.c.text).where(chunks.c.file_number == file.number).order_by(chunks.c.place)
        return list(connection.execute(own).scalars())


class VectorStoreBatches:
    """As `VectorStoreFiles`."""

    def add(self, connection: Connection, store: VectorStore, batch_id: str, *, now: int) -> None:
        """A batch that files can be added to."""
        row = {
            "id": batch_id,
            "project_id": store.project_id,
            "store_number": store.number,
            "cancelled": False,
            "created_at": now,
        }
        connection.execute(insert(vector_store_batches).values(**row))

    def get(self, connection: Connection, store: VectorStore, batch_id: str) -> StoreBatch:
        """Raises NotFoundError."""
        batches = vector_store_batches.c
        wanted = select(batches.id, batches.cancelled, batches.created_at).where(
            batches.store_number == store.number, batches.id == batch_id
        )
        row = connection.execute(wanted).one_or_none()
        if row is None:
            message = f"No file batch found with id '{batch_id:.80}' in vector store '{store.id}'."
            raise NotFoundError(message, param="batch_id")
        counts, _ = counts_by(connection, table.c.batch_id, [batch_id])[batch_id]
        return StoreBatch(**row._mapping, store_id=store.id, counts=counts)

    def cancel(self, connection: Connection, store: VectorStore, batch_id: str) -> StoreBatch:
        """What is not read yet never will be; what is, stays. Raises NotFoundError."""
        batch = self.get(connection, store, batch_id)
        if batch.counts.in_progress == 0:
            return batch
        cancel(connection, table.c.batch_id == batch_id)
        own = vector_store_batches.c.id == batch_id
        connection.execute(update(vector_store_batches).where(own).values(cancelled=True))
        return self.get(connection, store, batch_id)


def store_file_columns() -> Select[Any]:
    """What `store_file_of` reads."""
    own = [table.c[name] for name in _OWN]
    return select(*own, vector_stores.c.id.label("store_id")).join(
        vector_stores, vector_stores.c.number == table.c.store_number
    )


def store_file_of(row: Row[Any]) -> StoreFile:
    values = dict(row._mapping)
    code, message = values.pop("error_code"), values.pop("error_message")
    attributes = values.pop("attributes")
    size, overlap = values.pop("max_chunk_tokens"), values.pop("overlap_tokens")
    return StoreFile(
        **values | {"state": FileState(values["state"])},
        error=None if code is None else (code, message),
        attributes=None if attributes is None else json.loads(attributes),
        chunking=None if size is None else StaticChunking(max_tokens=size, overlap_tokens=overlap),
    )


_OWN = (
    "number",
    "id",
    "project_id",
    "store_number",
    "state",
    "error_code",
    "error_message",
    "attributes",
    "max_chunk_tokens",
    "overlap_tokens",
    "created_at",
    "usage_bytes",
    "num_chunks",
)


def _inside(store: VectorStore) -> ColumnElement[bool]:
    return (table.c.store_number == store.number) & (table.c.state != FileState.DELETING)


def _named(store: VectorStore, file_id: str) -> ColumnElement[bool]:
    return _inside(store) & (table.c.id == file_id)


def _json(attributes: Attributes | None) -> str | None:
    return None if attributes is None else json.dumps(attributes)
