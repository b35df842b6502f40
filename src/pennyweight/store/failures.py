"""What a database driver's error means: for the one work that met it, for its whole group, for the caller.

SQLite's result codes: https://sqlite.org/rescode.html; PostgreSQL's SQLSTATEs:
https://www.postgresql.org/docs/current/errcodes-appendix.html.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Literal

from sqlalchemy.exc import DataError, OperationalError

from pennyweight.errors import (
    DatabaseUnavailableError,
    InvalidRequestError,
    PennyweightError,
    StorageFullError,
)

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError

Failure = Literal["own", "storage", "conflict", "lost", "busy"]
"""own: the statement's (a constraint); conflict: run it again; lost: the connection; busy: others write."""

_STORAGE = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
    }
)
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_STORAGE_STATES = frozenset({"53100", "25006", "58030"})  # disk full, read-only transaction, I/O error
_BUSY_STATES = frozenset({"53300", "55P03"})  # too many connections, a lock not had in time
_CONFLICT_STATES = frozenset({"40001", "40P01"})  # serialization failure, deadlock
_PRIMARY_CODE = 0xFF


def is_storage(error: sqlite3.Error) -> bool:
    """Whether the disk takes nothing more: full, failing, not ours to write to."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & _PRIMARY_CODE in _STORAGE


def failure_of(error: DBAPIError) -> Failure:
    """The kind of `error`."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        primary = code & _PRIMARY_CODE
        return "storage" if primary in _STORAGE else "busy" if primary in _BUSY else "own"
    state: str | None = getattr(error.orig, "sqlstate", None)
    if state in _STORAGE_STATES:
        return "storage"
    if state in _CONFLICT_STATES:
        return "conflict"
    if state in _BUSY_STATES:
        return "busy"
    # A server that shuts down says so with a class 57P; one that is not there has no state to tell.
    silent = state is None and isinstance(error, OperationalError)
    return "lost" if silent or error.connection_invalidated or _gone(state) else "own"


def _unwritable(error: DBAPIError) -> PennyweightError | None:
    """Texts come from clients as they are; PostgreSQL's driver refuses those with a character of code 0."""
    if isinstance(error, DataError) and getattr(error.orig, "sqlstate", None) is None:
        return InvalidRequestError(f"The request has a text that the database cannot hold: {error.orig}.")
    return None


def _gone(state: str | None) -> bool:
    return state is not None and state.startswith(("08", "57P"))


def translated(error: DBAPIError) -> PennyweightError | None:
    """What the caller is told; None: the driver's own error is the caller's business."""
    failure = failure_of(error)
    if failure == "own":
        return _unwritable(error)
    if failure == "storage":
        return StorageFullError(
            f"It cannot be stored ({error.orig}); free space where the data folder or the database is."
        )
    if failure == "lost":
        return DatabaseUnavailableError("The connection to the database was lost; try again.")
    return DatabaseUnavailableError("The database is busy with other writers; try again.")
