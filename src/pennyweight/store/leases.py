"""Leases: who works on which generation, and what happens to the work of those that are gone.

A claim counts the fence up, so whatever an outlived worker still writes under its old fence finds no row.
Several processes may claim at once: PostgreSQL skips rows another is taking, SQLite has one writer anyway.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import exists, or_, select, update

from pennyweight.store.generation import Generation, Kind, Lease, LeaseLostError, State
from pennyweight.store.generations import COLUMNS, generation_of
from pennyweight.store.tables.generations import events
from pennyweight.store.tables.generations import generations as table

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement, Connection, RowMapping

_GONE = json.dumps({"code": "server_error", "message": "The server stopped while it worked on this."})


class Leases:
    """`now` is in seconds since 1970. Workers of every project come here."""

    def claim(
        self,
        connection: Connection,
        kinds: Collection[Kind],
        *,
        owner: str,
        now: int,
        lease_s: int,
        limit: int,
        passed_over: Collection[str] = (),
    ) -> list[tuple[Generation, Lease]]:
        """Up to `limit` of what waits longest, in progress from now on and `owner`'s for `lease_s`.

        Projects that are `passed_over` go on waiting.
        """
        waiting = (
            select(table.c.id)
            .where(*_waiting(kinds, passed_over))
            .order_by(table.c.created_at, table.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        claimed = (
            update(table)
            .where(table.c.id.in_(waiting))
            .values(
                state=State.IN_PROGRESS,
                started_at=now,
                attempt=table.c.attempt + 1,
                fence=table.c.fence + 1,
                lease_owner=owner,
                lease_expires_at=now + lease_s,
            )
            .returning(*COLUMNS, table.c.fence)
        )
        found = [_claimed(row._mapping, now + lease_s) for row in connection.execute(claimed)]
        return sorted(found, key=lambda pair: (pair[0].created_at, pair[0].id))

    def any_waits(
        self, connection: Connection, kinds: Collection[Kind], *, passed_over: Collection[str] = ()
    ) -> bool:
        """Whether there is something to claim."""
        waiting = exists().where(*_waiting(kinds, passed_over))
        return bool(connection.execute(select(waiting)).scalar_one())

    def have_expired(self, connection: Connection, kinds: Collection[Kind], *, now: int) -> bool:
        """Whether there is something to take from its worker."""
        return bool(connection.execute(select(exists().where(*_expired(kinds, now)))).scalar_one())

    def release(self, connection: Connection, lease: Lease) -> bool:
        """Give back what nobody has seen a part of, as if it had never been claimed; whether it was that."""
        told = exists().where(events.c.generation_id == table.c.id)
        mine = (table.c.id == lease.generation_id, table.c.fence == lease.fence)
        cleared = {"lease_owner": None, "lease_expires_at": None, "attempt": table.c.attempt - 1}
        released = connection.execute(
            update(table)
            .where(*mine, table.c.state == State.IN_PROGRESS, ~told)
            .values(state=State.QUEUED, **cleared)
        )
        return released.rowcount > 0

    def renew(self, connection: Connection, lease: Lease, *, now: int, lease_s: int) -> Lease:
        """The same lease for longer. Raises LeaseLostError; then the work is to be dropped."""
        mine = (table.c.id == lease.generation_id) & (table.c.fence == lease.fence)
        renewed = (
            update(table)
            .where(mine, table.c.state == State.IN_PROGRESS)
            .values(lease_expires_at=now + lease_s)
            .returning(table.c.id)
        )
        if connection.execute(renewed).one_or_none() is None:
            raise LeaseLostError(f"Another worker has taken over '{lease.generation_id}', or it has ended.")
        return replace(lease, expires_at=now + lease_s)

    def expire(self, connection: Connection, kinds: Collection[Kind], *, now: int, max_attempts: int) -> int:
        """Take what has an expired lease from its worker: to the queue, or failed.

        It has failed after `max_attempts`, and if somebody may have seen a part of it. Returns how many there
        were. With `max_attempts` 1 nothing is tried again.
        """
        gone = _expired(kinds, now)
        told = exists().where(events.c.generation_id == table.c.id)
        cleared = {"lease_owner": None, "lease_expires_at": None}
        failed = (
            update(table)
            .where(*gone, or_(table.c.attempt >= max_attempts, told))
            .values(state=State.FAILED, ended_at=now, error=_GONE, **cleared)
        )
        queued = update(table).where(*gone).values(state=State.QUEUED, **cleared)
        return sum(connection.execute(statement).rowcount for statement in (failed, queued))


def _waiting(kinds: Collection[Kind], passed_over: Collection[str]) -> tuple[ColumnElement[bool], ...]:
    waiting = (table.c.kind.in_(kinds), table.c.state == State.QUEUED)
    return (*waiting, table.c.project_id.not_in(passed_over)) if passed_over else waiting


def _expired(kinds: Collection[Kind], now: int) -> tuple[ColumnElement[bool], ...]:
    return table.c.kind.in_(kinds), table.c.state == State.IN_PROGRESS, table.c.lease_expires_at <= now


def _claimed(row: RowMapping, expires_at: int) -> tuple[Generation, Lease]:
    generation = generation_of(row)
    return generation, Lease(
        generation_id=generation.id,
        project_id=generation.project_id,
        fence=row["fence"],
        expires_at=expires_at,
    )
