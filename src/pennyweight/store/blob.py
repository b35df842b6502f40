"""What a blob is, and the repository of who uses which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, exists, insert, select

from pennyweight.store.tables.blobs import blob_uses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Bytes by their hash, within one project: another's equal bytes are another blob."""

    project_id: str
    sha256: str  # hexadecimal
    num_bytes: int


class BlobUses:
    """Rows are written in the transaction of the object that has the content."""

    def add(self, connection: Connection, blob: Blob, *, owner_id: str, now: int) -> None:
        """`owner_id` has this content from now on. Only while the blob's `IncomingBlob` is open."""
        row = {"project_id": blob.project_id, "sha256": blob.sha256, "num_bytes": blob.num_bytes}
        connection.execute(insert(blob_uses).values(**row, owner_id=owner_id, created_at=now))

    def drop(self, connection: Connection, project_id: str, owner_id: str) -> list[Blob]:
        """`owner_id` is gone; what it had is to be given to `BlobStore.collect` after the commit."""
        mine = (blob_uses.c.project_id == project_id) & (blob_uses.c.owner_id == owner_id)
        columns = (blob_uses.c.project_id, blob_uses.c.sha256, blob_uses.c.num_bytes)
        rows = connection.execute(delete(blob_uses).where(mine).returning(*columns))
        return [Blob(**row._mapping) for row in rows]

    def of(self, connection: Connection, project_id: str, owner_id: str) -> Blob | None:
        """What `owner_id` has."""
        mine = (blob_uses.c.project_id == project_id) & (blob_uses.c.owner_id == owner_id)
        columns = (blob_uses.c.project_id, blob_uses.c.sha256, blob_uses.c.num_bytes)
        row = connection.execute(select(*columns).where(mine)).one_or_none()
        return None if row is None else Blob(**row._mapping)

    def is_used(self, connection: Connection, blob: Blob) -> bool:
        """Whether anything has this content."""
        same = (blob_uses.c.project_id == blob.project_id) & (blob_uses.c.sha256 == blob.sha256)
        return bool(connection.execute(select(exists().where(same))).scalar_one())

    def all(self, connection: Connection) -> Iterator[Blob]:
        """Every blob that is used, once."""
        columns = (blob_uses.c.project_id, blob_uses.c.sha256, blob_uses.c.num_bytes)
        for row in connection.execute(select(*columns).distinct()):
            yield Blob(**row._mapping)
