"""The one writer: works from any thread, several to a commit, on a thread and a connection of its own.

Whatever waits when the writer is free becomes one transaction (group commit): one sync of the disk for all,
and works of one process never race each other, on SQLite and PostgreSQL alike. Each work has a savepoint;
what it raises undoes that work alone. Nobody is told of success before the commit is durable; in between
lies the failpoint of each work, where a test kills the process.
"""

from __future__ import annotations

import random
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from pennyweight.errors import DatabaseUnavailableError
from pennyweight.store.failpoints import ANY_WRITE, failpoint
from pennyweight.store.failures import failure_of, translated

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine

    Work = Callable[[Connection], Any]

_GROUP_MAX = 256
_ATTEMPTS = 8  # of a group that another process's writes keep from committing
_BACKOFF_S = 0.01


@dataclass(frozen=True, slots=True)
class _Job:
    work: Work
    at: str
    future: Future[Any] = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What `work` returned or raised; told once the group is durable."""

    result: Any = None
    error: BaseException | None = None


class Writer:
    """`enqueue` from any thread; `close` finishes what was enqueued."""

    def __init__(self, engine: Engine) -> None:
        """`engine` begins every transaction as a writer."""
        self._engine = engine
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._gate = Lock()
        self._closed = False
        self._thread = Thread(target=self._run, name="pennyweight-writer", daemon=True)
        self._thread.start()

    def enqueue(self, work: Work, *, at: str = ANY_WRITE) -> Future[Any]:
        """The future result of `work`, which passes the failpoint `at` once it is durable.

        Cancelled before its turn comes, the work is never run.
        """
        job = _Job(work, at)
        with self._gate:  # nothing enters behind the mark that ends the thread
            if self._closed:
                raise DatabaseUnavailableError("The database is closed: the server is stopping.")
            self._jobs.put(job)
        return job.future

    def close(self) -> None:
        """Write what waits, then end the thread."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        ended = False
        while not ended:
            group, ended = self._next_group()
            group = [job for job in group if job.future.set_running_or_notify_cancel()]
            if group:
                self._write(group)

    def _next_group(self) -> tuple[list[_Job], bool]:
        """Wait for a job, then take all that wait; whether the writer is to end after them."""
        group: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            group.append(job)
            if len(group) == _GROUP_MAX:
                return group, False
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return group, False
        return group, True

    def _write(self, group: list[_Job]) -> None:
        try:
            outcomes = self._committed(group)
        except BaseException as error:  # the thread's edge: raised again where each result is awaited
            outcomes = [_Outcome(error=error)] * len(group)
        for job, outcome in zip(group, outcomes, strict=True):
            if outcome.error is None:
                job.future.set_result(outcome.result)
            else:
                job.future.set_exception(outcome.error)

    def _committed(self, group: list[_Job]) -> list[_Outcome]:
        """Run and commit `group`, again if others were in the way or the connection had gone stale."""
        for attempt in range(1, _ATTEMPTS + 1):
            committing = False
            try:
                with self._engine.connect() as connection, connection.begin() as transaction:
                    outcomes = _run_all(connection, group)
                    committing = True
                    transaction.commit()
            except DBAPIError as error:
                failure = failure_of(error)
                # A connection lost while committing may have committed: running again could write twice.
                again = failure == "conflict" or (failure == "lost" and not committing and attempt == 1)
                if not again or attempt == _ATTEMPTS:
                    raise (translated(error) or error) from error
                time.sleep(random.uniform(0, _BACKOFF_S * attempt))
            else:
                _pass_failpoints(group, outcomes)
                return outcomes
        raise AssertionError("the last attempt returns or raises")


def _pass_failpoints(group: list[_Job], outcomes: list[_Outcome]) -> None:
    """Everything is durable, nobody was told."""
    failpoint("database.committed")
    for job, outcome in zip(group, outcomes, strict=True):
        if outcome.error is None and job.at != ANY_WRITE:
            failpoint(job.at)


def _run_all(connection: Connection, group: list[_Job]) -> list[_Outcome]:
    return [_run_one(connection, job.work) for job in group]


def _run_one(connection: Connection, work: Work) -> _Outcome:
    failed: BaseException | None = None
    try:
        with connection.begin_nested():
            try:
                return _Outcome(result=work(connection))
            except BaseException as error:
                failed = error
                raise
    except DBAPIError as error:
        # A full disk makes SQLite undo the whole transaction, and then there is no savepoint to return to.
        told = failed if isinstance(failed, DBAPIError) else error
        if failure_of(told) != "own":
            raise told from error  # the whole transaction is gone
        return _Outcome(error=translated(told) or told)
    except BaseException as error:  # raised again where the result is awaited
        return _Outcome(error=error)
