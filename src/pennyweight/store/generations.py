"""The repository of generations. Every change of state is one statement that names the states it may follow.

Two that want to change the same generation cannot both succeed: the second finds no row in a state it may
follow, and is told why. Who works on one has a `Lease`; its `fence` must still be the row's.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update

from pennyweight.errors import NotFoundError
from pennyweight.store.generation import (
    ENDED,
    FROM,
    Generation,
    Lease,
    LeaseLostError,
    NewGeneration,
    State,
    WrongStateError,
)
from pennyweight.store.idempotent_answers import forget_answers
from pennyweight.store.items import Items
from pennyweight.store.pages import page_of
from pennyweight.store.tables.generations import generation_items
from pennyweight.store.tables.generations import generations as table
from pennyweight.store.text_map import has_entry, read_text_map, write_text_map

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import Connection, RowMapping, Select

    from pennyweight.errors import PennyweightError
    from pennyweight.store.generation import GenerationFilter, Kind
    from pennyweight.store.pages import Cursor, Page

COLUMNS = [table.c[name] for name in Generation.__slots__]
"""What `generation_of` reads."""


class Generations:
    """`now` is in seconds since 1970."""

    def __init__(self) -> None:
        self._items = Items()

    def queue(self, connection: Connection, project_id: str, new: NewGeneration, *, now: int) -> None:
        """Store a generation for a worker to claim."""
        connection.execute(insert(table).values(**_row(project_id, new, now), state=State.QUEUED))

    def keep(
        self, connection: Connection, project_id: str, new: NewGeneration, *, state: State, now: int
    ) -> None:
        """Store a generation that has ended in `state`: nobody knew of it before."""
        ended = {"state": state, "started_at": now, "ended_at": now, "attempt": 1, "fence": 1}
        connection.execute(insert(table).values(**_row(project_id, new, now) | ended))

    def get(self, connection: Connection, project_id: str, generation_id: str) -> Generation:
        """Raises NotFoundError."""
        row = connection.execute(select(*COLUMNS).where(*_named(project_id, generation_id))).one_or_none()
        if row is None:
            raise not_found(generation_id)
        return generation_of(row._mapping)

    def page(
        self, connection: Connection, project_id: str, wanted: GenerationFilter, cursor: Cursor
    ) -> Page[Generation]:
        """One page of the project's, in the order they came in."""
        rows = _filtered(select(*COLUMNS).where(table.c.project_id == project_id), wanted)
        return page_of(connection, rows, table, cursor, lambda row: generation_of(row._mapping))

    def num_under_way(self, connection: Connection, project_id: str, kinds: Collection[Kind]) -> int:
        """How many of the project's wait for a worker or are with one."""
        states = table.c.state.in_((State.QUEUED, State.IN_PROGRESS))
        wanted = states & table.c.kind.in_(kinds) & (table.c.project_id == project_id)
        return connection.execute(select(func.count()).select_from(table).where(wanted)).scalar_one()

    def move(
        self,
        connection: Connection,
        project_id: str,
        generation_id: str,
        *,
        to: State,
        now: int,
        error: Mapping[str, str] | None = None,
    ) -> Generation:
        """Change the state from outside: cancelled, expired, queued again after `requires_action`.

        Raises NotFoundError, WrongStateError.
        """
        return _moved(connection, project_id, generation_id, to=to, now=now, error=error)

    def finish(
        self,
        connection: Connection,
        lease: Lease,
        *,
        to: State,
        now: int,
        result: str | None = None,
        error: Mapping[str, str] | None = None,
    ) -> Generation:
        """Change the state as the one who works on it; the lease is over.

        Raises LeaseLostError, NotFoundError, WrongStateError.
        """
        mine = table.c.fence == lease.fence
        values = {} if result is None else {"result": result}
        ids = (lease.project_id, lease.generation_id)
        return _moved(connection, *ids, mine, to=to, now=now, error=error, values=values)

    def set_metadata(
        self, connection: Connection, project_id: str, generation_id: str, metadata: Mapping[str, str]
    ) -> Generation:
        """Replace the metadata. Raises NotFoundError."""
        changed = (
            update(table).where(*_named(project_id, generation_id)).values(metadata=write_text_map(metadata))
        )
        row = connection.execute(changed.returning(*COLUMNS)).one_or_none()
        if row is None:
            raise not_found(generation_id)
        return generation_of(row._mapping)

    def delete(self, connection: Connection, project_id: str, generation_id: str) -> None:
        """Delete it with its events and the items that stand nowhere else. Raises NotFoundError."""
        held = select(generation_items.c.item_id).where(generation_items.c.generation_id == generation_id)
        item_ids = connection.execute(held).scalars().all()
        gone = connection.execute(delete(table).where(*_named(project_id, generation_id)))
        if gone.rowcount == 0:
            raise not_found(generation_id)
        self._items.delete_unplaced(connection, item_ids)
        forget_answers(connection, [generation_id])

    def forget(self, connection: Connection, *, before: int, now: int, limit: int) -> int:
        """Delete up to `limit` that ended before `before`, or whose own time is over; how many there were."""
        due = (table.c.ended_at < before) | (table.c.expires_at <= now)
        ids = connection.execute(select(table.c.id).where(table.c.ended_at.is_not(None), due).limit(limit))
        gone = ids.scalars().all()
        if not gone:
            return 0
        place = generation_items.c
        held = connection.execute(select(place.item_id).where(place.generation_id.in_(gone))).scalars().all()
        connection.execute(delete(table).where(table.c.id.in_(gone)))
        self._items.delete_unplaced(connection, held)
        forget_answers(connection, gone)
        return len(gone)


