"""The repository of what jobs of fine-tuning told on their way: events, and checkpoints."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select

from pennyweight.store.identifiers import new_id
from pennyweight.store.pages import page_by
from pennyweight.store.tables.tuning import tuning_checkpoints, tuning_events

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Row

    from pennyweight.store.pages import Cursor, Page
    from pennyweight.store.tuning_job import Level, NewEvent

_event, _checkpoint = tuning_events.c, tuning_checkpoints.c


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningEvent:
    """`step` None: a message, otherwise the metrics of a step. `created_at` in seconds since 1970."""

    id: str
    step: int | None
    level: Level
    message: str
    data: Mapping[str, Any]
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningCheckpoint:
    """`model` is the name it is, or was, served by."""

    id: str
    job_id: str
    step: int
    model: str
    metrics: Mapping[str, Any]
    created_at: int


class TuningEvents:
    """Of jobs that were found in their project before."""

    def add(self, connection: Connection, job_id: str, events: Sequence[NewEvent], *, now: int) -> None:
        """In this order. A step that has its event stays as it was told."""
        steps = [event.step for event in events if event.step is not None]
        own = _event.job_id == job_id
        told = set(connection.execute(select(_event.step).where(own, _event.step.in_(steps))).scalars())
        last = select(func.coalesce(func.max(_event.position), 0)).where(own)
        position = int(connection.execute(last).scalar_one())
        for event in events:
            if event.step is not None and event.step in told:
                continue
            position += 1
            told.add(event.step)
            values = {"position": position, "step": event.step, "level": event.level, "created_at": now}
            data = None if event.data is None else json.dumps(dict(event.data))
            connection.execute(
                insert(tuning_events).values(
                    id=new_id("ftevent-"), job_id=job_id, message=event.message, data=data, **values
                )
            )

    def page(self, connection: Connection, job_id: str, cursor: Cursor) -> Page[TuningEvent]:
        """In the order in which they were told, or backwards."""
        wanted = select(tuning_events).where(_event.job_id == job_id)
        return page_by(connection, wanted, cursor, _event_of, own_id=_event.id, keys=(_event.position,))

    def add_checkpoint(self, connection: Connection, checkpoint: TuningCheckpoint) -> None:
        """Once for each step."""
        values = {"id": checkpoint.id, "job_id": checkpoint.job_id, "step": checkpoint.step}
        connection.execute(
            insert(tuning_checkpoints).values(
                **values,
                model=checkpoint.model,
                metrics=json.dumps(dict(checkpoint.metrics)),
                created_at=checkpoint.created_at,
            )
        )

    def checkpoint_at(self, connection: Connection, job_id: str, step: int) -> TuningCheckpoint | None:
        """The checkpoint of this step."""
        condition = (_checkpoint.job_id == job_id) & (_checkpoint.step == step)
        row = connection.execute(select(tuning_checkpoints).where(condition)).one_or_none()
        return None if row is None else _checkpoint_of(row)

    def drop_checkpoints(self, connection: Connection, job_id: str, steps: Sequence[int]) -> None:
        """Their models are not kept any more."""
        old = (_checkpoint.job_id == job_id) & _checkpoint.step.in_(steps)
        connection.execute(delete(tuning_checkpoints).where(old))

    def checkpoints(self, connection: Connection, job_id: str, cursor: Cursor) -> Page[TuningCheckpoint]:
        """In the order of their steps, or backwards."""
        wanted = select(tuning_checkpoints).where(_checkpoint.job_id == job_id)
        keys = (_checkpoint.step,)
        return page_by(connection, wanted, cursor, _checkpoint_of, own_id=_checkpoint.id, keys=keys)


def _event_of(row: Row[Any]) -> TuningEvent:
    return TuningEvent(
        id=row.id,
        step=row.step,
        level=row.level,
        message=row.message,
        data={} if row.data is None else json.loads(row.data),
        created_at=row.created_at,
    )


def _checkpoint_of(row: Row[Any]) -> TuningCheckpoint:
    return TuningCheckpoint(
        id=row.id,
        job_id=row.job_id,
        step=row.step,
        model=row.model,
        metrics=json.loads(row.metrics),
        created_at=row.created_at,
    )
