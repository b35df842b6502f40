"""The repository of who works on which batch, fair between projects.

A claim counts the fence up, and everything written under the lease names it: what an outlived worker still
writes finds no batch. A project with fewer batches under way goes first, then the one whose last turn is
longest ago; within a project the oldest batch. So nobody's many batches keep another's one waiting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, cast, func, or_, select, update

from pennyweight.store.batches import UNDER_WAY, Batch, batch_of
from pennyweight.store.generation import LeaseLostError
from pennyweight.store.tables.batches import batches

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement, Connection, Subquery


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLease:
    """The right to work on one batch until `expires_at`."""

    batch_id: str
    fence: int
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectLoad:
    """How many batches of a project somebody works on, and how many wait for somebody."""

    project_id: str
    num_claimed: int
    num_waiting: int


class BatchClaims:
    """`now` is in seconds since 1970. Workers of every project, and of several servers, come here."""

    def waits(self, connection: Connection, *, now: int, but: Collection[str] = ()) -> bool:
        """Whether there is something to claim, `but` those left aside."""
        wanted = select(batches.c.id).where(_is_free(now), batches.c.id.not_in(but)).limit(1)
        return connection.execute(wanted).one_or_none() is not None

    def claim(
        self, connection: Connection, *, owner: str, now: int, lease_s: int, but: Collection[str] = ()
    ) -> tuple[Batch, BatchLease] | None:
        """The batch whose turn it is, `but` those left aside; None if none waits."""
        loads = _loads(now)
        served = batches.alias("served")
        last_turn = (
            select(func.max(served.c.claimed_at))
            .where(served.c.project_id == batches.c.project_id)
            .scalar_subquery()
        )
        row = connection.execute(
            select(batches.c.id, batches.c.fence)
            .join(loads, loads.c.project_id == batches.c.project_id)
            .where(_is_free(now), batches.c.id.not_in(but))
            .order_by(loads.c.claimed, func.coalesce(last_turn, 0), batches.c.created_at, batches.c.id)
            .limit(1)
            .with_for_update(of=batches, skip_locked=True)
        ).one_or_none()
        if row is None:
            return None
        lease = BatchLease(batch_id=row.id, fence=row.fence + 1, expires_at=now + lease_s)
        leased = {"fence": lease.fence, "lease_owner": owner, "lease_expires_at": lease.expires_at}
        connection.execute(update(batches).where(batches.c.id == row.id).values(**leased, claimed_at=now))
        return self.read(connection, lease), lease

    def loads(self, connection: Connection, *, now: int, but: Collection[str] = ()) -> list[ProjectLoad]:
        """Every project that has a batch under way, `but` those left aside."""
        rows = connection.execute(select(_loads(now, but)))
        return [
            ProjectLoad(project_id=row.project_id, num_claimed=row.claimed, num_waiting=row.num - row.claimed)
            for row in rows
        ]

    def forget_leases(self, connection: Connection) -> None:
        """Nobody works on anything: for the one process of a data folder, when it starts."""
        connection.execute(update(batches).values(lease_owner=None, lease_expires_at=None))

    def renew(self, connection: Connection, lease: BatchLease, *, now: int, lease_s: int) -> Batch:
        """The same lease for longer, and the batch as it is now. Raises LeaseLostError."""
        change(connection, lease, {"lease_expires_at": now + lease_s})
        return self.read(connection, lease)

    def put_down(self, connection: Connection, lease: BatchLease) -> None:
        """Leave the batch as it is to whoever claims it next. Raises LeaseLostError."""
        change(connection, lease, {"lease_owner": None, "lease_expires_at": None, "fence": lease.fence + 1})

    def count_failure(self, connection: Connection, lease: BatchLease) -> int:
        """Something nobody expected ended the work; how often that has been so. Raises LeaseLostError."""
        change(connection, lease, {"num_failures": batches.c.num_failures + 1})
        chosen = select(batches.c.num_failures).where(batches.c.id == lease.batch_id)
        return int(connection.execute(chosen).scalar_one())

    def read(self, connection: Connection, lease: BatchLease) -> Batch:
        """The batch as it is now. Raises LeaseLostError."""
        row = connection.execute(select(batches).where(_held(lease))).one_or_none()
        if row is None:
            raise _lost(lease)
        return batch_of(row._mapping)


def change(connection: Connection, lease: BatchLease, values: dict[str, Any]) -> None:
    """Write `values` to the batch of `lease`. Raises LeaseLostError."""
    if connection.execute(update(batches).where(_held(lease)).values(**values)).rowcount != 1:
        raise _lost(lease)


def _held(lease: BatchLease) -> ColumnElement[bool]:
    return (batches.c.id == lease.batch_id) & (batches.c.fence == lease.fence)


def _is_free(now: int) -> ColumnElement[bool]:
    free = or_(batches.c.lease_expires_at.is_(None), batches.c.lease_expires_at <= now)
    return batches.c.state.in_(UNDER_WAY) & free


def _loads(now: int, but: Collection[str] = ()) -> Subquery:
    """A row for each project with a batch under way: how many it has, and how many of them are leased."""
    own = batches.alias("own")
    leased = func.coalesce(func.sum(cast(own.c.lease_expires_at > now, Integer)), 0)
    return (
        select(own.c.project_id, func.count().label("num"), leased.label("claimed"))
        .where(own.c.state.in_(UNDER_WAY), own.c.id.not_in(but))
        .group_by(own.c.project_id)
        .subquery()
    )


def _lost(lease: BatchLease) -> LeaseLostError:
    return LeaseLostError(f"Another worker has taken over '{lease.batch_id}'.")
