"""The repository of who works on which job of fine-tuning: leases as those of batches, fair between projects.

A claim counts the fence up, and everything written under the lease names it. Who cancels or pauses a job
counts it up too: whoever works on it is outlived, and stops.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, or_, select, update

from pennyweight.store.generation import LeaseLostError
from pennyweight.store.tables.tuning import tuning_jobs
from pennyweight.store.tuning_job import UNDER_WAY, TuningJob, job_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement, Connection

_of = tuning_jobs.c


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningLease:
    """The right to work on one job until `expires_at`."""

    job_id: str
    project_id: str
    fence: int
    expires_at: int


class TuningClaims:
    """`now` is in seconds since 1970. Workers of every project, and of several servers, come here."""

    def waits(
        self, connection: Connection, *, now: int, but: Collection[str] = (), only: str | None = None
    ) -> bool:
        """Whether `claim` would find something."""
        wanted = select(_of.id).where(_is_wanted(now, but, only)).limit(1)
        return connection.execute(wanted).one_or_none() is not None

    def claim(
        self,
        connection: Connection,
        *,
        owner: str,
        now: int,
        lease_s: int,
        but: Collection[str] = (),
        only: str | None = None,
    ) -> tuple[TuningJob, TuningLease] | None:
        """The job whose turn it is: of the project whose last turn is longest ago the oldest.

        `but` those left aside, or `only` one; None if none waits. One that runs a program of its maker's is
        for whoever asks for it by its id.
        """
        served = tuning_jobs.alias("served")
        last_turn = (
            select(func.max(served.c.claimed_at))
            .where(served.c.project_id == _of.project_id, served.c.id != _of.id)
            .scalar_subquery()
        )
        row = connection.execute(
            select(_of.id, _of.project_id, _of.fence)
            .where(_is_wanted(now, but, only))
            .order_by(func.coalesce(last_turn, 0), _of.created_at, _of.id)
            .limit(1)
            .with_for_update(of=tuning_jobs, skip_locked=True)
        ).one_or_none()
        if row is None:
            return None
        expires_at = now + lease_s
        lease = TuningLease(
            job_id=row.id, project_id=row.project_id, fence=row.fence + 1, expires_at=expires_at
        )
        leased = {"fence": lease.fence, "lease_owner": owner, "lease_expires_at": expires_at}
        connection.execute(update(tuning_jobs).where(_of.id == row.id).values(**leased, claimed_at=now))
        return self.read(connection, lease), lease

    def forget_leases(self, connection: Connection) -> None:
        """Nobody works on anything: for the one process of a data folder, when it starts."""
        connection.execute(update(tuning_jobs).values(lease_owner=None, lease_expires_at=None))

    def renew(self, connection: Connection, lease: TuningLease, *, now: int, lease_s: int) -> None:
        """The same lease for longer. Raises LeaseLostError."""
        change(connection, lease, {"lease_expires_at": now + lease_s})

    def put_down(self, connection: Connection, lease: TuningLease) -> None:
        """Leave the job as it is to whoever claims it next. Raises LeaseLostError."""
        change(connection, lease, {"lease_owner": None, "lease_expires_at": None, "fence": lease.fence + 1})

    def count_failure(self, connection: Connection, lease: TuningLease) -> int:
        """Something nobody expected ended the work; how often that has been so. Raises LeaseLostError."""
        change(connection, lease, {"num_failures": _of.num_failures + 1})
        chosen = select(_of.num_failures).where(_of.id == lease.job_id)
        return int(connection.execute(chosen).scalar_one())

    def read(self, connection: Connection, lease: TuningLease) -> TuningJob:
        """The job as it is now. Raises LeaseLostError."""
        row = connection.execute(select(tuning_jobs).where(_held(lease))).one_or_none()
        if row is None:
            raise _lost(lease)
        return job_of(row._mapping)

    def under_way(self, connection: Connection) -> set[str]:
        """Ids of all jobs that have not ended: what else has a work folder is left over."""
        return set(connection.execute(select(_of.id).where(_of.state.in_(UNDER_WAY))).scalars())


def change(connection: Connection, lease: TuningLease, values: dict[str, Any]) -> None:
    """Write `values` to the job of `lease`. Raises LeaseLostError."""
    if connection.execute(update(tuning_jobs).where(_held(lease)).values(**values)).rowcount != 1:
        raise _lost(lease)


def _held(lease: TuningLease) -> ColumnElement[bool]:
    return (_of.id == lease.job_id) & (_of.fence == lease.fence)


def _is_wanted(now: int, but: Collection[str], only: str | None) -> ColumnElement[bool]:
    chosen = _of.method != "grpo" if only is None else _of.id == only
    return _is_free(now) & _of.id.not_in(but) & chosen


def _is_free(now: int) -> ColumnElement[bool]:
    free = or_(_of.lease_expires_at.is_(None), _of.lease_expires_at <= now)
    return _of.state.in_(UNDER_WAY) & _of.paused_at.is_(None) & free


def _lost(lease: TuningLease) -> LeaseLostError:
    return LeaseLostError(f"The work on '{lease.job_id}' is somebody else's, or was ended.")
