"""SQLite as the store uses it: write-ahead log, every commit synced, foreign keys checked.

Python's driver begins transactions by its own rules; it is told not to, and `BEGIN` is ours
(https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#pysqlite-serializable). The writer begins with
`BEGIN IMMEDIATE`: it waits for other processes at the start, never in the middle.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event

from pennyweight.errors import ConfigError, StorageFullError
from pennyweight.store.durability import place, storing, sync
from pennyweight.store.engines import Engines
from pennyweight.store.failpoints import failpoint
from pennyweight.store.failures import is_storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection, Engine

_ALWAYS = (
    "PRAGMA busy_timeout=10000",  # ms; other processes write too: `penny keys`, for one
    "PRAGMA foreign_keys=ON",
)
_WRITER = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA secure_delete=FAST",  # what is deleted is overwritten where that costs no further page
    "PRAGMA journal_size_limit=67108864",
)
_READER = ("PRAGMA query_only=ON",)


def sqlite_engines(url: URL) -> Engines:
    """Connections to the file `url` names, which is made if it is not there. Raises ConfigError."""
    if not url.database or url.database == ":memory:":
        raise ConfigError("a database in memory loses everything; give sqlite:///PATH")
    path = Path(url.database)
    _make(path)
    return Engines(
        url=url,
        writing=_engine(url, pragmas=(*_ALWAYS, *_WRITER), begin="BEGIN IMMEDIATE", size=1),
        reading=_engine(url, pragmas=(*_ALWAYS, *_READER), begin="BEGIN", size=4),
        gate=partial(_gate, path),
        copy=partial(_copy, path),
    )


def _engine(url: URL, *, pragmas: tuple[str, ...], begin: str, size: int) -> Engine:
    # isolation_level None: the driver begins nothing by itself
    engine = create_engine(
        url, pool_size=size, max_overflow=0 if size == 1 else 28, connect_args={"isolation_level": None}
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _: Any) -> None:
        for pragma in pragmas:
            connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _make(path: Path) -> None:
    """An empty file that only its owner reads: the log beside it takes over its mode."""
    try:
        # Never open a file SQLite may have open: closing it again would drop the locks of this process.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        sync(path.parent)
    except FileExistsError:
        return
    except OSError as error:
        raise ConfigError(f"the database {path} cannot be made: {error.strerror}") from error


@contextmanager
def _gate(path: Path) -> Iterator[None]:
    """SQLite's own waiting does not cover the change to a write-ahead log."""
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _copy(path: Path, revision: str) -> None:
    target = path.with_name(f"{path.name}.before-{revision}")
    copy_database(path, target)
    failpoint("database.copied")


def copy_database(source: Path, target: Path) -> None:
    """A consistent, durable copy of `source`, which may be written to meanwhile. Raises StorageFullError."""
    work = target.with_name(target.name + ".incoming")
    work.unlink(missing_ok=True)
    try:
        with (
            storing(),
            closing(sqlite3.connect(source)) as reading,
            closing(sqlite3.connect(work)) as writing,
        ):
            os.chmod(work, 0o600)
            reading.backup(writing)
            # One file, that can be read where nothing can be written.
            writing.execute("PRAGMA journal_mode=DELETE")
        with storing():
            sync(work)
            place(work, target)
    except sqlite3.OperationalError as error:
        work.unlink(missing_ok=True)
        if is_storage(error):
            raise StorageFullError(f"The database cannot be copied to {target.parent}: {error}.") from error
        raise
    except StorageFullError:
        work.unlink(missing_ok=True)
        raise