def generation_of(row: RowMapping) -> Generation:
    """The generation that a row with `COLUMNS` stands for."""
    values = {column.name: row[column] for column in COLUMNS}
    return Generation(**values | {"state": State(row["state"]), "metadata": read_text_map(row["metadata"])})


def _filtered(rows: Select[Any], wanted: GenerationFilter) -> Select[Any]:
    rows = rows.where(table.c.kind == wanted.kind)
    if wanted.states is not None:
        rows = rows.where(table.c.state.in_(wanted.states))
    if wanted.model is not None:
        rows = rows.where(table.c.model == wanted.model)
    if wanted.conversation_id is not None:
        rows = rows.where(table.c.conversation_id == wanted.conversation_id)
    return rows.where(*(has_entry(table.c.metadata, name, value) for name, value in wanted.metadata.items()))


def _row(project_id: str, new: NewGeneration, now: int) -> dict[str, Any]:
    values = {name: getattr(new, name) for name in new.__slots__}
    values |= {"metadata": write_text_map(new.metadata), "project_id": project_id, "created_at": now}
    return values | {"attempt": 0, "fence": 0}


def _named(project_id: str, generation_id: str) -> tuple[Any, Any]:
    return table.c.project_id == project_id, table.c.id == generation_id


def _moved(
    connection: Connection,
    project_id: str,
    generation_id: str,
    *further: Any,
    to: State,
    now: int,
    error: Mapping[str, str] | None,
    values: Mapping[str, Any] | None = None,
) -> Generation:
    changes: dict[str, Any] = {"state": to, "lease_owner": None, "lease_expires_at": None, **(values or {})}
    assert to is not State.IN_PROGRESS, "work begins with a lease"
    if to in ENDED:
        changes["ended_at"] = now
    if to is State.QUEUED:
        changes["attempt"] = 0  # what it waited for has come
    if error is not None:
        changes["error"] = json.dumps(error)
    allowed = table.c.state.in_(FROM[to])
    wanted = (*_named(project_id, generation_id), *further)
    statement = update(table).where(*wanted, allowed).values(**changes).returning(*COLUMNS)
    row = connection.execute(statement).one_or_none()
    if row is None:
        raise _refusal(connection, project_id, generation_id, further, to)
    return generation_of(row._mapping)


def _refusal(
    connection: Connection, project_id: str, generation_id: str, further: tuple[Any, ...], to: State
) -> PennyweightError:
    """Why a change found no row."""
    named = _named(project_id, generation_id)
    state = connection.execute(select(table.c.state).where(*named)).scalar_one_or_none()
    if state is None:
        return not_found(generation_id)
    if connection.execute(select(table.c.id).where(*named, *further)).one_or_none() is None:
        return LeaseLostError(f"Another worker has taken over '{generation_id}'.")
    return WrongStateError(f"'{generation_id}' is {state} and cannot become {to}.")


def not_found(generation_id: str) -> NotFoundError:
    """Also of what belongs to another project."""
    return NotFoundError(f"Nothing with the id '{generation_id}' is stored.")
