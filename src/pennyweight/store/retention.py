"""What is too old goes, a portion at a time, so that no writer waits long for it.

Days count from the end of what is kept: an answer that waits for its tools does not grow old. Jobs of
fine-tuning are kept as long as usage, and as long as one of their models is.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from threading import Event, Thread
from typing import TYPE_CHECKING, Final, Self

from pennyweight.errors import PennyweightError
from pennyweight.store.events import Events
from pennyweight.store.generations import Generations
from pennyweight.store.idempotent_answers import IdempotentAnswers
from pennyweight.store.tuning_jobs import TuningJobs
from pennyweight.store.usage import UsageRows

if TYPE_CHECKING:
    from pennyweight.store.blobs import BlobStore
    from pennyweight.store.database import Database

_DAY_S: Final = 24 * 60 * 60
_PORTION: Final = 200
_INTERVAL_S: Final = 600.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How many days what is kept."""

    generations_days: int
    events_days: int
    usage_days: int


class Housekeeper:
    """Removes what is too old, every ten minutes, on a thread of its own between `start` and `close`."""

    def __init__(self, database: Database, blobs: BlobStore, retention: Retention) -> None:
        self._database = database
        self._blobs = blobs
        self._retention = retention
        self._closing = Event()
        self._thread = Thread(target=self._run, name="pennyweight-housekeeper", daemon=True)

    def start(self) -> Self:
        """Begin, and return at once."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Finish the portion under way."""
        self._closing.set()
        self._thread.join()

    def tidy(self, now: int) -> int:
        """Remove everything too old at `now`, in seconds since 1970; how many rows that were."""
        removed = 0
        while not self._closing.is_set() and (some := self._remove_portion(now)):
            removed += some
        self._blobs.sweep()
        return removed

    def _remove_portion(self, now: int) -> int:
        kept = self._retention
        oldest = now - kept.generations_days * _DAY_S
        return (
            self._database.write_now(
                lambda c: Events().forget(c, before=now - kept.events_days * _DAY_S, limit=_PORTION),
                at="events.forgotten",
            )
            + self._database.write_now(
                lambda c: Generations().forget(c, before=oldest, now=now, limit=_PORTION),
                at="generations.forgotten",
            )
            + self._database.write_now(
                lambda c: IdempotentAnswers().forget(c, now=now, limit=_PORTION),
                at="idempotent_answers.forgotten",
            )
            + self._database.write_now(
                lambda c: UsageRows().forget(c, before=now - kept.usage_days * _DAY_S), at="usage.forgotten"
            )
            + self._database.write_now(
                lambda c: TuningJobs().forget(c, before=now - kept.usage_days * _DAY_S, limit=_PORTION),
                at="tuning_jobs.forgotten",
            )
        )

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self.tidy(int(time.time()))
            except PennyweightError as error:  # a full disk, or a database that is away: later, then
                _log.warning("What is too old could not be removed: %s", error.message)
            self._closing.wait(_INTERVAL_S)
