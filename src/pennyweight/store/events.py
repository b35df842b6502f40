"""The repository of events: what a generation streamed, kept where somebody may ask for it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, exists, insert, select

from pennyweight.store.generation import Lease, LeaseLostError, State
from pennyweight.store.tables.generations import events, generations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`wire` is the JSON text as it was sent; sequence numbers are unique within a generation."""

    sequence_number: int
    wire: str


class Events:
    """Numbers are the sender's: an event stored twice is an error of the database, not a second event."""

    def append(self, connection: Connection, lease: Lease, new: Sequence[Event], *, now: int) -> None:
        """Store events of the generation one works on. Raises LeaseLostError."""
        mine = (generations.c.id == lease.generation_id, generations.c.fence == lease.fence)
        working = select(generations.c.id).where(*mine, generations.c.state == State.IN_PROGRESS)
        if connection.execute(working.with_for_update()).one_or_none() is None:
            raise LeaseLostError(f"Another worker has taken over '{lease.generation_id}', or it has ended.")
        rows = [
            {"generation_id": lease.generation_id, "created_at": now, "wire": event.wire}
            | {"sequence_number": event.sequence_number}
            for event in new
        ]
        if rows:
            connection.execute(insert(events), rows)

    def forget(self, connection: Connection, *, before: int, limit: int) -> int:
        """Delete the events of up to `limit` generations that ended before `before`; how many those were."""
        kept = exists().where(events.c.generation_id == generations.c.id)
        old = select(generations.c.id).where(generations.c.ended_at < before, kept).limit(limit)
        ids = connection.execute(old).scalars().all()
        if ids:
            connection.execute(delete(events).where(events.c.generation_id.in_(ids)))
        return len(ids)

    def last(self, connection: Connection, project_id: str, generation_id: str) -> Event | None:
        """The one with the highest number."""
        row = connection.execute(
            select(events.c.sequence_number, events.c.wire)
            .join(generations, generations.c.id == events.c.generation_id)
            .where(generations.c.project_id == project_id, generations.c.id == generation_id)
            .order_by(events.c.sequence_number.desc())
            .limit(1)
        ).one_or_none()
        return None if row is None else Event(**row._mapping)

    def after(
        self,
        connection: Connection,
        project_id: str,
        generation_id: str,
        *,
        number: int = -1,
        limit: int = 1000,
    ) -> list[Event]:
        """Events with a sequence number above `number`, in order; none if nothing was kept."""
        rows = connection.execute(
            select(events.c.sequence_number, events.c.wire)
            .join(generations, generations.c.id == events.c.generation_id)
            .where(generations.c.project_id == project_id, generations.c.id == generation_id)
            .where(events.c.sequence_number > number)
            .order_by(events.c.sequence_number)
            .limit(limit)
        )
        return [Event(**row._mapping) for row in rows]
