"""The database: pieces of SQL run in transactions, one writer and a few readers.

A *work* is a function of a connection: short, pure SQL, no waiting, no other effects, because a write may be
run again from its start when another process was in its way, and only its last run counts. SQLite has one
file (WAL, every commit synced); PostgreSQL is used at isolation SERIALIZABLE, so a work sees and changes the
database as if it were alone, on both.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from pennyweight.errors import ConfigError, StorageFullError
from pennyweight.store.failpoints import ANY_WRITE
from pennyweight.store.failures import translated
from pennyweight.store.migrate import migrate, revision_of
from pennyweight.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import URL, Connection

    from pennyweight.store.engines import Engines

T = TypeVar("T")
NUM_READERS = 4


class Database:
    """Open it with `Database.open`; use it from any number of threads and event loops; close it."""

    def __init__(self, engines: Engines) -> None:
        """Programs use `Database.open`."""
        self._engines = engines
        self._writer = Writer(engines.writing)
        self._readers = ThreadPoolExecutor(NUM_READERS, thread_name_prefix="pennyweight-reader")

    @classmethod
    def open(cls, url: str) -> Self:
        """Connect, bring the schema up to date, start the writer.

        `url` is `sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST/NAME`. Raises ConfigError (a
        database that is not there or refuses us, a schema newer than this program), StorageFullError.
        """
        engines = _engines(_parsed(url))
        try:
            migrate(engines)
        except DBAPIError as error:
            engines.dispose()
            told = translated(error)
            raise (told if isinstance(told, StorageFullError) else _refused(engines.url, error)) from error
        except BaseException:
            engines.dispose()
            raise
        return cls(engines)

    @classmethod
    def find(cls, url: str) -> Self:
        """As `open`, of a database that was made before: who only reads makes none."""
        check_made(url)
        return cls.open(url)

    @property
    def url(self) -> URL:
        """Where the database is."""
        return self._engines.url

    async def write(self, work: Callable[[Connection], T], *, at: str = ANY_WRITE) -> T:
        """Run `work` in a transaction; return when it is durable. `at` is the failpoint it then passes.

        What `work` raises undoes it and is raised here, other works being untouched. Raises
        StorageFullError if the disk takes nothing more, DatabaseUnavailableError if the database is away.
        """
        result: T = await asyncio.wrap_future(self._writer.enqueue(work, at=at))
        return result

    def write_now(self, work: Callable[[Connection], T], *, at: str = ANY_WRITE) -> T:
        """As `write`, for threads without an event loop."""
        result: T = self._writer.enqueue(work, at=at).result()
        return result

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on one consistent view of what is committed; it cannot write."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self.read_now, work)

    def read_now(self, work: Callable[[Connection], T]) -> T:
        """As `read`, on this thread."""
        try:
            with self._engines.reading.connect() as connection:  # begins by itself, and is rolled back
                return work(connection)
        except DBAPIError as error:
            told = translated(error)
            if told is None or isinstance(told, StorageFullError):  # a read that writes is our own fault
                raise
            raise told from error

    def close(self) -> None:
        """Finish what was begun; from then on every call raises DatabaseUnavailableError."""
        self._writer.close()
        self._readers.shutdown()
        self._engines.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_made(url: str) -> None:
    """Raise ConfigError unless a database of ours is there; looking makes and changes nothing."""
    wanted = _parsed(url)
    place = wanted.render_as_string(hide_password=True)
    if wanted.get_backend_name() == "sqlite" and not Path(wanted.database or "").is_file():
        raise ConfigError(f"there is no database {place}; name the one a server uses with --database")
    engines = _engines(wanted)
    try:
        with engines.reading.connect() as connection:
            revision = revision_of(connection)
    except DBAPIError as error:
        raise _refused(wanted, error) from error
    finally:
        engines.dispose()
    if revision is None:
        raise ConfigError(
            f"the database {place} holds nothing of Pennyweight: no server has used it; "
            "name another with --database"
        )


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError as error:
        raise ConfigError(_WANTED.format("the text given")) from error  # it may hold a password


_WANTED = (
    "{} is no database this server can use; give postgresql://USER:PASSWORD@HOST/NAME, or nothing for a file "
    "in the data folder"
)


def _engines(url: URL) -> Engines:
    """Drivers are imported only when they are used."""
    match url.get_backend_name():
        case "sqlite":
            from pennyweight.store.sqlite import sqlite_engines

            return sqlite_engines(url)
        case "postgresql":
            from pennyweight.store.postgres import postgres_engines

            return postgres_engines(url)
        case other:
            raise ConfigError(_WANTED.format(f"{other!r}"))


def _refused(url: URL, error: DBAPIError) -> ConfigError:
    place = url.render_as_string(hide_password=True)
    return ConfigError(f"the database {place} cannot be used: {str(error.orig).strip()}")
