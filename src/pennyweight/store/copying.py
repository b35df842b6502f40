"""Copies between stores: every row from one database to another, a blob from one folder to another."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, func, insert, select, update

from pennyweight.errors import PennyweightError
from pennyweight.store.blobs import blob_path
from pennyweight.store.durability import make_folder, place, storing
from pennyweight.store.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Column, Connection, Table

    from pennyweight.store.blob import Blob

_ROWS: Final = 1000
_STREAMED: Final = {"yield_per": _ROWS}
_CHUNK_BYTES: Final = 2**20


class DamagedBlobError(PennyweightError):
    """A blob is missing, or its bytes are not those it was stored with."""

    code = "damaged_blob"


def copy_rows(source: Connection, target: Connection) -> int:
    """Make `target`, of the same schema, hold exactly the rows of `source`; how many there are."""
    num_rows = 0
    for table in reversed(metadata.sorted_tables):
        target.execute(delete(table))
    for table in metadata.sorted_tables:
        # A row may refer to a later one of the same table: such references are filled in afterwards.
        later = [c for c in table.c if any(key.column.table is table for key in c.foreign_keys)]
        blank = dict.fromkeys((column.name for column in later), None)
        for rows in source.execute(select(table), execution_options=_STREAMED).mappings().partitions(_ROWS):
            target.execute(insert(table), [{**row, **blank} for row in rows])
            num_rows += len(rows)
        for column in later:
            _fill(source, target, table, column)
        _count_on(target, table)
    return num_rows


def copy_blob(blob: Blob, source: Path, target: Path) -> None:
    """Copy a blob between folders of blobs, durably. Raises DamagedBlobError, StorageFullError."""
    written = blob_path(target, blob)
    with storing():
        make_folder(written.parent)
        work = written.with_name(written.name + ".incoming")
        descriptor = os.open(work, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for chunk in checked_chunks(blob, source):
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            work.unlink()
            raise
        place(work, written)


def checked_chunks(blob: Blob, folder: Path) -> Iterator[bytes]:
    """The bytes of a blob in a folder of blobs; at their end DamagedBlobError, if they are not its own."""
    path = blob_path(folder, blob)
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                yield chunk
    except FileNotFoundError as error:
        raise DamagedBlobError(f"the blob {path} is missing") from error
    if digest.hexdigest() != blob.sha256:
        raise DamagedBlobError(f"the blob {path} is damaged: its SHA-256 is {digest.hexdigest()}")


def _fill(source: Connection, target: Connection, table: Table, column: Column[Any]) -> None:
    """Copy the values of one column into rows that are there."""
    (key,) = table.primary_key.columns
    changed = update(table).where(key == bindparam("its_key")).values({column: bindparam("its_value")})
    wanted = select(key.label("its_key"), column.label("its_value")).where(column.is_not(None))
    for rows in source.execute(wanted, execution_options=_STREAMED).mappings().partitions(_ROWS):
        target.execute(changed, [dict(row) for row in rows])


def _count_on(target: Connection, table: Table) -> None:
    """PostgreSQL counts up by sequences, which do not notice rows that come with their numbers."""
    column = table.autoincrement_column
    if column is None or target.dialect.name != "postgresql":
        return
    sequence = func.pg_get_serial_sequence(table.name, column.name)
    highest = select(func.coalesce(func.max(column), 0) + 1).scalar_subquery()
    target.execute(select(func.setval(sequence, highest, False)))
