"""Usage rows on their way to the database: no request waits for them, a crash loses at most the last second.

A thread writes what has come together every half second, in one transaction. If that fails (a full disk, a
database that is away) the rows stay, it is tried again, the log says so once, and answers go on: up to
`MOST_WAITING` rows. From then on `check` raises, so that nothing more is answered which could not be counted.
"""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import TYPE_CHECKING, Final

from pennyweight.errors import DatabaseUnavailableError, PennyweightError, StorageFullError
from pennyweight.store.usage import UsageRows

if TYPE_CHECKING:
    from pennyweight.store.database import Database
    from pennyweight.store.usage import UsageRow

_log = logging.getLogger(__name__)

INTERVAL_S: Final = 0.5
MOST_WAITING: Final = 10_000  # rows; some 10 MB
_GROUP: Final = 2_000  # rows of one transaction: others wait for the writer no longer than for these


class UsageJournal:
    """`add` from any thread; `close` writes what is left."""

    def __init__(
        self, database: Database, *, interval_s: float = INTERVAL_S, most_waiting: int = MOST_WAITING
    ) -> None:
        self._database = database
        self._interval_s = interval_s
        self._most_waiting = most_waiting
        self._repository = UsageRows()
        self._news = threading.Condition()  # guards the three below
        self._waiting: list[UsageRow] = []
        self._closed = False
        self._failure: PennyweightError | None = None
        self._thread = threading.Thread(target=self._run, name="pennyweight-usage", daemon=True)
        self._thread.start()

    def add(self, row: UsageRow) -> None:
        """Keep `row`; returns at once."""
        with self._news:
            self._waiting.append(row)
            if len(self._waiting) == 1:
                self._news.notify_all()

    def check(self) -> None:
        """Raise what keeps usage from being written, once too much of it waits."""
        if self._failure is not None and len(self._waiting) >= self._most_waiting:
            raise self._failure

    @property
    def num_waiting(self) -> int:
        """Rows that are not durable yet."""
        return len(self._waiting)

    @property
    def failure(self) -> str | None:
        """Why rows cannot be written at the moment."""
        return None if self._failure is None else self._failure.message

    def close(self) -> None:
        """Write what waits, once; end the thread. Harmless twice."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        self._thread.join()
        if self._waiting:
            _log.error("%d requests are missing from usage: %s", len(self._waiting), self.failure)

    def _run(self) -> None:
        closing = False
        while not closing:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._closed)
                # More comes together meanwhile; a stop does not wait.
                closing = self._news.wait_for(lambda: self._closed, timeout=self._interval_s)
            self._write()

    def _write(self) -> None:
        """Everything that waits now, oldest first, until one transaction fails."""
        left, most = len(self._waiting), _GROUP
        while left > 0:
            group = self._waiting[: min(left, most)]
            try:
                self._database.write_now(partial(self._repository.add, rows=group), at="usage.written")
            except (StorageFullError, DatabaseUnavailableError) as error:
                self._note(error)
                return
            except Exception:  # the thread's edge: a row that no database takes must not end all metering
                if len(group) > 1:
                    most = 1
                    continue
                _log.exception("the usage of request %s cannot be written and is lost", group[0].request_id)
            with self._news:
                del self._waiting[: len(group)]
            left -= len(group)
            self._note(None)

    def _note(self, failure: PennyweightError | None) -> None:
        if failure is not None and self._failure is None:
            _log.error("usage cannot be written and is kept in memory for now: %s", failure.message)
        if failure is None and self._failure is not None:
            _log.warning("usage is written again")
        self._failure = failure
