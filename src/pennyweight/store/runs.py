"""The repository of runs: generations of kind `run`, one at a time for each thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, insert, select, update

from pennyweight.errors import InvalidRequestError, NotFoundError
from pennyweight.store.generation import ENDED, Generation, State
from pennyweight.store.generations import COLUMNS, Generations, generation_of
from pennyweight.store.pages import page_by
from pennyweight.store.run_steps import RunSteps
from pennyweight.store.tables.generations import events, generations
from pennyweight.store.tables.runs import runs as table

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row, Select

    from pennyweight.store.generation import NewGeneration
    from pennyweight.store.pages import Cursor, Page


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """`expires_at`, in seconds since 1970: it does not wait any longer, to be answered or for its tools.

    `streams`: somebody follows it, so its events are kept.
    """

    generation: Generation
    thread_id: str
    expires_at: int
    streams: bool

    @property
    def id(self) -> str:
        return self.generation.id

    @property
    def state(self) -> State:
        return self.generation.state

    def is_overdue(self, now: int) -> bool:
        """Whether it waited too long, to be answered or for the results of its tools."""
        return self.state in _WAITS and self.expires_at <= now


_WAITS: Final = (State.QUEUED, State.REQUIRES_ACTION)


class ActiveRunError(InvalidRequestError):
    """A thread takes nothing while a run works on it."""

    code = "run_active"


class Runs:
    """Callers have looked up the thread in its project."""

    def __init__(self) -> None:
        self._generations = Generations()
        self._steps = RunSteps()

    def queue(
        self,
        connection: Connection,
        project_id: str,
        new: NewGeneration,
        *,
        expires_at: int,
        streams: bool,
        now: int,
    ) -> Run:
        """Store a run for a worker to claim; its events are kept if it `streams`. Raises ActiveRunError."""
        thread_id = new.conversation_id
        assert thread_id is not None, "a run answers a thread"
        self.check_idle(connection, project_id, thread_id, now=now, wish="Thread already has an active run")
        self._generations.queue(connection, project_id, new, now=now)
        last = select(func.max(table.c.position)).where(table.c.thread_id == thread_id)
        position = (connection.execute(last).scalar_one() or 0) + 1
        values = {"id": new.id, "thread_id": thread_id, "position": position}
        connection.execute(insert(table).values(**values, expires_at=expires_at, streams=streams))
        return self.get(connection, project_id, thread_id, new.id)

    def check_idle(
        self, connection: Connection, project_id: str, thread_id: str, *, now: int, wish: str
    ) -> None:
        """Raises ActiveRunError, which says what cannot be done, while a run of the thread is under way."""
        wanted = _all(project_id, thread_id).where(generations.c.state.not_in(ENDED))
        for row in connection.execute(wanted).all():
            run = _made(row)
            if not run.is_overdue(now):
                raise ActiveRunError(
                    f"{wish}: the run '{run.id}' of the thread '{thread_id}' is {run.state}. Wait for its "
                    "end, or cancel it."
                )
            self._expire(connection, project_id, run.id, now)

    def get(self, connection: Connection, project_id: str, thread_id: str, run_id: str) -> Run:
        """Raises NotFoundError."""
        wanted = _all(project_id, thread_id).where(table.c.id == run_id)
        row = connection.execute(wanted).one_or_none()
        if row is None:
            raise _not_found(run_id)
        return _made(row)

    def page(self, connection: Connection, project_id: str, thread_id: str, cursor: Cursor) -> Page[Run]:
        """One page of a thread's runs, as they were made."""
        wanted, keys = _all(project_id, thread_id), [table.c.position]
        return page_by(connection, wanted, cursor, _made, own_id=table.c.id, keys=keys)

    def extend(self, connection: Connection, run_id: str, *, expires_at: int) -> None:
        """It waits until `expires_at` from now on."""
        connection.execute(update(table).where(table.c.id == run_id).values(expires_at=expires_at))

    def follow(self, connection: Connection, run_id: str, *, streams: bool) -> None:
        """Whether somebody follows what it does from now on; what they were sent before is forgotten."""
        connection.execute(delete(events).where(events.c.generation_id == run_id))
        connection.execute(update(table).where(table.c.id == run_id).values(streams=streams))

    def have_expired(self, connection: Connection, *, now: int) -> bool:
        """Whether there is work for `expire`."""
        return connection.execute(_overdue(now).limit(1)).one_or_none() is not None

    def expire(self, connection: Connection, *, now: int) -> list[str]:
        """End runs, of any project, that waited too long; their ids."""
        overdue = connection.execute(_overdue(now).with_for_update(skip_locked=True)).all()
        for row in overdue:
            self._expire(connection, row.project_id, row.id, now)
        return [row.id for row in overdue]

    def cancel(self, connection: Connection, project_id: str, run_id: str, *, now: int) -> None:
        """End it, whatever it waits for or does. Raises NotFoundError, WrongStateError."""
        self._generations.move(connection, project_id, run_id, to=State.CANCELLED, now=now)
        self._steps.end_open(connection, run_id, "cancelled", now=now)

    def _expire(self, connection: Connection, project_id: str, run_id: str, now: int) -> None:
        self._generations.move(connection, project_id, run_id, to=State.EXPIRED, now=now)
        self._steps.end_open(connection, run_id, "expired", now=now)


def _all(project_id: str, thread_id: str) -> Select[Any]:
    return (
        select(*COLUMNS, table.c.thread_id, table.c.streams, table.c.expires_at.label("run_expires_at"))
        .join(table, table.c.id == generations.c.id)
        .where(generations.c.project_id == project_id, table.c.thread_id == thread_id)
    )


def _overdue(now: int) -> Select[Any]:
    waiting = select(generations.c.id, generations.c.project_id).join(table, table.c.id == generations.c.id)
    return waiting.where(table.c.expires_at <= now, generations.c.state.in_(_WAITS))


def _made(row: Row[Any]) -> Run:
    found = row._mapping
    return Run(
        generation=generation_of(found),
        thread_id=row.thread_id,
        expires_at=found["run_expires_at"],
        streams=row.streams,
    )


def _not_found(run_id: str) -> NotFoundError:
    return NotFoundError(f"No run found with id '{run_id:.80}'.", param="run_id")
