"""The repository of files. A file has its bytes by a row of `blob_uses` under its id."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from pennyweight.errors import NotFoundError
from pennyweight.store.blob import BlobUses
from pennyweight.store.idempotent_answers import forget_answers
from pennyweight.store.pages import page_of
from pennyweight.store.tables.files import files as table
from pennyweight.store.vector_store_departures import leave_all_stores

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

    from pennyweight.store.blob import Blob
    from pennyweight.store.pages import Cursor, Page


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """Times in seconds since 1970; `expires_at` None: it stays until it is deleted."""

    id: str
    project_id: str
    filename: str
    purpose: str
    num_bytes: int
    created_at: int
    expires_at: int | None = None


class Files:
    """`now` says which files are past their time: they do not exist any more."""

    def __init__(self) -> None:
        self._uses = BlobUses()

    def add(self, connection: Connection, file: StoredFile, blob: Blob) -> None:
        """Only while the blob's `IncomingBlob` is open."""
        connection.execute(insert(table).values(**asdict(file)))
        self._uses.add(connection, blob, owner_id=file.id, now=file.created_at)

    def get(self, connection: Connection, project_id: str, file_id: str, *, now: int) -> StoredFile:
        """Raises NotFoundError; another project's file is not there."""
        condition = _visible(project_id, now) & (table.c.id == file_id)
        row = connection.execute(select(table).where(condition)).one_or_none()
        if row is None:
            raise NotFoundError(f"No such File object: {file_id:.80}", param="id")
        return StoredFile(**row._mapping)

    def content(
        self, connection: Connection, project_id: str, file_id: str, *, now: int
    ) -> tuple[StoredFile, Blob]:
        """The file and its bytes. Raises NotFoundError."""
        file = self.get(connection, project_id, file_id, now=now)
        blob = self._uses.of(connection, project_id, file_id)
        assert blob is not None, "every file has content"
        return file, blob

    def page(
        self, connection: Connection, project_id: str, cursor: Cursor, *, now: int, purpose: str | None = None
    ) -> Page[StoredFile]:
        """One page of the project's, of one purpose if it is given."""
        wanted = select(table).where(_visible(project_id, now))
        if purpose is not None:
            wanted = wanted.where(table.c.purpose == purpose)
        return page_of(connection, wanted, table, cursor, lambda row: StoredFile(**row._mapping))

    def delete(self, connection: Connection, project_id: str, file_id: str, *, now: int) -> list[Blob]:
        """What it had is to be given to `BlobStore.collect` after the commit. Raises NotFoundError."""
        self.get(connection, project_id, file_id, now=now)
        connection.execute(delete(table).where(table.c.project_id == project_id, table.c.id == file_id))
        leave_all_stores(connection, project_id, [file_id])
        forget_answers(connection, [file_id])
        return self._uses.drop(connection, project_id, file_id)

    def have_expired(self, connection: Connection, *, now: int) -> bool:
        """Whether there is work for `expire`."""
        due = select(table.c.id).where(table.c.expires_at <= now).limit(1)
        return connection.execute(due).one_or_none() is not None

    def expire(self, connection: Connection, *, now: int, limit: int) -> list[Blob]:
        """Delete up to `limit` files of any project that are past their time; as `delete`."""
        due = select(table.c.id, table.c.project_id).where(table.c.expires_at <= now).limit(limit)
        blobs: list[Blob] = []
        for row in connection.execute(due).all():
            connection.execute(delete(table).where(table.c.id == row.id))
            leave_all_stores(connection, row.project_id, [row.id])
            forget_answers(connection, [row.id])
            blobs += self._uses.drop(connection, row.project_id, row.id)
        return blobs


def _visible(project_id: str, now: int) -> ColumnElement[bool]:
    lives = table.c.expires_at.is_(None) | (table.c.expires_at > now)
    return (table.c.project_id == project_id) & lives
