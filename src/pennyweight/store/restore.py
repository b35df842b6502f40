"""A backup put back: into an empty data folder, or into an empty PostgreSQL database and a data folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, func, make_url, select

from pennyweight.errors import ConfigError
from pennyweight.store.backup import Copied, used_blobs
from pennyweight.store.copying import copy_blob, copy_rows
from pennyweight.store.data_folder import DATABASE_NAME, DataFolder
from pennyweight.store.database import Database
from pennyweight.store.durability import make_folder, place, storing, sync
from pennyweight.store.failpoints import failpoint
from pennyweight.store.projects import DEFAULT_PROJECT
from pennyweight.store.tables import metadata
from pennyweight.store.tables.projects import projects

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pennyweight.store.blob import Blob


def restore(backup: Path, folder: DataFolder, url: str) -> Copied:
    """Put `backup` into `folder` and the database `url`, which must be empty; the server is not running.

    Blobs come first: killed in between, there is a folder without a database, and one restores again. Raises
    ConfigError, DamagedBlobError, StorageFullError.
    """
    if not (backup / DATABASE_NAME).is_file():
        raise ConfigError(f"{backup} is no backup: it has no {DATABASE_NAME}")
    with folder.served():
        file = _file_of(url)
        if file is not None and file.exists():
            raise ConfigError(
                f"{file.parent} has a database already, {file.name}; move it away or choose another place"
            )
        work = (file or folder.path / DATABASE_NAME).with_name("restore.db")
        try:
            blobs = _put_back(backup, folder, url, work)
        except BaseException:  # a full disk is not to be kept full
            _remove(work)
            raise
        failpoint("database.restored")
    return Copied(num_blobs=len(blobs), num_bytes=sum(blob.num_bytes for blob in blobs))


def _put_back(backup: Path, folder: DataFolder, url: str, work: Path) -> list[Blob]:
    """Blobs first, then the rows, by way of the file `work`; the blobs there are."""
    with storing():
        shutil.copyfile(backup / DATABASE_NAME, work)
        work.chmod(0o600)
        sync(work)
        make_folder(folder.path / "blobs")
    blobs = used_blobs(work)
    for blob in blobs:
        copy_blob(blob, backup / "blobs", folder.path / "blobs")
    if (file := _file_of(url)) is not None:
        place(work, file)
    else:
        _fill(url, work)
    _remove(work)
    return blobs


def _file_of(url: str) -> Path | None:
    """Of an SQLite database; None: the rows go to PostgreSQL."""
    target = make_url(url)
    return Path(target.database or "").absolute() if target.get_backend_name() == "sqlite" else None


def _remove(work: Path) -> None:
    """With what SQLite has beside it."""
    for left in work.parent.glob(work.name + "*"):
        left.unlink()


def _fill(url: str, source: Path) -> None:
    """Copy the rows of an SQLite file, of whatever schema we know, into an empty database."""
    copy = URL.create("sqlite", database=str(source)).render_as_string()
    with Database.open(copy) as rows, Database.open(url) as target:
        if not target.read_now(_is_empty):
            place_name = target.url.render_as_string(hide_password=True)
            raise ConfigError(
                f"the database {place_name} is not empty; a backup is restored into an empty one"
            )
        rows.read_now(
            lambda reading: target.write_now(
                lambda writing: copy_rows(reading, writing), at="database.filled"
            )
        )


def _is_empty(connection: Connection) -> bool:
    """As a new database is: with the default project alone."""
    counts = {
        table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in metadata.sorted_tables
    }
    only = connection.execute(select(projects.c.id)).scalars().all()
    return counts.pop("projects") == 1 and only == [DEFAULT_PROJECT] and not any(counts.values())
