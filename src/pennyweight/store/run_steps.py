"""The repository of a run's steps: messages it wrote, tools it called."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import func, insert, select, update

from pennyweight.errors import NotFoundError
from pennyweight.store.pages import page_by
from pennyweight.store.tables.runs import run_steps as table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Row

    from pennyweight.store.pages import Cursor, Page

StepState = Literal["in_progress", "completed", "cancelled", "failed", "expired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStep:
    """`details` are the wire's `step_details`; `usage` counts tokens; times are in seconds since 1970."""

    id: str
    run_id: str
    state: StepState
    details: Mapping[str, Any]
    usage: Mapping[str, int] | None
    created_at: int
    ended_at: int | None


_COLUMNS = [table.c[name] for name in RunStep.__slots__]


class RunSteps:
    """Callers have looked up the run in its project."""

    def add(self, connection: Connection, new: Sequence[RunStep]) -> None:
        """Store steps of one run behind those it has."""
        if not new:
            return
        last = select(func.max(table.c.position)).where(table.c.run_id == new[0].run_id)
        first = (connection.execute(last).scalar_one() or 0) + 1
        rows = [
            {name: getattr(step, name) for name in step.__slots__}
            | {"details": json.dumps(dict(step.details)), "usage": _written(step.usage)}
            | {"position": position}
            for position, step in enumerate(new, first)
        ]
        connection.execute(insert(table), rows)

    def of(self, connection: Connection, run_id: str) -> list[RunStep]:
        """All of a run, in order."""
        wanted = select(*_COLUMNS).where(table.c.run_id == run_id).order_by(table.c.position)
        return [_made(row) for row in connection.execute(wanted)]

    def get(self, connection: Connection, run_id: str, step_id: str) -> RunStep:
        """Raises NotFoundError."""
        wanted = select(*_COLUMNS).where(table.c.run_id == run_id, table.c.id == step_id)
        row = connection.execute(wanted).one_or_none()
        if row is None:
            raise NotFoundError(f"No run step found with id '{step_id:.80}'.", param="step_id")
        return _made(row)

    def page(self, connection: Connection, run_id: str, cursor: Cursor) -> Page[RunStep]:
        """One page of a run's steps."""
        wanted, keys = select(*_COLUMNS).where(table.c.run_id == run_id), [table.c.position]
        return page_by(connection, wanted, cursor, _made, own_id=table.c.id, keys=keys)

    def complete(self, connection: Connection, step_id: str, details: Mapping[str, Any], *, now: int) -> None:
        """End an open step with what it has found."""
        values = {"details": json.dumps(dict(details)), "state": "completed", "ended_at": now}
        connection.execute(update(table).where(table.c.id == step_id).values(**values))

    def end_open(self, connection: Connection, run_id: str, state: StepState, *, now: int) -> None:
        """End whatever is open of a run."""
        still_open = (table.c.run_id == run_id) & (table.c.state == "in_progress")
        connection.execute(update(table).where(still_open).values(state=state, ended_at=now))


def _made(row: Row[Any]) -> RunStep:
    values = dict(row._mapping)
    values["details"] = json.loads(values["details"])
    values["usage"] = None if values["usage"] is None else json.loads(values["usage"])
    return RunStep(**values)


def _written(usage: Mapping[str, int] | None) -> str | None:
    return None if usage is None else json.dumps(dict(usage))
