"""Whether the database has changed since one last looked, in three microseconds instead of a query.

SQLite counts the commits of all other connections, in this process and in others, for whoever asks by
`PRAGMA data_version` (https://sqlite.org/pragma.html#pragma_data_version). The connection here never writes,
so every commit is another's. PostgreSQL has no such count without a round trip: there nothing is ever known
to be unchanged.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import URL


class ChangeStamp:
    """For one thread at a time."""

    def __init__(self, url: URL) -> None:
        self._connection: sqlite3.Connection | None = None
        if url.get_backend_name() == "sqlite" and url.database:
            self._connection = sqlite3.connect(
                url.database, timeout=0, isolation_level=None, check_same_thread=False
            )

    def now(self) -> int | None:
        """Equal numbers: nothing was committed in between. None: nobody knows."""
        if self._connection is None:
            return None
        try:
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.OperationalError:  # busy with recovery, or the disk is failing: ask by a query
            return None
        return int(version)

    def close(self) -> None:
        """Harmless twice."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
