"""A generation that is worked on, whatever else waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import update

from pennyweight.store.generation import Lease, State
from pennyweight.store.generations import Generations
from pennyweight.store.tables.generations import generations as table

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pennyweight.store.generation import NewGeneration


def begun(connection: Connection, project_id: str, new: NewGeneration, *, now: int) -> Lease:
    """As if `new` had just been queued and claimed."""
    Generations().queue(connection, project_id, new, now=now)
    lease = Lease(generation_id=new.id, project_id=project_id, fence=1, expires_at=now + 30)
    leased = {"fence": lease.fence, "lease_owner": "w", "lease_expires_at": lease.expires_at}
    values = {"state": State.IN_PROGRESS, "started_at": now, "attempt": 1, **leased}
    connection.execute(update(table).where(table.c.id == new.id).values(**values))
    return lease
