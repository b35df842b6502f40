"""A backup: a data folder like any other, taken while the server runs, whole or not there at all.

First the database as it is at one moment, then the blobs it uses; a lock keeps the server from removing any
meanwhile. From PostgreSQL the rows are copied into an SQLite file: one format, and the way from one to the
other.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, make_url

from pennyweight.errors import ConfigError
from pennyweight.store.blob import BlobUses
from pennyweight.store.blobs import keeping
from pennyweight.store.copying import copy_blob, copy_rows
from pennyweight.store.data_folder import DATABASE_NAME, DataFolder
from pennyweight.store.database import Database, check_made
from pennyweight.store.durability import make_folder, storing, sync
from pennyweight.store.failpoints import failpoint
from pennyweight.store.sqlite import copy_database, sqlite_engines

if TYPE_CHECKING:
    from pennyweight.store.blob import Blob


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What a backup or a restore copied beside the database."""

    num_blobs: int
    num_bytes: int


def back_up(folder: DataFolder, url: str, target: Path) -> Copied:
    """Back up the database `url` and the blobs of `folder` to the new folder `target`.

    Raises ConfigError if `target` is there already or no database, DamagedBlobError, StorageFullError.
    """
    check_made(url)
    if target.exists():
        raise ConfigError(f"{target} is there already; a backup makes a new folder")
    work = target.absolute().with_name(target.name + ".incoming")
    shutil.rmtree(work, ignore_errors=True)  # of one that was cut off
    try:
        blobs = _copied(folder, url, work)
        with storing():
            sync(work)
            os.rename(work, target)
            sync(target.absolute().parent)
    except BaseException:  # a full disk is not to be kept full
        shutil.rmtree(work, ignore_errors=True)
        raise
    failpoint("backup.placed")
    return Copied(num_blobs=len(blobs), num_bytes=sum(blob.num_bytes for blob in blobs))


def _copied(folder: DataFolder, url: str, work: Path) -> list[Blob]:
    """Fill `work`; the blobs that are in it."""
    with storing():
        make_folder(work)
        make_folder(folder.path / "blobs")
        make_folder(work / "blobs")
    with keeping(folder.path / "blobs"):
        _snapshot(make_url(url), work / DATABASE_NAME)
        blobs = used_blobs(work / DATABASE_NAME)
        for blob in blobs:
            copy_blob(blob, folder.path / "blobs", work / "blobs")
    return blobs


def used_blobs(path: Path) -> list[Blob]:
    """The blobs that the database in the file `path` uses."""
    engines = sqlite_engines(URL.create("sqlite", database=str(path)))
    try:
        with engines.reading.connect() as connection, connection.begin():
            return list(BlobUses().all(connection))
    finally:
        engines.dispose()


def _snapshot(url: URL, target: Path) -> None:
    if url.get_backend_name() == "sqlite":
        assert url.database is not None
        copy_database(Path(url.database), target)
        return
    rows = target.with_name("rows.db")
    copy = URL.create("sqlite", database=str(rows)).render_as_string()
    original = url.render_as_string(hide_password=False)
    with Database.open(original) as source, Database.open(copy) as into:
        source.read_now(
            lambda reading: into.write_now(lambda writing: copy_rows(reading, writing), at="backup.filled")
        )
    copy_database(rows, target)
    for left in target.parent.glob("rows.db*"):
        left.unlink()
