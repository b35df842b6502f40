"""The repository of vector stores. A store that expired is told of, but has nothing in it any more."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, update

from pennyweight.errors import NotFoundError
from pennyweight.store.idempotent_answers import forget_answers
from pennyweight.store.pages import Page, page_of
from pennyweight.store.tables.vector_stores import vector_store_files, vector_stores
from pennyweight.store.vector_store import FileCounts, FileState, VectorStore, expiry
from pennyweight.store.vector_store_departures import leave

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import ColumnElement, Connection, Row

    from pennyweight.store.pages import Cursor
    from pennyweight.store.vector_store import NewVectorStore

table = vector_stores


class VectorStores:
    """What belongs to another project is not found."""

    def add(self, connection: Connection, new: NewVectorStore) -> VectorStore:
        """An empty store."""
        row = {
            "id": new.id,
            "project_id": new.project_id,
            "name": new.name,
            "description": new.description,
            "metadata": None if new.metadata is None else json.dumps(new.metadata),
            "created_at": new.created_at,
            "last_active_at": new.created_at,
            "expires_after_days": new.expires_after_days,
            "expires_at": expiry(new.expires_after_days, new.created_at),
            "deleted": False,
        }
        connection.execute(insert(table).values(**row))
        return self.get(connection, new.project_id, new.id)

    def get(self, connection: Connection, project_id: str, store_id: str) -> VectorStore:
        """Raises NotFoundError."""
        condition = _visible(project_id) & (table.c.id == store_id)
        row = connection.execute(select(table).where(condition)).one_or_none()
        if row is None:
            raise NotFoundError(f"No vector store found with id '{store_id:.80}'.", param="vector_store_id")
        return _counted(connection, [_store_of(row)])[0]

    def page(self, connection: Connection, project_id: str, cursor: Cursor) -> Page[VectorStore]:
        """One page of the project's."""
        wanted = select(table).where(_visible(project_id))
        page = page_of(connection, wanted, table, cursor, _store_of)
        return Page(_counted(connection, page.items), page.has_more)

    def update(
        self, connection: Connection, project_id: str, store_id: str, values: dict[str, Any], *, now: int
    ) -> VectorStore:
        """Change `name`, `metadata` or `expires_after_days`, and count as a use. Raises NotFoundError."""
        store = self.get(connection, project_id, store_id)
        changed = dict(values)
        if "metadata" in changed:
            metadata = changed["metadata"]
            changed["metadata"] = None if metadata is None else json.dumps(metadata)
        days = changed.get("expires_after_days", store.expires_after_days)
        changed |= {"last_active_at": now, "expires_at": expiry(days, now)}
        connection.execute(update(table).where(table.c.number == store.number).values(**changed))
        return self.get(connection, project_id, store_id)

    def touch(self, connection: Connection, stores: Collection[VectorStore], *, now: int) -> None:
        """They were used: what expires does so later."""
        for store in stores:
            values = {"last_active_at": now, "expires_at": expiry(store.expires_after_days, now)}
            connection.execute(update(table).where(table.c.number == store.number).values(**values))

    def delete(self, connection: Connection, project_id: str, store_id: str) -> None:
        """Gone for everybody; rows are removed by `Removal`. Raises NotFoundError."""
        store = self.get(connection, project_id, store_id)
        connection.execute(update(table).where(table.c.number == store.number).values(deleted=True))
        inside = vector_store_files.c.store_number == store.number
        leave(connection, inside)
        forget_answers(connection, [store_id])


def counts_by(
    connection: Connection, column: ColumnElement[Any], keys: Sequence[Any]
) -> dict[Any, tuple[FileCounts, int]]:
    """Files by state and their bytes, for each value of `column`."""
    files = vector_store_files.c
    rows = connection.execute(
        select(column, files.state, func.count(), func.sum(files.usage_bytes))
        .where(column.in_(keys), files.state != FileState.DELETING)
        .group_by(column, files.state)
    )
    found = dict.fromkeys(keys, (FileCounts(), 0))
    for key, state, number, usage_bytes in rows:
        counts, total = found[key]
        found[key] = replace(counts, **{state: number}), total + int(usage_bytes)
    return found


def _visible(project_id: str) -> ColumnElement[bool]:
    return (table.c.project_id == project_id) & table.c.deleted.is_(False)


def _store_of(row: Row[Any]) -> VectorStore:
    values = dict(row._mapping)
    del values["deleted"]
    metadata = values.pop("metadata")
    return VectorStore(
        **values,
        metadata=None if metadata is None else json.loads(metadata),
        counts=FileCounts(),
        usage_bytes=0,
    )


def _counted(connection: Connection, stores: Sequence[VectorStore]) -> list[VectorStore]:
    counts = counts_by(connection, vector_store_files.c.store_number, [store.number for store in stores])
    return [
        replace(store, counts=counts[store.number][0], usage_bytes=counts[store.number][1])
        for store in stores
    ]
